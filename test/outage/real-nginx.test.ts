import type { BreakerEvent } from '@mtls-bound/core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../support/apis.js';
import { audience } from '../support/audience.js';
import { call } from '../support/calls.js';
import { answer, type FaultyServer, goodClaims, startFaultyServer } from '../support/faulty-server.js';
import { createPki, type Pki } from '../support/pki.js';
import { describeReal } from '../support/programs.js';
import { type RealProxy, startProxy } from '../support/real-proxies.js';
import { recordedEvents } from '../support/recorded-events.js';

const keepAliveMs = 1_000;
const burst = 25;

describeReal('nginx', 'a real NGINX before the authorization server closes idle connections', () => {
  let pki: Pki;
  let server: FaultyServer;
  let nginx: RealProxy;
  const breakers = recordedEvents<BreakerEvent>('mtls-bound:breaker');

  beforeAll(async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    pki = await createPki();
    server = await startFaultyServer(pki);
    server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
    nginx = await startProxy({
      program: 'nginx',
      config: 'nginx/mutual-tls-hop.conf',
      pki,
      upstream: Number(new URL(server.issuer).port),
      secret: 'unused',
      replace: {
        'ssl_verify_client      optional_no_ca;': `keepalive_timeout ${keepAliveMs}ms;`,
        'proxy_ssl_verify              on;': '',
      },
    });
  });
  afterAll(async () => {
    await nginx?.close();
    await server?.close();
  });

  it.each(frameworks)(
    '%s: bursts over connections that NGINX closes while the event loop is busy are all answered',
    async (framework) => {
      const api = await startApi(framework, pki, {
        issuer: server.issuer,
        metadata: { introspection_endpoint: `https://127.0.0.1:${nginx.port}/introspect` },
        clientId: 'api',
        clientSecret: 'a-secret',
        audience,
        http: { ca: pki.ca.cert, timeout: 20, failuresToOpen: 1 },
      });
      const status = async (token: string) =>
        (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
      const sendBurst = (round: string) =>
        Promise.all(Array.from({ length: burst }, (_, i) => status(`${framework}-${round}-${i}`)));
      try {
        for (let round = 0; round < 5; round += 1) {
          expect(new Set(await sendBurst(`${round}-a`))).toEqual(new Set([200]));
          // NGINX closes the connections while this process reads nothing; the next burst begins before it does.
          const pool = Date.now();
          while (Date.now() - pool < keepAliveMs + 200) {
            // The event loop is busy.
          }
          expect(new Set(await sendBurst(`${round}-b`))).toEqual(new Set([200]));
        }
        expect(server.requests.length).toBeGreaterThanOrEqual(10 * burst);
        expect(breakers).toEqual([]);
      } finally {
        await api.close();
      }
    },
  );
});
