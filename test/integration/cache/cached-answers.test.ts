import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { call, callOver } from '../../support/calls.js';
import { answer, type FaultyServer, goodClaims, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';

describe.each(frameworks)('%s', (framework) => {
  let pki: Pki;
  let server: TestAuthorizationServer;
  let faulty: FaultyServer;
  let clients: ReturnType<typeof testClients>;
  let api: TestApi;
  beforeAll(async () => {
    pki = await createPki();
    clients = testClients(pki);
    [server, faulty] = await Promise.all([startAuthorizationServer(pki), startFaultyServer(pki)]);
    api = await startApi(framework, pki, options(server.issuer, server.secrets.api));
  });
  afterAll(() => Promise.all([api?.close(), server?.stop(), faulty?.close()]));

  const options = (issuer: string, clientSecret: string) => ({
    issuer,
    clientId: 'api',
    clientSecret,
    audience,
    http: { ca: pki.ca.cert },
  });

  it('1,000 concurrent requests with one new token cause exactly 1 introspection, with 50 new tokens exactly 50', async () => {
    const agent = new Agent({
      keepAlive: true,
      maxSockets: 50,
      ca: pki.ca.cert,
      cert: pki.alice.cert,
      key: pki.alice.key,
    });
    const burst = async (tokens: string[]): Promise<number> => {
      const before = server.introspections();
      const answers = await Promise.all(
        Array.from({ length: 1_000 }, (_, i) =>
          callOver({ agent }, api.url, tokens[i % tokens.length] ?? ''),
        ),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      return server.introspections() - before;
    };
    const tokens = await Promise.all(Array.from({ length: 51 }, () => server.token(clients.alice)));
    expect(await burst(tokens.slice(0, 1))).toBe(1);
    expect(await burst(tokens.slice(1))).toBe(50);
    agent.destroy();
  }, 120_000);

  it('R58: a cached answer for one certificate serves no other, and the server is not asked', async () => {
    const token = await server.token(clients.alice);
    expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
    const before = server.introspections();
    expect((await call(pki, api, '/', pki.bob).auth(token, { type: 'bearer' })).status).toBe(401);
    expect((await call(pki, api, '/').auth(token, { type: 'bearer' })).status).toBe(401);
    expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
    expect(server.introspections()).toBe(before);
  });

  it('R61: two requests at once with one token and two certificates: one introspection, one passes', async () => {
    const slow = await startApi(framework, pki, options(faulty.issuer, 'secret'));
    try {
      faulty.introspection = async (req, res, body) => {
        await sleep(300);
        answer(200, goodClaims(faulty.issuer, pki.alice.thumbprint))(req, res, body);
      };
      const [right, wrong, again] = await Promise.all([
        call(pki, slow, '/', pki.alice).auth('one-token', { type: 'bearer' }),
        call(pki, slow, '/', pki.bob).auth('one-token', { type: 'bearer' }),
        call(pki, slow, '/', pki.alice).auth('one-token', { type: 'bearer' }),
      ]);
      expect([right.status, wrong.status, again.status]).toEqual([200, 401, 200]);
      expect(faulty.requests).toHaveLength(1);
    } finally {
      await slow.close();
    }
  });

  it('R62: with maxAge 0 a revoked token is refused at the next request, with the default at the latest after it', async () => {
    const strict = await startApi(framework, pki, {
      ...options(server.issuer, server.secrets.api),
      cache: { maxAge: 0 },
    });
    try {
      const token = await server.token(clients.alice);
      const status = async (of: TestApi) =>
        (await call(pki, of, '/', pki.alice).auth(token, { type: 'bearer' })).status;
      expect([await status(strict), await status(api)]).toEqual([200, 200]);
      await server.revoke(clients.alice, token);
      expect([await status(strict), await status(api)]).toEqual([401, 200]);
    } finally {
      await strict.close();
    }
  });

  it('R191: an outage does not touch a cached answer within its time, and the binding is checked all the same', async () => {
    const token = await server.token(clients.alice);
    expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
    await server.stop();
    try {
      expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
      expect((await call(pki, api, '/', pki.bob).auth(token, { type: 'bearer' })).status).toBe(401);
    } finally {
      await server.start();
    }
  });
});
