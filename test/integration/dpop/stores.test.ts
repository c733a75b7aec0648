// One proof counts once in a fleet: over real Redis, and what happens while the store fails.
import { createServer } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProblemEvent, ProofStore, RefusedEvent, ResourceServerOptions } from '@mtls-bound/core';
import { redisProofs } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { createClient } from '@redis/client';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import { createPki, type Pki } from '../../support/pki.js';
import { pretendIssuer } from '../../support/pretend-issuer.js';
import { describeReal } from '../../support/programs.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { startRedis, type TestRedis } from '../../support/redis.js';

let pki: Pki;
let kit: TestKit;
const client = dpopClient();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  kit = await createTestKit();
});

/** In memory, as Redis does it with SET NX. */
function memoryStore(): ProofStore & { readonly ttls: number[] } {
  const names = new Set<string>();
  const ttls: number[] = [];
  return {
    ttls,
    async add(name, ttl) {
      ttls.push(ttl);
      const isNew = !names.has(name);
      names.add(name);
      return isNew;
    },
  };
}

async function start(
  framework: (typeof frameworks)[number],
  dpop: NonNullable<ResourceServerOptions['dpop']>,
) {
  const { listener, handled } = createApi(framework, { ...kit.options, dpop });
  return serve(createServer(mutualTls(pki), listener), handled);
}

const newToken = (): string => kit.boundToken({ claims: { cnf: { jkt: client.jkt } } });

async function send(api: TestApi, token: string, proof: string): Promise<string> {
  const { status } = await call(pki, api, '/').set('Authorization', `DPoP ${token}`).set('DPoP', proof);
  return status === 200 ? '200' : `${status} ${refused.at(-1)?.refusal.code}`;
}

describe.each(frameworks)('%s', (framework) => {
  it('two processes with one store accept a proof once', async () => {
    const store = memoryStore();
    const one = await start(framework, { origin: proofOrigin, store });
    const other = await start(framework, { origin: proofOrigin, store });
    const token = newToken();
    const proof = client.proof(token);
    expect([await send(one, token, proof), await send(other, token, proof)]).toEqual([
      '200',
      '401 dpop_proof_replayed',
    ]);
    expect(await send(other, token, client.proof(token))).toBe('200');
    // For as long as it may be accepted, and by a process whose clock is behind: 60 + 3 x 30 s.
    expect(store.ttls[0]).toBeGreaterThan(148_000);
    expect(store.ttls[0]).toBeLessThanOrEqual(150_000);
    await Promise.all([one.close(), other.close()]);
  });

  it.each<[string, number, string]>([
    ['after the store has forgotten it', 2_000, '401 dpop_proof_untimely'],
    ['in time', 0, '401 dpop_proof_replayed'],
  ])(
    'a proof is not accepted again by a process that introspects its token first, %s',
    async (_, held, outcome) => {
      const ends = new Map<string, number>();
      const add = async (name: string, ttl: number): Promise<boolean> => {
        const isNew = !((ends.get(name) ?? 0) > Date.now());
        ends.set(name, isNew ? Date.now() + ttl : (ends.get(name) as number));
        return isNew;
      };
      const dpop = { origin: proofOrigin, store: { add }, maxAge: 2 };
      const server = pretendIssuer('https://as.example.com');
      const iat = Date.now() / 1000;
      const claims = { aud: 'https://api.example.com', sub: 'user', client_id: 'phone', exp: iat + 300 };
      server.introspect = () => ({ active: true, ...claims, cnf: { jkt: client.jkt } });
      const startWith = async (fetch: typeof globalThis.fetch) => {
        const { listener, handled } = createApi(framework, {
          issuer: server.issuer,
          audience: claims.aud,
          clientId: 'api',
          clientSecret: 'a-client-secret',
          http: { fetch },
          clockTolerance: 0,
          dpop,
        });
        return serve(createServer(mutualTls(pki), listener), handled);
      };
      const one = await startWith(server.fetch);
      const other = await startWith(async (url, request) => {
        if (request?.method === 'POST') {
          await sleep(Math.max(0, iat * 1000 + held + 50 - Date.now()));
        }
        return server.fetch(url, request);
      });
      const proof = client.proof('token', { claims: { iat } });
      expect(await send(one, 'token', proof)).toBe('200');
      expect(await send(other, 'token', proof)).toBe(outcome);
      expect(other.handled()).toBe(0);
      await Promise.all([one.close(), other.close()]);
    },
  );

  it.each<[string, ProofStore['add'], RegExp]>([
    ['rejects', async () => Promise.reject(new Error('secret of the store')), /^dpop\.store: Error$/],
    [
      'throws',
      () => {
        throw new Error('secret of the store');
      },
      /^dpop\.store: Error$/,
    ],
    ['does not answer', () => new Promise(() => undefined), /no answer within 0\.05 s/],
    ['returns no boolean', async () => 'OK' as never, /neither true nor false/],
    ['returns nothing', async () => undefined as never, /neither true nor false/],
  ])('a store that %s refuses proofs with 503, and its error is not told', async (_, add, detail) => {
    const api = await start(framework, { origin: proofOrigin, store: { add }, timeout: 0.05 });
    const token = newToken();
    expect(await send(api, token, client.proof(token))).toBe('503 dpop_proofs_not_recorded');
    expect(refused.at(-1)?.refusal.detail).toMatch(detail);
    expect(refused.at(-1)?.refusal.detail).not.toContain('secret of the store');
    await api.close();
  });

  it('a token that is revoked while the store is asked is refused, another is accepted', async () => {
    let answer: (isNew: boolean) => void = () => undefined;
    let asked: () => void = () => undefined;
    const add = () =>
      new Promise<boolean>((resolve) => {
        answer = resolve;
        asked();
      });
    const { listener, handled, resourceServer } = createApi(framework, {
      ...kit.options,
      dpop: { origin: proofOrigin, store: { add }, timeout: 5 },
    });
    const api = await serve(createServer(mutualTls(pki), listener), handled);
    const [revoked, spared] = [newToken(), newToken()];
    for (const [token, outcome] of [
      [revoked, '401 token_inactive'],
      [spared, '200'],
    ] as const) {
      const isAsked = new Promise<void>((resolve) => {
        asked = resolve;
      });
      const sending = send(api, token, client.proof(token));
      await isAsked;
      await resourceServer.revoke({ token: revoked });
      answer(true);
      expect(await sending).toBe(outcome);
    }
    await api.close();
  });

  it("onStoreFailure: 'accept' accepts a proof once in the process, and reports the store", async () => {
    const api = await start(framework, {
      origin: proofOrigin,
      store: { add: async () => Promise.reject(new Error('away')) },
      onStoreFailure: 'accept',
    });
    const token = newToken();
    const proof = client.proof(token);
    expect([await send(api, token, proof), await send(api, token, proof)]).toEqual([
      '200',
      '401 dpop_proof_replayed',
    ]);
    expect(problems.at(-1)?.code).toBe('dpop_store_failed');
    await api.close();
  });

  it("onStoreFailure: 'accept' accepts nothing that the store has, or of which it says nothing", async () => {
    const has = await start(framework, {
      origin: proofOrigin,
      store: { add: async () => false },
      onStoreFailure: 'accept',
    });
    const token = newToken();
    expect(await send(has, token, client.proof(token))).toBe('401 dpop_proof_replayed');
    await has.close();
    const odd = await start(framework, {
      origin: proofOrigin,
      store: { add: async () => 1 as never },
      onStoreFailure: 'accept',
    });
    expect(await send(odd, token, client.proof(token))).toBe('503 dpop_proofs_not_recorded');
    await odd.close();
  });
});

it.each<[unknown, boolean]>([
  ['OK', true],
  [Buffer.from('OK'), true],
  [null, false],
  [undefined, false],
  ['QUEUED', false],
  [1, false],
])('redisProofs() takes the reply %j of SET for new: %s', async (reply, isNew) => {
  const sent: unknown[][] = [];
  const store = redisProofs({
    set: async (...command: unknown[]) => {
      sent.push(command);
      return reply;
    },
  });
  expect(await store.add('name', 1_000.2)).toBe(isNew);
  expect(sent).toEqual([['mtls-bound:proof:name', '1', { NX: true, PX: 1_001 }]]);
});

it('redisProofs() refuses what is no client', () => {
  expect(() => redisProofs({} as never)).toThrow('redisProofs(client)');
});

describeReal('redis-server', 'Redis in trouble', () => {
  const hang = (redis: TestRedis) => async () => redis.signal('SIGSTOP');
  const goOn = (redis: TestRedis) => async () => redis.signal('SIGCONT');

  describe.each(frameworks)('%s', (framework) => {
    it.each<[string, (redis: TestRedis) => () => Promise<void>, typeof hang, boolean]>([
      ['hangs', hang, goOn, true],
      ['hangs, and the client has its offline queue', hang, goOn, false],
      ['is away', ({ kill }) => kill, ({ start: restart }) => restart, true],
      [
        'is away, and the client has its offline queue',
        ({ kill }) => kill,
        ({ start: restart }) => restart,
        false,
      ],
    ])(
      'while Redis %s, requests do not wait for it, and it is used again',
      async (_, end, begin, queueless) => {
        const redis = await startRedis();
        const redisClient = createClient({ url: redis.url, disableOfflineQueue: queueless });
        await redisClient.on('error', () => undefined).connect();
        const set = vi.spyOn(redisClient, 'set');
        const dpop = { origin: proofOrigin, store: redisProofs(redisClient), timeout: 0.2 };
        const refusing = await start(framework, dpop);
        const accepting = await start(framework, { ...dpop, onStoreFailure: 'accept' });
        const token = newToken();
        const sendAll = async (api: TestApi): Promise<string[]> => {
          const outcomes: string[] = [];
          for (let i = 0; i < 40; i += 1) {
            outcomes.push(await send(api, token, client.proof(token)));
          }
          return outcomes;
        };
        try {
          expect(await send(refusing, token, client.proof(token))).toBe('200');
          await end(redis)();
          set.mockClear();
          const began = performance.now();
          expect(new Set(await sendAll(refusing))).toEqual(new Set(['503 dpop_proofs_not_recorded']));
          expect(new Set(await sendAll(accepting))).toEqual(new Set(['200']));
          // 10 requests that wait for 0.2 s, and one for each second. All 80 would wait for 16 s.
          expect(performance.now() - began).toBeLessThan(8_000);
          expect(set.mock.calls.length).toBeLessThan(25);
          expect(problems.map(({ code }) => code)).toContain('dpop_store_suspended');
          await begin(redis)();
          await vi.waitFor(async () => expect(await send(refusing, token, client.proof(token))).toBe('200'), {
            timeout: 10_000,
            interval: 200,
          });
          expect(problems.at(-1)?.code).toBe('dpop_store_resumed');
          expect(await send(accepting, token, client.proof(token))).toBe('200');
        } finally {
          redis.signal('SIGCONT');
          await Promise.all([refusing.close(), accepting.close()]);
          redisClient.destroy();
          await redis.kill();
        }
      },
    );
  });
});
