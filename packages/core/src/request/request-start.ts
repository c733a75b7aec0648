import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { NodeRequest } from './node-request.js';
import { type FinishingResponse, requestStateOf } from './request-state.js';

/** Node's own channel: it publishes before any handler sees a request of HTTP/1.1. */
const REQUEST_START = 'http.server.request.start';

let noticing = 0;

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
      }
    }
  };
}

/** Never throws: an error in a subscriber ends the process. */
function onRequestStart(message: unknown): void {
  const { request, response } = message as { request: NodeRequest; response: FinishingResponse };
  try {
    requestStateOf(request).response = response;
  } catch {
    // A frozen request has no state.
  }
}
