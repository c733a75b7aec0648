import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { CertificateSource } from '../certificate/client-certificate.js';
import { type Arrival, examine, unparsable } from './arrival.js';

/** Marks the answers of a listener, for `probe`. */
export const listenerHeader = 'x-mtls-doctor';

export interface ListenerOptions {
  readonly source: CertificateSource | undefined;
  /** For TLS that Node ends itself. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Characters of a header block; as the API has it. */
  readonly maxHeaderSize?: number;
  readonly onArrival: (arrival: Arrival) => void;
}

/**
 * Stands in for the API behind its proxy, and answers each request with what arrived: never with
 * what could be a token.
 */
export function createListener({ source, tls, onArrival, maxHeaderSize }: ListenerOptions): Server {
  const listener = async (req: IncomingMessage, res: import('node:http').ServerResponse): Promise<void> => {
    req.resume();
    try {
      await source?.prepare?.(Date.now());
    } catch {
      // The source says why itself.
    }
    const arrival = examine(req, source);
    onArrival(arrival);
    res
      .writeHead(200, { 'content-type': 'application/json', [listenerHeader]: '1' })
      .end(JSON.stringify(arrival));
  };
  const limit = maxHeaderSize === undefined ? {} : { maxHeaderSize };
  const server =
    tls === undefined
      ? createServer(limit, listener)
      : createTlsServer({ ...tls, ...limit, requestCert: true, rejectUnauthorized: false }, listener);
  return server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || error.code?.startsWith('HPE_') !== true) {
      socket.destroy();
      return;
    }
    const arrival = unparsable(error.code, socket, source);
    onArrival(arrival);
    const body = JSON.stringify(arrival);
    const head = [
      'HTTP/1.1 400 Bad Request',
      `${listenerHeader}: 1`,
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ];
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  });
}
