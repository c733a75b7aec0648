import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { http2StreamOf } from '../request/http2-request.js';
import type { NodeRequest } from '../request/node-request.js';

/** The members that this library reads of a connection. Plain TCP and closed ones lack some. */
export type Connection = Partial<
  Pick<
    TLSSocket,
    | 'encrypted'
    | 'authorized'
    | 'authorizationError'
    | 'getPeerX509Certificate'
    | 'getProtocol'
    | 'getCipher'
    | 'getFinished'
    | 'isSessionReused'
  > &
    Pick<Socket, 'remoteAddress' | 'destroyed'>
> & {
  /** Of a server's TLS connection: Node counts here the handshakes after the first one. */
  readonly _handle?: { readonly handshakes?: unknown } | null;
  /** The server that accepted it. */
  readonly server?: { address(): unknown; readonly listening?: boolean; readonly crl?: unknown } | null;
  /** Node's options for the connection. Their `server` ended TLS, even if another one got it later. */
  readonly _tlsOptions?: { readonly server?: { readonly crl?: unknown } | null } | null;
};

/**
 * http2 makes a new socket proxy for each request; the one of the session lives as long as the
 * connection.
 */
export function connectionOf(req: NodeRequest): Connection | undefined {
  const stream = http2StreamOf(req);
  return (stream === undefined ? req.socket : stream.session?.socket) as Connection | undefined;
}

/**
 * Returns whether no server of Node accepted the connection. Adapters of serverless platforms and
 * tools that inject requests simulate connections, and some claim that they are encrypted.
 */
export function isSimulated({ server, getPeerX509Certificate }: Connection): boolean {
  return server === undefined && getPeerX509Certificate === undefined;
}

/**
 * Whether the connection came over a unix socket. A TCP connection whose client has gone may have
 * no address either, so the missing address alone proves nothing: the server must listen on a path,
 * or on a socket that was handed over to it (`listen({ fd })`, systemd). A server that listens on
 * TCP always has an address and a port.
 */
export function isUnixSocket({ remoteAddress, destroyed, server }: Connection): boolean {
  // Of a connection that no server accepted it is `null`; a stand-in may have anything.
  if (remoteAddress !== undefined || destroyed !== false || typeof server?.address !== 'function') {
    return false;
  }
  const address = server.address();
  return typeof address === 'string' || (address === null && server.listening === true);
}
