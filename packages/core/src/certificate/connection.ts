import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { NodeRequest } from '../request/bearer-token.js';

/** What we use of a connection. On one that is plain TCP, or is gone, members are missing. */
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
  /** The server that accepted it. */
  readonly server?: { address(): unknown; readonly listening?: boolean };
};

/** http2 makes a new socket proxy for each request; the one of the session lives as long as the connection. */
export function connectionOf(req: NodeRequest): Connection | undefined {
  if ('stream' in req) {
    return req.stream?.session?.socket as Connection | undefined;
  }
  return req.socket as Connection | undefined;
}

/**
 * Whether the connection came over a unix socket. A TCP connection whose client has gone may have no address either, so the
 * missing address alone proves nothing: the server must listen on a path, or on a socket that was handed over to it
 * (`listen({ fd })`, systemd). A server that listens on TCP always has an address and a port.
 */
export function isUnixSocket({ remoteAddress, destroyed, server }: Connection): boolean {
  if (remoteAddress !== undefined || destroyed !== false || server === undefined) {
    return false;
  }
  const address = server.address();
  return typeof address === 'string' || (address === null && server.listening === true);
}

/** Tells one handshake of a connection from the next one. */
export type Handshake = Uint8Array | 'only';

/**
 * The present handshake of a TLS connection, or `undefined` where it can't be told. In TLS 1.3 a connection has one handshake
 * (RFC 8446 §4.1.2 forbids another). In TLS 1.2 the client may renegotiate, with another certificate or none.
 */
export function handshakeOf(connection: Connection): Handshake | undefined {
  return connection.getProtocol?.() === 'TLSv1.3' ? 'only' : (connection.getFinished?.() ?? undefined);
}

/** Remembers what `read` finds out of a TLS connection, until the connection's next handshake. */
export function perHandshake<T>(read: (connection: Connection) => T): (connection: Connection) => T {
  const known = new WeakMap<Connection, { readonly handshake: Handshake; readonly value: T }>();
  return (connection) => {
    const remembered = known.get(connection);
    if (remembered !== undefined && isPresent(remembered.handshake, connection)) {
      return remembered.value;
    }
    const handshake = handshakeOf(connection);
    const value = read(connection);
    if (handshake !== undefined) {
      known.set(connection, { handshake, value });
    }
    return value;
  };
}

function isPresent(handshake: Handshake, connection: Connection): boolean {
  if (handshake === 'only') {
    return true;
  }
  const finished = connection.getFinished?.();
  return finished !== undefined && Buffer.compare(finished, handshake) === 0;
}
