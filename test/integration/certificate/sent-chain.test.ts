// Node 24.21 and 26.8 read the certificate of an authorized connection before any program can, and so lose what came
// with it (nodejs/node#65579). Here a listener makes that read on every version of Node.
import 'reflect-metadata';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect, type SecureVersion, type TLSSocket } from 'node:tls';
import { nginx, proxyHeader } from '@mtls-bound/core';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { thumbprintOf } from '../../../packages/core/src/certificate/client-certificate.js';
import { patchTlsHandles } from '../../../packages/core/src/certificate/sent-chain.js';
import { createApi, frameworks } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { authority, client, type Node } from '../../support/chains.js';
import { close, listen } from '../../support/loopback.js';
import { createPki } from '../../support/pki.js';
import { boundClaims, pretendServer } from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const pki = await createPki();
const root = await authority('CN=Root');
const middle = await authority('CN=Middle', root);
const alice = await client('CN=alice', middle);
const edge = await client('CN=edge', middle);
const bound = (token: string) => boundClaims({ thumbprint: token.slice(2) } as never);

const ends: (() => Promise<unknown>)[] = [];
afterAll(() => Promise.all(ends.map((end) => end())));
patchTlsHandles('24.21.0');

const tls = {
  cert: pki.server.cert,
  key: pki.server.key,
  ca: root.cert,
  requestCert: true,
  rejectUnauthorized: false,
};

/** Reads as those versions of Node do. */
function readEarly(socket: TLSSocket): void {
  expect(socket.authorized).toBe(true);
  expect(socket.getPeerX509Certificate()).toBeDefined();
}

async function statusOf(port: number, own: Node, maxVersion: SecureVersion, header = ''): Promise<string> {
  const options = { cert: own.cert + middle.cert, key: own.key, maxVersion, rejectUnauthorized: false };
  const socket = connect({ host: '127.0.0.1', port, ...options });
  const token = `t-${thumbprintOf(alice.der)}`;
  socket.write(
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n${header}\r\n`,
  );
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  await once(socket, 'close');
  return text.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length);
}

describe.each(frameworks)('%s', (framework) => {
  async function start(more: object): Promise<number> {
    const as = pretendServer(bound);
    const { listener, resourceServer } = createApi(framework, {
      issuer: as.issuer,
      clientId: 'api',
      clientSecret: 's',
      audience,
      http: { fetch: as.fetch },
      ...more,
    });
    const server = createServer(tls, listener);
    server.prependListener('secureConnection', readEarly);
    ends.push(
      () => resourceServer.close(),
      () => close(server),
    );
    return await listen(server);
  }

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'certificatePolicy.authorities has what came over %s',
    async (version) => {
      const port = await start({ certificatePolicy: { authorities: root.cert } });
      expect(await statusOf(port, alice, version)).toBe('200');
      const elsewhere = await start({ certificatePolicy: { authorities: pki.ca.cert } });
      expect(await statusOf(elsewhere, alice, version)).toBe('403');
    },
  );

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('proxyCertificate has what came over %s', async (version) => {
    const proxyCertificate = { ca: root.cert, subject: 'CN=edge' };
    const port = await start({ certificate: proxyHeader(nginx(), { trust: 'loopback', proxyCertificate }) });
    const header = `X-SSL-Client-Cert: ${encodeURIComponent(alice.cert)}\r\n`;
    expect(await statusOf(port, edge, version, header)).toBe('200');
    expect(await statusOf(port, alice, version, header)).toBe('401');
  });
});
