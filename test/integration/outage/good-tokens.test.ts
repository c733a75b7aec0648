import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { createResourceServer, type ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { answer, type FaultyServer, goodClaims, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';

/** Sends each token again as soon as it is answered. Returns a function that ends this and returns all answers. */
function sendOnAndOn<T>(
  tokens: readonly string[],
  send: (token: string) => Promise<T>,
): () => Promise<Set<T>> {
  const answers = new Set<T>();
  let isOn = true;
  const loops = tokens.map(async (token) => {
    while (isOn) {
      answers.add(await send(token));
      await sleep(1);
    }
  });
  return async () => {
    isOn = false;
    await Promise.all(loops);
    return answers;
  };
}

const named = (name: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`);

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterAll(() => vi.restoreAllMocks());

describe('one client sends 1,200 good tokens to a route with requireActive(), with the defaults', () => {
  const issuer = 'https://as.example.com';
  let kit: TestKit;
  beforeAll(async () => {
    kit = await createTestKit();
  });

  it('takes no answer from another client, and has at most 50 questions under way', async () => {
    let underWay = 0;
    let most = 0;
    const fetch = async (_url: unknown, init?: { readonly body?: unknown }) => {
      const isAttackers = String(init?.body).includes('attacker');
      const { thumbprint } = isAttackers ? kit.certificate : kit.otherCertificate;
      underWay += isAttackers ? 1 : 0;
      most = Math.max(most, underWay);
      await sleep(50);
      underWay -= isAttackers ? 1 : 0;
      return Response.json(goodClaims(issuer, thumbprint));
    };
    const server = createResourceServer({
      issuer,
      audience,
      clientId: 'api',
      clientSecret: 'a-secret',
      certificate: kit.options.certificate,
      authorizationServerMetadata: { introspection_endpoint: `${issuer}/introspect` },
      http: { fetch: fetch as typeof globalThis.fetch },
    });
    const send = async (token: string, isActiveRoute: boolean): Promise<unknown> => {
      const { thumbprint } = token.startsWith('attacker') ? kit.certificate : kit.otherCertificate;
      const headers = { 'x-test-client-certificate': thumbprint };
      const req = {
        url: '/',
        headers,
        rawHeaders: ['Authorization', `Bearer ${token}`],
        socket: {},
      } as never;
      try {
        const authorization = await server.authorize(req);
        if (isActiveRoute) {
          await server.require(req, authorization, ({ introspect }) => introspect());
        }
        return 'passed';
      } catch (error) {
        return (error as { code: unknown }).code;
      }
    };
    const end = sendOnAndOn(named('attacker', 1_200), (token) => send(token, true));
    await vi.waitFor(() => expect(most).toBe(50), 20_000);
    const answers = new Set<unknown>();
    for (let turn = 0; turn < 5; turn += 1) {
      answers.add(await send(`new-${turn}`, false));
      answers.add(await send('known', true));
    }
    expect(answers).toEqual(new Set(['passed']));
    // Some of its own wait behind too many others of its own.
    expect(await end()).toEqual(new Set(['passed', 'authorization_server_not_asked']));
    expect(most).toBe(50);
    expect(await send('attacker-0', true)).toBe('passed');
    await server.close();
  });
});

describe.each(frameworks)('%s', (framework) => {
  let pki: Pki;
  let server: FaultyServer;
  beforeAll(async () => {
    pki = await createPki();
    server = await startFaultyServer(pki);
    server.introspection = async (req, res, body) => {
      const { thumbprint } = body.includes('alice') ? pki.alice : pki.bob;
      await sleep(20);
      answer(200, goodClaims(server.issuer, thumbprint))(req, res, body);
    };
  });
  afterAll(() => server?.close());

  function client(identity: Identity): { send: Send; close: () => void } {
    const agent = new Agent({ keepAlive: true, ca: pki.ca.cert, cert: identity.cert, key: identity.key });
    const send: Send = (api, path, token) =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${token}` };
        request(api.url + path, { agent, headers }, (response) => {
          response.resume().once('end', () => resolve(response.statusCode));
        })
          .once('error', reject)
          .end();
      });
    return { send, close: () => agent.destroy() };
  }

  it.each<[string, NonNullable<ResourceServerOptions['floodGuard']>]>([
    ['from an address of its own', { address: false }],
    ['from the same address', {}],
  ])(
    'one client sends good tokens to a route with requireActive(), and another client %s gets all its answers',
    async (_title, floodGuard) => {
      const api = await startApi(framework, pki, {
        issuer: server.issuer,
        clientId: 'api',
        clientSecret: 'a-secret',
        audience,
        floodGuard,
        http: { ca: pki.ca.cert, maxConcurrent: 4, maxQueued: 16 },
      });
      const [alice, bob] = [client(pki.alice), client(pki.bob)];
      try {
        const end = sendOnAndOn(named('alice', 30), (token) => alice.send(api, '/active', token));
        await vi.waitFor(() => expect(api.handled()).toBeGreaterThan(30), 60_000);
        const answers: unknown[] = [];
        for (let turn = 0; turn < 5; turn += 1) {
          answers.push(await bob.send(api, '/', `bob-new-${turn}`));
          answers.push(await bob.send(api, '/active', 'bob-known'));
        }
        expect(answers).toEqual(Array(10).fill(200));
        expect(await end()).toEqual(new Set([200]));
      } finally {
        alice.close();
        bob.close();
        await api.close();
      }
    },
  );
});

type Send = (api: TestApi, path: string, token: string) => Promise<number | undefined>;
