import { RequestRefused } from '../errors.js';
import type { NodeRequest } from '../request/bearer-token.js';
import { connectionOf } from './connection.js';

// The version and suite of a connection never change, so they are judged once.
const judged = new WeakMap<object, string | true>();

/**
 * Refuses a connection whose TLS a profile does not permit: the last line, should the server's own options let one
 * through. Throws `RequestRefused`.
 */
export function checkTls(req: NodeRequest, ciphers: readonly string[]): void {
  const connection = connectionOf(req);
  if (connection === undefined || connection.encrypted !== true) {
    throw new RequestRefused('tls_unsuitable', { detail: 'no TLS' });
  }
  const verdict = judged.get(connection) ?? judge(connection, ciphers);
  judged.set(connection, verdict);
  if (verdict !== true) {
    throw new RequestRefused('tls_unsuitable', {
      detail: `${verdict}; https.createServer({ ...fapiTlsOptions(), ... }) would not have accepted it`,
    });
  }
}

function judge(
  connection: NonNullable<ReturnType<typeof connectionOf>>,
  ciphers: readonly string[],
): string | true {
  const version = connection.getProtocol?.() ?? 'unknown';
  const cipher = connection.getCipher?.()?.name ?? 'unknown';
  const isPermitted = version === 'TLSv1.3' || (version === 'TLSv1.2' && ciphers.includes(cipher));
  return isPermitted || `${version} with ${cipher}`;
}
