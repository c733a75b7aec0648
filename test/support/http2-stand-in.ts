import { EventEmitter } from 'node:events';
import { Http2ServerRequest } from 'node:http2';

/** A request of Node's HTTP/2, over a stream that is a stand-in. */
export function http2Request(session: object | undefined): Http2ServerRequest {
  const stream = Object.assign(new EventEmitter(), { session });
  return new Http2ServerRequest(stream as never, {}, {}, []);
}
