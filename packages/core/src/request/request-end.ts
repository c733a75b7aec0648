import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { http2StreamOf } from './http2-request.js';
import type { NodeRequest } from './node-request.js';
import { type FinishingResponse, knownRequestStateOf, requestStateOf } from './request-state.js';

type End = () => void;
/** Ends the watch: calls now what the end of the request would call, unless it was called already. */
type EndNow = () => void;

/** The members that this library uses of a connection or of a stream of HTTP/2. Stand-ins lack some. */
interface Closing {
  readonly destroyed?: boolean;
  readonly bytesWritten?: number;
  once?(event: 'close', listener: End): unknown;
}

/** Node's own channel: it publishes before any handler sees a request of HTTP/1.1. */
const REQUEST_START = 'http.server.request.start';
/**
 * Node's own channel: it publishes when the whole response of a request of HTTP/1.1 was handed to
 * the operating system.
 */
const RESPONSE_FINISH = 'http.server.response.finish';

const ofRequests = new WeakMap<object, Set<End>>();
/** One listener for each connection: requests in a pipeline share it. */
const ofConnections = new WeakMap<object, Set<End>>();
let noticing = 0;

/**
 * From now on `endWithRequest()` notices when responses are finished. Returns a function that ends this. It
 * may be called more than once.
 */
export function noticeRequestEnds(): End {
  if (noticing === 0) {
    subscribe(REQUEST_START, onRequestStart);
    subscribe(RESPONSE_FINISH, onResponseFinish);
  }
  noticing += 1;
  let isNoticing = true;
  return () => {
    if (isNoticing) {
      isNoticing = false;
      noticing -= 1;
      if (noticing === 0) {
        unsubscribe(REQUEST_START, onRequestStart);
        unsubscribe(RESPONSE_FINISH, onResponseFinish);
      }
    }
  };
}

/**
 * Calls `end` once: when the response to `req` is finished, or when its connection or stream of
 * HTTP/2 is closed; at once if that has happened. A request that was upgraded has no response and
 * ends with its connection. If no server of Node made the request, as behind an adapter for AWS Lambda, the
 * event `finish` of the response counts, if the response is known. Returns a function that calls `end` now.
 */
export function endWithRequest(req: NodeRequest, end: End): EndNow {
  const stream = http2StreamOf(req);
  const closing = (stream ?? req.socket) as Closing | undefined;
  const { isEnded, response } = knownRequestStateOf(req) ?? {};
  // A response over HTTP/2 is finished before its stream closes.
  const finishing = stream === undefined ? response : undefined;
  const hasFinished = isEnded === true || (finishing !== undefined && isFinished(finishing, closing));
  if (hasFinished || closing === undefined || closing.destroyed === true) {
    end();
    return () => undefined;
  }
  const onRequest = ofRequests.get(req) ?? new Set();
  const onConnection = ofConnections.get(closing) ?? watchClosing(closing);
  ofRequests.set(req, onRequest);
  const endNow = (): void => {
    if (onRequest.delete(endNow)) {
      onConnection.delete(endNow);
      end();
    }
  };
  onRequest.add(endNow);
  onConnection.add(endNow);
  finishing?.once?.('finish', endNow);
  return endNow;
}

/**
 * Whether a response is finished. One that ended may wait for a client that reads slowly, or for the
 * responses before it. An adapter for AWS Lambda has no such client: its stand-in for a connection does not
 * count bytes, and its response never says that it is finished.
 */
function isFinished({ writableFinished, writableEnded }: FinishingResponse, closing?: Closing): boolean {
  return writableFinished === true || (writableEnded === true && typeof closing?.bytesWritten !== 'number');
}

/** Returns the set of functions that the end of the connection calls. */
function watchClosing(closing: Closing): Set<End> {
  const ends = new Set<End>();
  ofConnections.set(closing, ends);
  closing.once?.('close', () => endAll(ends));
  return ends;
}

/** Never throws: an error in a subscriber ends the process. */
function onRequestStart(message: unknown): void {
  try {
    requestStateOf((message as { request: NodeRequest }).request);
  } catch {
    // A frozen request has no state.
  }
}

/** Never throws: an error in a subscriber ends the process. */
function onResponseFinish(message: unknown): void {
  const { request } = message as { request: NodeRequest };
  try {
    requestStateOf(request).isEnded = true;
  } catch {
    // A frozen request has no mark, and ends with its connection.
  }
  const ends = ofRequests.get(request);
  if (ends !== undefined) {
    endAll(ends);
  }
}

function endAll(ends: Iterable<End>): void {
  for (const end of [...ends]) {
    end();
  }
}
