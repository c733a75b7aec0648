import { execFile } from 'node:child_process';
import { constants } from 'node:crypto';
import { createServer } from 'node:https';
import { type ConnectionOptions, connect, getCiphers, type TLSSocket } from 'node:tls';
import { fapiTlsOptions } from 'koa-mtls';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { close, listen } from '../../support/loopback.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { findProgram, itReal } from '../../support/programs.js';

let pki: Pki;
let server: ReturnType<typeof createServer> | undefined;
beforeAll(async () => {
  pki = await createPki();
});
afterEach(async () => {
  if (server !== undefined) {
    await close(server);
    server = undefined;
  }
});

async function serve(options: Parameters<typeof fapiTlsOptions>[0], identity: Identity): Promise<number> {
  server = createServer({ ...fapiTlsOptions(options), cert: identity.cert, key: identity.key }, (_req, res) =>
    res.end(),
  );
  server.on('tlsClientError', () => undefined);
  return listen(server);
}

/** What was agreed on, or undefined when nothing was. */
function handshake(port: number, options: ConnectionOptions): Promise<TLSSocket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', ca: pki.ca.cert, ...options });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

/** Every suite of TLS 1.2 and before that this machine's OpenSSL knows. */
const everySuite = getCiphers()
  .filter((name) => !name.startsWith('tls_'))
  .map((name) => name.toUpperCase());

const lists = {
  'fapi1-final': [
    'DHE-RSA-AES128-GCM-SHA256',
    'DHE-RSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES256-GCM-SHA384',
  ],
  bcp195: [
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES256-GCM-SHA384',
  ],
};

describe.each(['fapi1-final', 'bcp195'] as const)(
  'R155 R156 R157: fapiTlsOptions({ ciphers: %j })',
  (list) => {
    it('accepts exactly the permitted suites of TLS 1.2, of all that there are', async () => {
      const accepted = new Set<string>();
      for (const identity of [pki.serverRsa, pki.server]) {
        const port = await serve({ ciphers: list }, identity);
        for (const suite of everySuite) {
          const socket = await handshake(port, {
            ciphers: `${suite}:@SECLEVEL=0`,
            minVersion: 'TLSv1.2',
            maxVersion: 'TLSv1.2',
          });
          if (socket !== undefined) {
            accepted.add(socket.getCipher().name);
            socket.destroy();
          }
        }
        await close(server as never);
      }
      server = undefined;
      expect(everySuite.length).toBeGreaterThan(40);
      expect([...accepted].toSorted()).toEqual(lists[list]);
    });

    it('R153 R154: refuses TLS 1.0 and 1.1, and prefers 1.3', async () => {
      const port = await serve({ ciphers: list }, pki.serverRsa);
      for (const version of ['TLSv1', 'TLSv1.1'] as const) {
        const options = { minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' };
        expect(await handshake(port, options)).toBeUndefined();
      }
      const socket = await handshake(port, {});
      expect(socket?.getProtocol()).toBe('TLSv1.3');
      socket?.destroy();
    });
  },
);

it('R16 R18: asks for a certificate, and lets a self-signed one through to the binding', async () => {
  const port = await serve({}, pki.server);
  const seen: boolean[] = [];
  server?.on('secureConnection', (socket: TLSSocket) => {
    seen.push(socket.getPeerX509Certificate()?.raw.equals(pki.selfSignedEc.der) === true);
  });
  const { cert, key } = pki.selfSignedEc;
  const socket = await handshake(port, { cert, key });
  expect(socket).toBeDefined();
  await vi.waitFor(() => expect(seen).toEqual([true]));
  socket?.destroy();
});

it('R16 R161: a client can not renegotiate', async () => {
  const port = await serve({}, pki.server);
  const socket = await handshake(port, { maxVersion: 'TLSv1.2' });
  const failure = await new Promise<Error | null>((resolve) => {
    socket?.once('error', resolve);
    socket?.renegotiate({ rejectUnauthorized: false }, (error) => resolve(error ?? null));
    setTimeout(() => resolve(null), 2_000);
  });
  expect(failure).toBeInstanceOf(Error);
  socket?.destroy();
});

it.each([
  [true, true],
  [false, false],
])('R161: resumption: %s', async (resumption, reused) => {
  const port = await serve({ resumption }, pki.server);
  // TLS 1.2 has its session, and its ticket where there is one, by the end of the handshake.
  const first = await handshake(port, { maxVersion: 'TLSv1.2' });
  const session = first?.getSession();
  first?.destroy();
  const second = await handshake(port, { maxVersion: 'TLSv1.2', ...(session && { session }) });
  expect(second?.isSessionReused()).toBe(reused);
  second?.destroy();
});

itReal('openssl', 'R155: the openssl program agrees: no group below 2,048 bits', async () => {
  const port = await serve({ ciphers: 'fapi1-final' }, pki.serverRsa);
  const openssl = findProgram('openssl') ?? '';
  // Not synchronously: the server runs in this process.
  const printed = await new Promise<string>((resolve) => {
    const args = [
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-tls1_2',
      '-cipher',
      'DHE-RSA-AES128-GCM-SHA256',
    ];
    execFile(openssl, args, (_error, stdout) => resolve(stdout)).stdin?.end();
  });
  const bits = Number(/(?:Server|Peer) Temp Key: DH, (\d+) bits/.exec(printed)?.[1]);
  expect(bits).toBeGreaterThanOrEqual(2_048);
});

it('wrong options are refused', () => {
  expect(() => fapiTlsOptions({ ciphers: 'all' as never })).toThrow(
    mismatch('fapiTlsOptions().ciphers', 'a string of 3 characters'),
  );
  expect(fapiTlsOptions().secureOptions).toBe(constants.SSL_OP_NO_RENEGOTIATION);
});
