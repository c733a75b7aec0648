import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { NodeRequest } from './node-request.js';
import { type FinishingResponse, requestStateOf } from './request-state.js';

/** Node's own channel: it publishes before any handler sees a request of HTTP/1.1. */
const REQUEST_START = 'http.server.request.start';

let noticing = 0;
const properties = new Set<string>();

/**
 * From now on each request that begins gets its state (`requestStateOf()`), which has its response. Returns
 * a function that ends this. It may be called more than once.
 */
export function noticeRequests(): () => void {
  if (noticing === 0) {
    subscribe(REQUEST_START, onRequestStart);
  }
  noticing += 1;
  let isNoticing = true;
  return () => {
    if (isNoticing) {
      isNoticing = false;
      noticing -= 1;
      if (noticing === 0) {
        unsubscribe(REQUEST_START, onRequestStart);
        properties.clear();
      }
    }
  };
}

/**
 * Has each request that begins get this property, undefined, while requests are noticed. Express changes the
 * prototype of a request, and a property that is added afterwards takes V8 about 3 µs.
 */
export function makePropertyAtStart(name: string): void {
  properties.add(name);
}

/** Never throws: an error in a subscriber ends the process. */
function onRequestStart(message: unknown): void {
  const { request, response } = message as { request: NodeRequest; response: FinishingResponse };
  try {
    requestStateOf(request).response = response;
    for (const name of properties) {
      if (!(name in request)) {
        (request as NodeRequest & Record<string, unknown>)[name] = undefined;
      }
    }
  } catch {
    // A frozen request has neither.
  }
}
