import { channel } from 'node:diagnostics_channel';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { checkTls, watchTls } from '../../../packages/core/src/certificate/tls-profile.js';
import type { RequestRefused } from '../../../packages/core/src/errors.js';

beforeAll(watchTls);

const suite = 'ECDHE-RSA-AES128-GCM-SHA256';

function outcome(connection: object | undefined): string {
  try {
    const req = { socket: connection };
    // As Node announces a request.
    channel('http.server.request.start').publish({ request: req, socket: connection ?? {} });
    checkTls(req as never, [suite]);
    return 'passes';
  } catch (thrown) {
    const { code, status, detail } = thrown as RequestRefused;
    return `${status} ${code}: ${detail}`;
  }
}

const over = (version: string | null | undefined, name: string | undefined) => ({
  encrypted: true,
  getProtocol: () => version,
  getCipher: () => name && { name },
  getFinished: () => Buffer.from('first'),
  _handle: { handshakes: 0 },
});
const refused = (what: string) =>
  `400 tls_unsuitable: ${what}; https.createServer({ ...fapiTlsOptions(), ... }) would not have accepted it`;

const unknown =
  '400 tls_unsuitable: the connection does not say how many TLS 1.2 handshakes it had: it is closed, or this version of Node is not supported';

describe('the TLS of a connection, as a profile has it', () => {
  it.each<[string, object | undefined, string]>([
    ['TLS 1.3, any suite', over('TLSv1.3', 'TLS_CHACHA20_POLY1305_SHA256'), 'passes'],
    ['TLS 1.2, a suite of the profile', over('TLSv1.2', suite), 'passes'],
    ['TLS 1.2, another suite', over('TLSv1.2', 'AES128-SHA'), refused('TLSv1.2 with AES128-SHA')],
    ['TLS 1.1, though of a good suite', over('TLSv1.1', suite), refused(`TLSv1.1 with ${suite}`)],
    ['a connection that has just closed', { ...over(null, undefined), _handle: null }, unknown],
    ['a connection that cannot say', { encrypted: true }, unknown],
    ['a connection that cannot say its version', over(null, suite), refused(`unknown with ${suite}`)],
    ['plain HTTP', { encrypted: false }, '400 tls_unsuitable: no TLS'],
    ['plain HTTP, which says nothing', {}, '400 tls_unsuitable: no TLS'],
    ['a connection that has gone', undefined, '400 tls_unsuitable: no TLS'],
  ])('%s', (_title, connection, expected) => {
    expect([outcome(connection), outcome(connection)]).toEqual([expected, expected]);
  });

  it('is read once of a connection, which is refused after another handshake', () => {
    for (const version of ['TLSv1.2', 'TLSv1.1']) {
      const getCipher = vi.fn(() => ({ name: suite }));
      const connection = { ...over(version, suite), getCipher };
      const first = outcome(connection);
      // A second copy of this module, which another test of this process loaded, reads it as well.
      const reads = getCipher.mock.calls.length;
      expect(reads).toBeGreaterThan(0);
      expect(outcome(connection)).toBe(first);
      expect(getCipher).toHaveBeenCalledTimes(reads);
      connection._handle.handshakes = 1;
      expect(outcome(connection)).toMatch(/^400 tls_unsuitable: another TLS 1.2 handshake began/);
    }
  });
});
