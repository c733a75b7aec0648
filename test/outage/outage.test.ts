import { setTimeout as sleep } from 'node:timers/promises';
import type { ProblemEvent, ResourceServerOptions } from '@mtls-bound/core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../support/apis.js';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../support/authorization-server.js';
import { call } from '../support/calls.js';
import { type Fault, type FaultInjector, startFaultInjector } from '../support/fault-injector.js';
import { createPki, type Identity, type Pki } from '../support/pki.js';
import { recordedEvents } from '../support/recorded-events.js';

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

const timeout = 0.4;
const probeInterval = 0.3;

const options = (cache: ResourceServerOptions['cache'] = {}): ResourceServerOptions => ({
  issuer: server.issuer,
  metadata: { introspection_endpoint: `${injector.url}/token/introspection` },
  clientId: 'api',
  clientSecret: server.secrets.api,
  audience,
  cache,
  http: { ca: pki.ca.cert, timeout, probeInterval, failuresToOpen: 3 },
});

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

async function begin(fault: Fault | 'killed'): Promise<void> {
  if (fault === 'killed') {
    await server.stop();
  } else {
    injector.fault = fault;
  }
}

async function end(fault: Fault | 'killed'): Promise<void> {
  injector.fault = 'none';
  if (fault === 'killed') {
    await server.start();
  }
}

describe.each(frameworks)('%s', (framework) => {
  let api: TestApi;
  beforeAll(async () => {
    api = await startApi(framework, pki, options());
  });
  afterAll(() => api?.close());

  const send = async (token: string, identity: Identity, of = api) => {
    const start = performance.now();
    const { status } = await call(pki, of, '/', identity).auth(token, { type: 'bearer' });
    return { status, seconds: (performance.now() - start) / 1000 };
  };

  it.each(outages)(
    'S13 R190: $fault: nobody wrong gets in, nobody waits for ever, and it recovers',
    async ({ fault, admits }) => {
      const { alice, bob } = testClients(pki);
      const cached = await server.token(alice);
      expect((await send(cached, pki.alice)).status).toBe(200);
      const revoked = await server.token(alice);
      await server.revoke(alice, revoked);
      const unknown = await Promise.all(Array.from({ length: 12 }, () => server.token(bob)));
      const handled = api.handled();

      await begin(fault);
      const seen: { kind: string; status: number; seconds: number }[] = [];
      const record = async (kind: string, token: string, identity: Identity) => {
        seen.push({ kind, ...(await send(token, identity)) });
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
      // Two attempts at most, and no request hangs.
      expect(Math.max(...seen.map(({ seconds }) => seconds))).toBeLessThan(2 * timeout + 1);
      const admitted = seen.filter(({ status }) => status === 200).length;
      expect(api.handled() - handled).toBe(admitted);

      await end(fault);
      if (!admits) {
        expect(problems.map(({ code }) => code)).toContain('authorization_server_suspended');
      }
      // One interval, and the margin of a busy machine.
      await sleep(probeInterval * 1000 + 100);
      expect((await send(await server.token(alice), pki.alice)).status).toBe(200);
      expect((await send(unknown[0] ?? '', pki.bob)).status).toBe(200);
      expect((await send(revoked, pki.alice)).status).toBe(401);
    },
  );

  it('S13: while it is down a request costs no time-out: between two probes it is not asked', async () => {
    await begin('black hole');
    const fresh = await startApi(framework, pki, options());
    try {
      for (let i = 0; i < 3; i += 1) {
        await send(`a-${i}`, pki.alice, fresh);
      }
      const spoilt = injector.spoilt();
      const outcomes = await Promise.all(
        Array.from({ length: 50 }, (_, i) => send(`b-${i}`, pki.alice, fresh)),
      );
      expect(outcomes.every(({ status }) => status === 503)).toBe(true);
      // Each of the 50 would have been asked about otherwise; one probe may have been due.
      expect(injector.spoilt() - spoilt).toBeLessThanOrEqual(2);
    } finally {
      await end('black hole');
      await fresh.close();
    }
  });

  it('R191: a cached token works until its time, and not beyond; with staleIfError it does for so long', async () => {
    const token = await server.token(testClients(pki).alice);
    const strict = await startApi(framework, pki, options({ maxAge: 1 }));
    const lenient = await startApi(framework, pki, options({ maxAge: 1, staleIfError: 2 }));
    const both = async () => [
      (await send(token, pki.alice, strict)).status,
      (await send(token, pki.alice, lenient)).status,
    ];
    try {
      expect(await both()).toEqual([200, 200]);
      await begin('killed');
      expect(await both()).toEqual([200, 200]);
      await sleep(1_100);
      expect(await both()).toEqual([503, 200]);
      expect((await send(token, pki.bob, lenient)).status).toBe(401);
      await sleep(2_100);
      expect(await both()).toEqual([503, 503]);
    } finally {
      await end('killed');
      await Promise.all([strict.close(), lenient.close()]);
    }
  });

  it('staleIfError does not help a token that the server answers about', async () => {
    const { alice } = testClients(pki);
    const token = await server.token(alice);
    const lenient = await startApi(
      framework,
      pki,
      options({ maxAge: 1, staleIfError: 60, inactiveMaxAge: 0 }),
    );
    try {
      expect((await send(token, pki.alice, lenient)).status).toBe(200);
      await server.revoke(alice, token);
      await sleep(1_100);
      expect((await send(token, pki.alice, lenient)).status).toBe(401);
      await begin('killed');
      expect((await send(token, pki.alice, lenient)).status).toBe(503);
    } finally {
      await end('killed');
      await lenient.close();
    }
  });
});
