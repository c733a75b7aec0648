import { RequestRefused } from '../errors.js';
import type { NodeRequest } from '../request/node-request.js';
import { type Connection, connectionOf } from './connection.js';
import { createSingleHandshakeReader } from './single-handshake.js';

const cipherIn = (connection: Connection) => ({
  version: connection.getProtocol?.() ?? 'unknown',
  name: connection.getCipher?.()?.name ?? 'unknown',
});

/** Made when a profile is first set: a process without one does not listen to each request. */
let cipherOf: ReturnType<typeof createSingleHandshakeReader<ReturnType<typeof cipherIn>>> | undefined;

/** Call it before the server takes requests. */
export function watchTls(): void {
  cipherOf ??= createSingleHandshakeReader(cipherIn);
}

/**
 * Refuses a connection whose TLS a profile does not permit: the last line, should the server's own
 * options let one through. Throws `RequestRefused`.
 */
export function checkTls(req: NodeRequest, ciphers: readonly string[]): void {
  const connection = connectionOf(req);
  if (connection === undefined || connection.encrypted !== true) {
    throw new RequestRefused('tls_unsuitable', { detail: 'no TLS' });
  }
  watchTls();
  const { version, name } = cipherOf?.(req)?.value ?? { version: 'unknown', name: 'unknown' };
  const isPermitted = version === 'TLSv1.3' || (version === 'TLSv1.2' && ciphers.includes(name));
  if (!isPermitted) {
    throw new RequestRefused('tls_unsuitable', {
      detail:
        `${version} with ${name}; https.createServer({ ...fapiTlsOptions(), ... }) ` +
        'would not have accepted it',
    });
  }
}
