import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { NodeRequest } from './bearer-token.js';

type End = () => void;

/** What we use of a connection, or of a stream of HTTP/2. On stand-ins members are missing. */
interface Closing {
  readonly destroyed?: boolean;
  once?(event: 'close', listener: End): unknown;
}

/** Node's own channel: it publishes when the whole response of a request of HTTP/1.1 was handed to the operating system. */
const RESPONSE_FINISH = 'http.server.response.finish';

const ofRequests = new WeakMap<object, Set<End>>();
/** One listener for each connection: requests in a pipeline share it. */
const ofConnections = new WeakMap<object, Set<End>>();
let waiting = 0;

/**
 * Calls `end` once: when the response to `req` is finished, or when its connection or stream of HTTP/2 is closed. A request
 * that was upgraded has no response and ends with its connection. Returns a function that calls `end` now.
 */
export function onRequestEnd(req: NodeRequest, end: End): End {
  const closing = ('stream' in req ? req.stream : req.socket) as Closing | undefined;
  if (closing === undefined || closing.destroyed === true) {
    end();
    return () => undefined;
  }
  const onRequest = ofRequests.get(req) ?? new Set();
  const onConnection = ofConnections.get(closing) ?? endsWith(closing);
  ofRequests.set(req, onRequest);
  const endNow = (): void => {
    if (onRequest.delete(endNow)) {
      onConnection.delete(endNow);
      waiting -= 1;
      if (waiting === 0) {
        unsubscribe(RESPONSE_FINISH, onResponseFinish);
      }
      end();
    }
  };
  onRequest.add(endNow);
  onConnection.add(endNow);
  waiting += 1;
  if (waiting === 1) {
    subscribe(RESPONSE_FINISH, onResponseFinish);
  }
  return endNow;
}

function endsWith(closing: Closing): Set<End> {
  const ends = new Set<End>();
  ofConnections.set(closing, ends);
  closing.once?.('close', () => endAll(ends));
  return ends;
}

/** Never throws: an error in a subscriber ends the process. */
function onResponseFinish(message: unknown): void {
  const { request } = message as { request: object };
  endAll(ofRequests.get(request));
}

function endAll(ends: Iterable<End> = []): void {
  for (const end of [...ends]) {
    end();
  }
}
