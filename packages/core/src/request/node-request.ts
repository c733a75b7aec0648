import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';

/** Node's request, of HTTP/1.1 or of http2's compatibility API. */
export type NodeRequest = IncomingMessage | Http2ServerRequest;
