// clientCertificates() of both adapters, for each source of certificates, over real connections.
import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type CertificateSource, envoy, nginx, proxyHeader, tlsSocket } from '@mtls-bound/core';
import supertest from 'supertest';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, serve } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import type { Identity } from '../../support/pki.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();

// A token is the name of the client, and of the certificate that it is bound to.
const identities = { alice: pki.alice, bob: pki.bob };
server.introspection = (req, res, body) => {
  const name = new URLSearchParams(body).get('token') as keyof typeof identities;
  answer(200, goodClaims(server.issuer, identities[name].thumbprint, { client_id: name }))(req, res, body);
};
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

type Listener = ReturnType<typeof createApi>['listener'];
type Send = (token: keyof typeof identities, shown: Identity) => Promise<number>;

interface Source {
  readonly certificate: () => CertificateSource;
  /** Starts an API, and returns how a client asks it. */
  readonly start: (listener: Listener) => Promise<{ send: Send; end(): Promise<void> }>;
  readonly knowsEnd: boolean;
}

const overTls: Source['start'] = async (listener) => {
  const api = await serve(createTlsServer(mutualTls(pki), listener), () => 0);
  return {
    send: async (token, shown) => (await call(pki, api, '/', shown).auth(token, { type: 'bearer' })).status,
    end: api.close,
  };
};

const behindProxy =
  (header: string, write: (shown: Identity) => string): Source['start'] =>
  async (listener) => {
    const api = createServer(listener);
    const port = await listen(api);
    return {
      send: async (token, shown) => {
        const request = supertest(`http://127.0.0.1:${port}`).get('/').set(header, write(shown));
        return (await request.auth(token, { type: 'bearer' })).status;
      },
      end: () => close(api),
    };
  };

const hex = ({ thumbprint }: Identity): string => Buffer.from(thumbprint, 'base64url').toString('hex');

const sources: Record<string, Source> = {
  'the TLS connection': { certificate: tlsSocket, start: overTls, knowsEnd: true },
  "a trusted proxy's header": {
    certificate: () => proxyHeader(nginx(), { trust: 'loopback' }),
    start: behindProxy('x-ssl-client-cert', ({ cert }) => encodeURIComponent(cert)),
    knowsEnd: true,
  },
  "a trusted proxy's header with the hash alone": {
    certificate: () => proxyHeader(envoy(), { trust: 'loopback' }),
    start: behindProxy('x-forwarded-client-cert', (shown) => `Hash=${hex(shown)}`),
    knowsEnd: false,
  },
};

const endOf = ({ cert }: Identity): Date => new Date(new X509Certificate(cert).validTo);
const cases = frameworks.flatMap((framework) =>
  Object.entries(sources).map(([title, source]) => [framework, title, source] as const),
);

describe.each(cases)('%s, %s', (framework, _title, { certificate, start, knowsEnd }) => {
  it('lists each client with its certificate, until when it is valid, and when it was seen', async () => {
    const begun = Date.now();
    const { listener, resourceServer } = createApi(framework, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'a-secret',
      audience,
      certificate: certificate(),
      http: { ca: pki.ca.cert },
    });
    const { send, end } = await start(listener);
    expect(resourceServer.clientCertificates()).toEqual([]);
    expect(await send('alice', pki.alice)).toBe(200);
    expect(await send('bob', pki.bob)).toBe(200);
    expect(await send('alice', pki.alice)).toBe(200);
    // A stolen token makes no row.
    expect(await send('alice', pki.bob)).toBe(401);
    await end();
    const rows = resourceServer.clientCertificates();
    const of = (name: keyof typeof identities) => ({
      issuer: server.issuer,
      clientId: name,
      thumbprint: identities[name].thumbprint,
      notAfter: knowsEnd ? endOf(identities[name]) : undefined,
      daysLeft: knowsEnd ? 29 : undefined,
      firstSeen: expect.any(Date),
      lastSeen: expect.any(Date),
      isReplaced: false,
    });
    expect(rows).toHaveLength(2);
    expect(rows).toEqual(expect.arrayContaining([of('alice'), of('bob')]));
    for (const { firstSeen, lastSeen } of rows) {
      expect(firstSeen.getTime()).toBeGreaterThanOrEqual(begun);
      expect(lastSeen.getTime()).toBeGreaterThanOrEqual(firstSeen.getTime());
    }
    const [alice] = rows.filter(({ clientId }) => clientId === 'alice');
    expect(alice?.lastSeen.getTime()).toBeGreaterThan(alice?.firstSeen.getTime() ?? 0);
    await resourceServer.close();
  });
});
