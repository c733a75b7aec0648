import { http2StreamOf } from './http2-request.js';
import type { NodeRequest } from './node-request.js';
import { type FinishingResponse, knownRequestStateOf } from './request-state.js';

type End = () => void;
/** Ends the watch: calls now what the end of the request would call, unless it was called already. */
type EndNow = () => void;

/** The members that this library uses of a connection or of a stream of HTTP/2. Stand-ins lack some. */
interface Closing {
  readonly destroyed?: boolean;
  readonly bytesWritten?: number;
  once?(event: 'close', listener: End): unknown;
}

type EndEvent = 'close' | 'finish';

/** One listener for each connection, which requests in a pipeline share, and one for each response. */
const watched: Readonly<Record<EndEvent, WeakMap<object, Set<End>>>> = {
  close: new WeakMap(),
  finish: new WeakMap(),
};

/**
 * Calls `end` once: when the response to `req` is finished, or when its connection or stream of
 * HTTP/2 is closed; at once if that has happened. A request that was upgraded has no response and
 * ends with its connection, and so does a request whose response is not known: see `RequestState`. Returns a
 * function that calls `end` now.
 */
export function endWithRequest(req: NodeRequest, end: End): EndNow {
  const stream = http2StreamOf(req);
  const closing = (stream ?? req.socket) as Closing | undefined;
  // A response over HTTP/2 is finished before its stream closes.
  const finishing = stream === undefined ? knownRequestStateOf(req)?.response : undefined;
  const hasFinished = finishing !== undefined && isFinished(finishing, closing);
  if (hasFinished || closing === undefined || closing.destroyed === true) {
    end();
    return () => undefined;
  }
  const onConnection = watch(closing, 'close');
  const onResponse = finishing && watch(finishing, 'finish');
  const endNow = (): void => {
    if (onConnection.delete(endNow)) {
      onResponse?.delete(endNow);
      end();
    }
  };
  onConnection.add(endNow);
  onResponse?.add(endNow);
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

interface Ending<Event extends EndEvent> {
  once?(event: Event, listener: End): unknown;
}

/** Returns the set of functions that the end of a connection or of a response calls. */
function watch<Event extends EndEvent>(ending: Ending<Event>, event: Event): Set<End> {
  const known = watched[event].get(ending);
  if (known !== undefined) {
    return known;
  }
  const ends = new Set<End>();
  watched[event].set(ending, ends);
  ending.once?.(event, () => endAll(ends));
  return ends;
}

function endAll(ends: Iterable<End>): void {
  for (const end of [...ends]) {
    end();
  }
}
