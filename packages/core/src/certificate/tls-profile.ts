import { RequestRefused } from '../errors.js';
import type { NodeRequest } from '../request/bearer-token.js';
import { connectionOf, perHandshake } from './connection.js';

// The version and suite of a handshake never change, so they are judged once.
const cipherOf = perHandshake((connection) => ({
  version: connection.getProtocol?.() ?? 'unknown',
  name: connection.getCipher?.()?.name ?? 'unknown',
}));

/**
 * Refuses a connection whose TLS a profile does not permit: the last line, should the server's own options let one
 * through. Throws `RequestRefused`.
 */
export function checkTls(req: NodeRequest, ciphers: readonly string[]): void {
  const connection = connectionOf(req);
  if (connection === undefined || connection.encrypted !== true) {
    throw new RequestRefused('tls_unsuitable', { detail: 'no TLS' });
  }
  const { version, name } = cipherOf(connection);
  const isPermitted = version === 'TLSv1.3' || (version === 'TLSv1.2' && ciphers.includes(name));
  if (!isPermitted) {
    throw new RequestRefused('tls_unsuitable', {
      detail: `${version} with ${name}; https.createServer({ ...fapiTlsOptions(), ... }) would not have accepted it`,
    });
  }
}
