import { Http2ServerRequest, type ServerHttp2Stream } from 'node:http2';
import type { NodeRequest } from './node-request.js';

/**
 * Node's own accessor. An application may set `req.stream` to something of its own, and may hide
 * that of Node.
 */
const readStream = Object.getOwnPropertyDescriptor(Http2ServerRequest.prototype, 'stream')?.get;

/**
 * Returns the stream of a request over HTTP/2, also after it was closed, and `undefined` for each
 * other request. Never throws.
 */
export function http2StreamOf(req: NodeRequest): ServerHttp2Stream | undefined {
  // Node's accessor costs more than the rest of a check where a framework has changed the request's
  // prototype.
  if (req.httpVersionMajor === 1) {
    return undefined;
  }
  try {
    return readStream?.call(req);
  } catch {
    return undefined;
  }
}
