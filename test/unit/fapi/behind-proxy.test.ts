// The profile's rules about TLS are about the client's own connection: that of the API, or that of its proxy.
import { createResourceServer, nginx, proxyHeader, tlsSocket } from '@mtls-bound/core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { createPki, type Pki } from '../../support/pki.js';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

let pki: Pki;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});

const connection = (version: string, cipher: string) => ({
  remoteAddress: '10.0.0.5',
  encrypted: true,
  authorized: true,
  getPeerX509Certificate: () => ({ raw: pki.alice.der }),
  getProtocol: () => version,
  getCipher: () => ({ name: cipher }),
});
const hops: [string, () => object, string][] = [
  ['plain HTTP', () => ({ remoteAddress: '10.0.0.5' }), 'tls_unsuitable'],
  ['TLS 1.2 with an old suite', () => connection('TLSv1.2', 'AES128-SHA'), 'tls_unsuitable'],
  ['TLS 1.1', () => connection('TLSv1.1', 'ECDHE-RSA-AES128-GCM-SHA256'), 'tls_unsuitable'],
  ['TLS 1.3', () => connection('TLSv1.3', 'TLS_AES_128_GCM_SHA256'), 'admitted'],
];

describe.each(['fapi1-advanced', 'fapi2-security'] as const)('profile %s', (profile) => {
  const server = () => pretendServer(() => boundClaims(pki.alice));
  const common = { profile, audience: 'https://api.example.com' } as const;

  it.each(hops)("%s between proxy and API is not the client's connection", async (_title, socket) => {
    const certificate = proxyHeader(nginx(), { trust: '10.0.0.5' });
    const resourceServer = createResourceServer(optionsOver(server(), undefined, { ...common, certificate }));
    const headers = { 'x-ssl-client-cert': encodeURIComponent(pki.alice.cert) };
    for (let i = 0; i < 2; i += 1) {
      const outcome = await outcomeOf(() =>
        resourceServer.authorize(requestWith('token', headers, socket())),
      );
      expect(outcome).toBe('admitted');
    }
  });

  it.each(hops)('%s to the API itself', async (_title, socket, expected) => {
    const certificate = tlsSocket();
    const resourceServer = createResourceServer(optionsOver(server(), undefined, { ...common, certificate }));
    for (let i = 0; i < 2; i += 1) {
      const outcome = await outcomeOf(() => resourceServer.authorize(requestWith('token', {}, socket())));
      expect(outcome).toBe(expected);
    }
  });
});
