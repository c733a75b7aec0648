import { setTimeout as sleep } from 'node:timers/promises';
import type { ProblemEvent, ResourceServerOptions } from '@mtls-bound/core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { type Fault, type FaultInjector, startFaultInjector } from '../../support/fault-injector.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let server: TestAuthorizationServer;
let injector: FaultInjector;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  server = await startAuthorizationServer(pki);
  injector = await startFaultInjector(pki, server.issuer);
});
afterAll(async () => {
  await injector?.close();
  await server?.stop();
});

type Http = NonNullable<ResourceServerOptions['http']>;

const options = (
  cache: ResourceServerOptions['cache'] = {},
  http: Partial<Http> = {},
  circuitBreaker: ResourceServerOptions['circuitBreaker'] = {},
): ResourceServerOptions => ({
  issuer: server.issuer,
  authorizationServerMetadata: { introspection_endpoint: `${injector.url}/token/introspection` },
  clientId: 'api',
  clientSecret: server.secrets.api,
  audience,
  cache,
  http: { ca: pki.ca.cert, timeout: 1, ...http },
  circuitBreaker: { retryInterval: 0.3, maxFailures: 3, ...circuitBreaker },
});

/** Longer than the breaker rests, however busy the machine is. */
const patience = { timeout: 20_000, interval: 100 };

/** All that may come; a fault under which the answer still comes in time lets good tokens in. */
const outages: readonly { fault: Fault | 'killed'; admits: boolean }[] = [
  { fault: 'latency', admits: true },
  { fault: 'stall after headers', admits: false },
  { fault: 'black hole', admits: false },
  { fault: 'reset', admits: false },
  { fault: 'trickle', admits: false },
  { fault: 'truncated', admits: false },
  { fault: 'killed', admits: false },
];

let isStopped = false;

async function begin(fault: Fault | 'killed'): Promise<void> {
  if (fault === 'killed') {
    await server.stop();
    isStopped = true;
  } else {
    injector.fault = fault;
  }
}

async function end(): Promise<void> {
  injector.fault = 'none';
  if (isStopped) {
    await server.start();
    isStopped = false;
  }
}

describe.each(frameworks)('%s', (framework) => {
  const send = async (token: string, identity: Identity, api: TestApi) =>
    (await call(pki, api, '/', identity).auth(token, { type: 'bearer' })).status;

  it.each(outages)(
    'S13 R190: $fault: no wrong token is accepted, no request hangs, and the API recovers',
    async ({ fault, admits }) => {
      // Where the answer comes in time, a busy machine must not make it late.
      const api = await startApi(framework, pki, options({}, admits ? { timeout: 30 } : {}));
      const status = (token: string, identity: Identity) => send(token, identity, api);
      // A busy machine may let one question time out; a new token is asked about again.
      const eventually = (token: () => string | Promise<string>, identity: Identity, expected: number) =>
        vi.waitFor(async () => expect(await status(await token(), identity)).toBe(expected), patience);
      try {
        const { alice, bob } = testClients(pki);
        const cached = await server.token(alice);
        await eventually(() => cached, pki.alice, 200);
        const revoked = await server.token(alice);
        await server.revoke(alice, revoked);
        const unknown = await Promise.all(Array.from({ length: 12 }, () => server.token(bob)));
        const handled = api.handled();

        await begin(fault);
        const seen: { kind: string; status: number }[] = [];
        const record = async (kind: string, token: string, identity: Identity) => {
          seen.push({ kind, status: await status(token, identity) });
        };
        for (const token of unknown) {
          await Promise.all([
            record('cached', cached, pki.alice),
            record('cached, stolen', cached, pki.bob),
            record('unknown', token, pki.bob),
            record('unknown, stolen', token, pki.alice),
            record('revoked', revoked, pki.alice),
            record('made up', `made-up-${token}`, pki.alice),
          ]);
        }
        const statuses = (kind: string) => [
          ...new Set(seen.filter((one) => one.kind === kind).map((one) => one.status)),
        ];
        expect(statuses('cached')).toEqual([200]);
        expect(statuses('cached, stolen')).toEqual([401]);
        expect(statuses('unknown')).toEqual([admits ? 200 : 503]);
        expect(statuses('unknown, stolen')).toEqual([admits ? 401 : 503]);
        expect(statuses('revoked')).toEqual([admits ? 401 : 503]);
        expect(statuses('made up')).toEqual([admits ? 401 : 503]);
        const admitted = seen.filter((one) => one.status === 200).length;
        expect(api.handled() - handled).toBe(admitted);

        await end();
        if (!admits) {
          expect(problems.map(({ code }) => code)).toContain('authorization_server_suspended');
        }
        await eventually(() => server.token(alice), pki.alice, 200);
        await eventually(() => unknown[0] ?? '', pki.bob, 200);
        await eventually(() => revoked, pki.alice, 401);
      } finally {
        await end();
        await api.close();
      }
    },
  );

  it('S13: while the server is down it is not asked between two probes', async () => {
    await begin('black hole');
    // No probe is due while the test runs.
    const fresh = await startApi(framework, pki, options({}, { timeout: 0.4 }, { retryInterval: 300 }));
    try {
      for (let i = 0; problems.every(({ code }) => code !== 'authorization_server_suspended'); i += 1) {
        expect(await send(`a-${i}`, pki.alice, fresh)).toBe(503);
      }
      const tokens = Array.from({ length: 50 }, (_, i) => `${framework}-b-${i}`);
      const statuses = await Promise.all(tokens.map((token) => send(token, pki.alice, fresh)));
      expect(new Set(statuses)).toEqual(new Set([503]));
      expect(tokens.filter((token) => server.introspections(token) > 0)).toEqual([]);
    } finally {
      await end();
      await fresh.close();
    }
  });

  it('R191: a cached token works until its time, and not beyond; with staleIfError it does for so long', async () => {
    const token = await server.token(testClients(pki).alice);
    const strict = await startApi(framework, pki, options({ maxAge: 1 }));
    const lenient = await startApi(framework, pki, options({ maxAge: 1, staleIfError: 2 }));
    const both = async () => [await send(token, pki.alice, strict), await send(token, pki.alice, lenient)];
    try {
      expect(await both()).toEqual([200, 200]);
      await begin('killed');
      expect(await both()).toEqual([200, 200]);
      await sleep(1_100);
      expect(await both()).toEqual([503, 200]);
      expect(await send(token, pki.bob, lenient)).toBe(401);
      await sleep(2_100);
      expect(await both()).toEqual([503, 503]);
    } finally {
      await end();
      await Promise.all([strict.close(), lenient.close()]);
    }
  });

  it('staleIfError does not help a token that the server answers about', async () => {
    const { alice } = testClients(pki);
    const token = await server.token(alice);
    const lenient = await startApi(
      framework,
      pki,
      options({ maxAge: 1, staleIfError: 60, rejectionMaxAge: 0 }),
    );
    try {
      expect(await send(token, pki.alice, lenient)).toBe(200);
      await server.revoke(alice, token);
      await sleep(1_100);
      expect(await send(token, pki.alice, lenient)).toBe(401);
      await begin('killed');
      expect(await send(token, pki.alice, lenient)).toBe(503);
    } finally {
      await end();
      await lenient.close();
    }
  });
});
