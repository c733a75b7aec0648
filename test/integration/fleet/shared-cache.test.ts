import { setTimeout as sleep } from 'node:timers/promises';
import KeyvRedis from '@keyv/redis';
import {
  clientSecretPost,
  type ProblemEvent,
  type ResourceServerOptions,
  redisLock,
  type SharedCacheOptions,
  type SharedStore,
} from '@mtls-bound/core';
import { createClient } from '@redis/client';
import Keyv from 'keyv';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Framework, frameworks, startApi, type TestApi } from '../../support/apis.js';
import { audience, testClients } from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { mismatch } from '../../support/mismatch.js';
import type { Identity } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { startRedis, type TestRedis } from '../../support/redis.js';
import { useAuthorizationServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useAuthorizationServer();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const secret = 'a secret of at least 32 characters';
const other = 'another secret of 32 characters..';

const apis: TestApi[] = [];
afterEach(async () => {
  await Promise.all(apis.splice(0).map((api) => api.close()));
});

/** One process of the fleet, as far as the cache is concerned. */
async function member(
  sharedCache: SharedCacheOptions,
  more: ResourceServerOptions = {},
  framework: Framework = 'Koa',
) {
  const api = await startApi(framework, pki, {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: server.secrets.api,
    audience,
    http: { ca: pki.ca.cert },
    sharedCache,
    ...more,
  });
  apis.push(api);
  return async (token: string, identity: Identity = pki.alice, path = '/') =>
    (await call(pki, api, path, identity).auth(token, { type: 'bearer' })).status;
}

/** How many introspections the run makes. */
async function introspectionsOf(run: () => Promise<void>): Promise<number> {
  const before = server.introspections();
  await run();
  return server.introspections() - before;
}

const aliceToken = () => server.token(testClients(pki).alice);
const bobToken = () => server.token(testClients(pki).bob);

/** A store whose content can be looked at and tampered with. */
interface OpenStore {
  readonly store: SharedStore;
  entries(): Promise<Map<string, string>>;
  put(key: string, value: string): Promise<unknown>;
  close(): Promise<void>;
}

function memoryStore(): OpenStore {
  const map = new Map<string, string>();
  return {
    store: new Keyv({ store: map }),
    entries: async () => new Map(map),
    put: async (key, value) => map.set(key, value),
    close: async () => undefined,
  };
}

async function redisStore(redis: TestRedis): Promise<OpenStore> {
  const client = await createClient({ url: redis.url })
    .on('error', () => undefined)
    .connect();
  await client.flushAll();
  const adapter = new KeyvRedis(redis.url);
  return {
    store: new Keyv({ store: adapter, useKeyPrefix: false }),
    async entries() {
      const keys = (await client.keys('*')).filter((key) => key.includes('token'));
      return new Map(
        await Promise.all(keys.map(async (key) => [key, (await client.get(key)) ?? ''] as const)),
      );
    },
    put: (key, value) => client.set(key, value),
    async close() {
      client.destroy();
      await adapter.disconnect(true);
    },
  };
}

function attacks(open: () => Promise<OpenStore>): void {
  let shared: OpenStore;
  beforeEach(async () => {
    shared = await open();
  });
  afterEach(() => shared?.close());

  it.each(frameworks)(
    '%s: what one process learnt no other asks about; the binding is checked by each',
    async (framework) => {
      const options = { store: shared.store, secret };
      const [one, two] = [await member(options, {}, framework), await member(options, {}, framework)];
      const token = await aliceToken();
      const asked = await introspectionsOf(async () => {
        expect(await one(token)).toBe(200);
        expect(await two(token, pki.bob)).toBe(401);
        expect(await two(token)).toBe(200);
      });
      expect(asked).toBe(1);
    },
  );

  it('R59 R143: the store shows neither tokens nor claims to its readers', async () => {
    const token = await aliceToken();
    await (await member({ store: shared.store, secret }))(token);
    const content = [...(await shared.entries())].flat().join();
    expect(content).toContain('mtls-bound:token:');
    const bytes = Buffer.from(content.replace(/.*"value":"([^"]+)".*/s, '$1'), 'base64url').toString(
      'latin1',
    );
    for (const known of [token, 'alice', 'accounts', pki.alice.thumbprint, server.issuer]) {
      expect(content + bytes).not.toContain(known);
    }
  });

  it('entries that are swapped, forged or cut open nothing, and cost one question', async () => {
    const [ofAlice, ofBob] = [await aliceToken(), await bobToken()];
    const writer = await member({ store: shared.store, secret });
    expect([await writer(ofAlice), await writer(ofBob, pki.bob)]).toEqual([200, 200]);
    const [[keyA = '', valueA = ''] = [], [keyB = '', valueB = ''] = []] = [...(await shared.entries())];
    await shared.put(keyA, valueB);
    await shared.put(keyB, valueA);
    const swapped = await member({ store: shared.store, secret });
    // Were the swap believed, Bob's certificate would fit what is known of Alice's token.
    const asked = await introspectionsOf(async () => {
      expect(await swapped(ofAlice, pki.bob)).toBe(401);
      expect(await swapped(ofBob, pki.alice)).toBe(401);
      expect(await swapped(ofAlice)).toBe(200);
    });
    expect(asked).toBe(2);
    const garbage = [
      '',
      'garbage',
      '{',
      '{"value":7}',
      valueA.slice(0, -9),
      '{"value":"AAAA"}',
      '[]',
      'null',
    ];
    for (const value of garbage) {
      await shared.put(keyA, value);
      await shared.put(keyB, value);
      const reader = await member({ store: shared.store, secret });
      expect([await reader(ofAlice, pki.bob), await reader(ofAlice)]).toEqual([401, 200]);
    }
  });

  it('an entry that is written back after its time opens nothing', async () => {
    const { alice } = testClients(pki);
    const token = await server.token(alice);
    const cache = { maxAge: 1 };
    expect(await (await member({ store: shared.store, secret }, { cache }))(token)).toBe(200);
    const [[key = '', value = ''] = []] = [...(await shared.entries())];
    await server.revoke(alice, token);
    await sleep(1_050);
    // Keyv's own note of the time is outside of what is sealed.
    await shared.put(key, value.replace(/"expires":\d+/, `"expires":${Date.now() + 3_600_000}`));
    expect(await (await member({ store: shared.store, secret }, { cache }))(token)).toBe(401);
  });

  it.each(frameworks)(
    '%s: no older answer of the store lets in a token that the server called not active',
    async (framework) => {
      const { alice } = testClients(pki);
      const token = await server.token(alice);
      const options = { store: shared.store, secret };
      const send = await member(options, { cache: { rejectionMaxAge: 0.1 } }, framework);
      expect(await send(token)).toBe(200);
      const before = await shared.entries();
      await server.revoke(alice, token);
      expect([await send(token), await send(token, pki.alice, '/active')]).toEqual([200, 401]);
      // The answer is gone from the store: another process does not get it any more.
      expect(await (await member(options, {}, framework))(token)).toBe(401);
      // A third one that had not heard of it may still store it.
      for (const [key, value] of before) {
        await shared.put(key, value);
      }
      await sleep(150);
      const asked = await introspectionsOf(async () => {
        expect(await send(token)).toBe(401);
      });
      expect(asked).toBe(1);
    },
  );

  it('secrets are replaced without a gap: all in the list are read, the first seals', async () => {
    const token = await aliceToken();
    const asked = await introspectionsOf(async () => {
      expect(await (await member({ store: shared.store, secret }))(token)).toBe(200);
      expect(await (await member({ store: shared.store, secret: [other, secret] }))(token)).toBe(200);
    });
    expect(asked).toBe(1);
    const later = await introspectionsOf(async () => {
      expect(await (await member({ store: shared.store, secret: other }))(token)).toBe(200);
      expect(await (await member({ store: shared.store, secret: other }))(token)).toBe(200);
    });
    expect(later).toBe(1);
  });

  it('another resource server does not get what was answered to this one', async () => {
    const token = await aliceToken();
    const asked = await introspectionsOf(async () => {
      expect(await (await member({ store: shared.store, secret }))(token)).toBe(200);
      const post = {
        clientId: 'api-post',
        clientSecret: undefined as never,
        clientAuthentication: clientSecretPost(server.secrets['api-post']),
      };
      expect(await (await member({ store: shared.store, secret }, post))(token)).toBe(200);
      expect(
        await (await member({ store: shared.store, secret }, { audience: [audience, 'x'] }))(token),
      ).toBe(200);
    });
    expect(asked).toBe(3);
  });
}

describe('Keyv in memory', () => {
  attacks(async () => memoryStore());

  it('a JWT is validated by each process: its signature costs less than the way to the store', async () => {
    const store = { get: vi.fn(async () => undefined), set: vi.fn(async () => true) };
    const api = await member({ store, secret }, { tokens: () => async () => 'token_inactive' });
    expect(await api('a.b.c')).toBe(401);
    expect(store.get).not.toHaveBeenCalled();
  });

  const never = () => new Promise<never>(() => undefined);
  it.each<[string, SharedStore]>([
    [
      'is dead',
      { get: () => Promise.reject(new Error('dead')), set: () => Promise.reject(new Error('dead')) },
    ],
    ['never answers', { get: never, set: never }],
    [
      'throws',
      {
        get: () => {
          throw new Error('at once');
        },
        set: () => {
          throw new Error('at once');
        },
      },
    ],
    ['lies', { get: async () => ({ active: true, cnf: {} }), set: async () => 'no' }],
    ['says yes to all', { get: async () => true, set: async () => true }],
  ])('a store that %s costs a short wait and opens nothing', async (_title, store) => {
    const api = await member({ store, secret, timeout: 0.05 });
    const [token, wrong] = [await aliceToken(), await bobToken()];
    const start = performance.now();
    for (let i = 0; i < 8; i += 1) {
      expect([await api(await aliceToken()), await api(`made-up-${i}`)]).toEqual([200, 401]);
    }
    expect([await api(token), await api(wrong)]).toEqual([200, 401]);
    // Five waits of 0.05 s open its breaker; without it there would be more than thirty.
    expect(performance.now() - start).toBeLessThan(3_000);
    const isBroken = !['lies', 'says yes to all'].includes(_title);
    expect(problems.some(({ code }) => code === 'shared_cache_suspended')).toBe(isBroken);
  });
});

describeReal('redis-server', 'Redis', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.kill());

  describe('with @keyv/redis', () => attacks(() => redisStore(redis)));

  it('while Redis is killed and restarted, only good requests are accepted', async () => {
    const shared = await redisStore(redis);
    const client = await createClient({ url: redis.url })
      .on('error', () => undefined)
      .connect();
    const api = await member({ store: shared.store, secret, lock: redisLock(client) });
    const outcome = async () => [
      await api(await aliceToken()),
      await api(await aliceToken(), pki.bob),
      await api('made-up'),
    ];
    try {
      expect(await outcome()).toEqual([200, 401, 401]);
      await redis.kill();
      for (let i = 0; i < 6; i += 1) {
        expect(await outcome()).toEqual([200, 401, 401]);
      }
      expect(problems.map(({ code }) => code)).toContain('shared_cache_suspended');
      await redis.start();
      await vi.waitFor(
        async () => {
          await api(await aliceToken());
          expect(problems.map(({ code }) => code)).toContain('shared_cache_resumed');
        },
        { timeout: 10_000, interval: 300 },
      );
      expect(await outcome()).toEqual([200, 401, 401]);
    } finally {
      client.destroy();
      await shared.close();
    }
  });

  it('lock: of several processes that meet an unknown token at once, one asks', async () => {
    const shared = await redisStore(redis);
    const client = await createClient({ url: redis.url }).connect();
    try {
      const options = { store: shared.store, secret, lock: redisLock(client), timeout: 2 };
      const members = await Promise.all(Array.from({ length: 5 }, () => member(options)));
      const token = await aliceToken();
      const asked = await introspectionsOf(async () => {
        const statuses = await Promise.all(members.map((send) => send(token)));
        expect(statuses).toEqual([200, 200, 200, 200, 200]);
      });
      expect(asked).toBe(1);
      const askedAboutInactive = await introspectionsOf(async () => {
        const statuses = await Promise.all(members.map((send) => send('made-up')));
        expect(statuses).toEqual([401, 401, 401, 401, 401]);
      });
      expect(askedAboutInactive).toBe(1);
    } finally {
      client.destroy();
      await shared.close();
    }
  });
});

it.each([
  [{ secret }, mismatch('sharedCache.store', 'nothing')],
  [{ store: {}, secret }, mismatch('sharedCache.store', 'an object')],
  [{ store: new Keyv() }, mismatch('sharedCache.secret', 'nothing')],
  [{ store: new Keyv(), secret: 'short' }, mismatch('sharedCache.secret', 'a value of type string')],
  [{ store: new Keyv(), secret: [] }, 'sharedCache.secret: '],
  [{ store: new Keyv(), secret, lock: () => true }, mismatch('sharedCache.lock', 'a function')],
])('%# is refused at start-up', async (sharedCache, message) => {
  await expect(member(sharedCache as never)).rejects.toThrow(message);
});
