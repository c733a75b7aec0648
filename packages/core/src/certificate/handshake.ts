import { subscribe } from 'node:diagnostics_channel';
import type { NodeRequest } from '../request/bearer-token.js';
import { type Connection, connectionOf } from './connection.js';

// In TLS 1.2 a client may begin another handshake at any time. While it is under way, Node already gives the certificate that
// the client has sent, though the client has not proven its key yet, and no API tells that a handshake is under way. Between
// two handshakes alone can the head of a request arrive, so what a request needs of its connection is read at that moment.

type Read<T> = (connection: Connection) => T;

const readers = new Set<Read<unknown>>();
const found = new WeakMap<object, ReadonlyMap<Read<unknown>, unknown>>();

/** Node's own channel: it publishes in the turn in which the head of a request of HTTP/1.1 was read. */
const REQUEST_START = 'http.server.request.start';

/**
 * Reads something of a request's TLS connection: of the handshake that was the last when the request began. Call it before the
 * server takes requests. What it gives is `undefined` where that handshake can't be told: over TLS 1.2, for a request that
 * Node does not announce, such as an upgrade.
 */
export function perHandshake<T>(read: Read<T>): (req: NodeRequest) => { readonly value: T } | undefined {
  const known = new WeakMap<Connection, { readonly value: T }>();
  const readNow = perFinished(read);
  if (readers.size === 0) {
    subscribe(REQUEST_START, onRequestStart);
  }
  readers.add(readNow);
  return (req) => {
    const connection = connectionOf(req);
    const remembered = connection && known.get(connection);
    if (connection === undefined || remembered !== undefined) {
      return remembered;
    }
    if (hasOneHandshake(req, connection)) {
      const value = { value: read(connection) };
      known.set(connection, value);
      return value;
    }
    const values = found.get(req);
    return values?.has(readNow) === true ? { value: values.get(readNow) as T } : undefined;
  };
}

/** TLS 1.3 has no renegotiation (RFC 8446 §4.1.2), and Node ends a connection of HTTP/2 that begins one (RFC 9113 §9.2.1). */
function hasOneHandshake(req: NodeRequest, connection: Connection): boolean {
  return 'stream' in req || connection.getProtocol?.() === 'TLSv1.3';
}

/** Never throws: an error in a subscriber ends the process. A request of which nothing could be read is refused. */
function onRequestStart(message: unknown): void {
  try {
    const { request, socket } = message as { request: NodeRequest; socket: Connection };
    if (socket.encrypted === true && !hasOneHandshake(request, socket)) {
      found.set(request, new Map([...readers].map((read) => [read, read(socket)])));
    }
  } catch {
    // What is not found is refused where it is asked for.
  }
}

/** Remembers what `read` gives until the Finished message of another handshake was sent. */
function perFinished<T>(read: Read<T>): Read<T> {
  const known = new WeakMap<Connection, { readonly finished: Uint8Array; readonly value: T }>();
  return (connection) => {
    // `null` once the connection was destroyed, though the types say otherwise.
    const finished = connection.getFinished?.() ?? undefined;
    const remembered = known.get(connection);
    if (
      finished !== undefined &&
      remembered !== undefined &&
      Buffer.compare(finished, remembered.finished) === 0
    ) {
      return remembered.value;
    }
    const value = read(connection);
    if (finished !== undefined) {
      known.set(connection, { finished, value });
    }
    return value;
  };
}
