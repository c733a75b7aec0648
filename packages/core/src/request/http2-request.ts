import type { Http2ServerRequest } from 'node:http2';
import type { NodeRequest } from './node-request.js';

/** Whether a request came over HTTP/2. A member that other code of the application gave to every object says nothing. */
export function isHttp2Request(req: NodeRequest): req is Http2ServerRequest {
  return 'stream' in req && !('stream' in Object.prototype);
}
