import { subscribe } from 'node:diagnostics_channel';
import { RequestRefused } from '../errors.js';
import { http2StreamOf } from '../request/http2-request.js';
import type { NodeRequest } from '../request/node-request.js';
import { type Connection, connectionOf } from './connection.js';

// In TLS 1.2 a client may begin another handshake at any time. From its first message on, Node
// gives the certificate that the client has sent, though the client has not proven its key yet. The
// head of a request may wait while this happens, behind a paused connection. So what a request
// needs is read when its head is read, and only while the connection has had one handshake.

type Read<T> = (connection: Connection) => T;

const readers = new Set<Read<unknown>>();
const found = new WeakMap<object, ReadonlyMap<Read<unknown>, unknown>>();

/**
 * Node's own channel: it publishes right after the head of a request of HTTP/1.1 was read, before
 * other events.
 */
const REQUEST_START = 'http.server.request.start';

/**
 * Makes a function that reads a value of a request's TLS connection. The value is certain to be of the
 * only handshake of the connection; without a connection there is none. Call it before the server takes
 * requests. The function throws `RequestRefused` over TLS 1.2 for a request whose head was read after
 * another handshake of the connection began, and for a request of HTTP/1.1 that Node does not announce,
 * such as an upgrade.
 */
export function createSingleHandshakeReader<T>(
  read: Read<T>,
): (req: NodeRequest) => { readonly value: T } | undefined {
  const known = new WeakMap<Connection, { readonly value: T }>();
  const readNow = ofFirstHandshake(read);
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
    if (values?.has(readNow) !== true) {
      throw new RequestRefused('tls_unsuitable', { detail: explainUnknown(laterHandshakes(connection)) });
    }
    return { value: values.get(readNow) as T };
  };
}

function explainUnknown(later: unknown): string {
  if (later === 0) {
    return (
      'over TLS 1.2, whose handshake is certain only at the start of a request that Node announces; ' +
      "for upgrades use TLS 1.3: https.createServer({ minVersion: 'TLSv1.3', ... })"
    );
  }
  return later === undefined
    ? 'the connection does not say how many TLS 1.2 handshakes it had: it is closed, or this ' +
        'version of Node is not supported'
    : 'another TLS 1.2 handshake began on the connection, so it is not certain which of them the ' +
        'request belongs to; ask for the certificate in the first one (requestCert: true), and use ' +
        "TLS 1.3 (minVersion: 'TLSv1.3') or turn renegotiation off (secureOptions: " +
        'constants.SSL_OP_NO_RENEGOTIATION)';
}

/**
 * TLS 1.3 has no renegotiation (RFC 8446 §4.1.2). Node ends a connection of HTTP/2 that begins one
 * (RFC 9113 §9.2.1), but only from when HTTP/2 takes the connection: an application may hand it
 * over later, with a request that waits in it already.
 */
function hasOneHandshake(req: NodeRequest, connection: Connection): boolean {
  return (
    connection.getProtocol?.() === 'TLSv1.3' ||
    (http2StreamOf(req) !== undefined && laterHandshakes(connection) === 0)
  );
}

/**
 * Connections of TLS 1.3: of their requests nothing is read here. Node looks the protocol of a
 * connection up in OpenSSL, which costs more than all else that is done here.
 */
const neverRenegotiated = new WeakSet<Connection>();

/**
 * Never throws: an error in a subscriber ends the process. A request of which nothing could be read
 * is refused.
 */
function onRequestStart(message: unknown): void {
  try {
    const { request, socket } = message as { request: NodeRequest; socket: Connection };
    if (neverRenegotiated.has(socket)) {
      return;
    }
    if (socket.encrypted === true && socket.getProtocol?.() === 'TLSv1.3') {
      neverRenegotiated.add(socket);
      return;
    }
    const mayRenegotiate = socket.encrypted === true && !hasOneHandshake(request, socket);
    if (mayRenegotiate && laterHandshakes(socket) === 0) {
      found.set(request, new Map([...readers].map((read) => [read, read(socket)])));
    }
  } catch {
    // What is not found is refused where it is asked for.
  }
}

/**
 * How many handshakes began after the first one, as Node counts them to limit renegotiation. No
 * public API says it. `undefined` where there is no such count, as on a connection that is gone:
 * then nothing proves that there was one handshake.
 */
function laterHandshakes(connection: Connection): unknown {
  return connection._handle?.handshakes;
}

/**
 * Remembers what `read` gives for the first handshake. Throws where the Finished message is another
 * one or missing: so a second handshake is noticed by two signs, of which the message is in Node's
 * public API.
 */
function ofFirstHandshake<T>(read: Read<T>): Read<T> {
  const known = new WeakMap<Connection, { readonly finished: Uint8Array; readonly value: T }>();
  return (connection) => {
    // `null` once the connection was destroyed, though the types say otherwise.
    const finished = connection.getFinished?.() ?? undefined;
    if (finished === undefined) {
      throw new Error('the connection does not say which handshake was its last');
    }
    const remembered = known.get(connection);
    if (remembered === undefined) {
      const value = read(connection);
      known.set(connection, { finished, value });
      return value;
    }
    if (Buffer.compare(finished, remembered.finished) !== 0) {
      throw new Error('the connection was renegotiated');
    }
    return remembered.value;
  };
}
