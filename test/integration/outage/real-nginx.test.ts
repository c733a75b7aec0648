import { Agent, get } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BreakerEvent } from '@mtls-bound/core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { answer, type FaultyServer, goodClaims, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { type RealProxy, startProxy } from '../../support/real-proxies.js';
import { recordedEvents } from '../../support/recorded-events.js';

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
        authorizationServerMetadata: { introspection_endpoint: `https://127.0.0.1:${nginx.port}/introspect` },
        clientId: 'api',
        clientSecret: 'a-secret',
        audience,
        http: { ca: pki.ca.cert, timeout: 20 },
        circuitBreaker: { maxFailures: 1 },
      });
      const agent = new Agent({
        keepAlive: true,
        maxSockets: burst,
        cert: pki.alice.cert,
        key: pki.alice.key,
      });
      const status = (token: string) =>
        new Promise<number | undefined>((resolve, reject) => {
          const headers = { authorization: `Bearer ${token}` };
          get(`${api.url}/`, { agent, headers, ca: pki.ca.cert }, (response) => {
            response.resume().once('end', () => resolve(response.statusCode));
          }).once('error', reject);
        });
      const sendBurst = (name: string) =>
        Promise.all(Array.from({ length: burst }, (_, i) => status(`${framework}-${name}-${i}`)));
      try {
        expect(new Set(await sendBurst('first'))).toEqual(new Set([200]));
        for (let round = 0; round < 5; round += 1) {
          await sleep(keepAliveMs / 2);
          const statuses = sendBurst(String(round));
          // The requests are on their way, and NGINX closes the connections before this process reads either of them.
          for (let tick = 0; tick < 10; tick += 1) {
            await new Promise(process.nextTick);
          }
          const busyUntil = performance.now() + keepAliveMs;
          while (performance.now() < busyUntil) {
            // The event loop is busy.
          }
          expect(new Set(await statuses)).toEqual(new Set([200]));
        }
        expect(server.requests.length).toBeGreaterThanOrEqual(6 * burst);
        expect(breakers).toEqual([]);
      } finally {
        agent.destroy();
        await api.close();
      }
    },
  );
});
