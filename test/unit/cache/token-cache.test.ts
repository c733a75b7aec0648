import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SharedCache } from '../../../packages/core/src/cache/shared-cache.js';
import { TokenCache, type TokenCacheRules } from '../../../packages/core/src/cache/token-cache.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import type { Revocation, Revocations } from '../../../packages/core/src/revocation/revocations.js';
import {
  readTokenClaims,
  type TokenAnswer,
  type TokenClaims,
  type TokenReader,
} from '../../../packages/core/src/token/token-claims.js';
import { deferred } from '../../support/deferred.js';
import { listenSince, noticeOf, remembered } from '../../support/revocations.js';

const issuer = 'https://as.example.com';
const rules = {
  maxAge: 60,
  maxEntries: 100,
  maxSize: 1_000_000,
  inactiveMaxAge: 5,
  refreshAhead: 0,
  staleIfError: 0,
};

/** A cache, and the one whom its tokens are asked of. */
function cacheOver(read: TokenReader, changes: Partial<TokenCacheRules> = {}) {
  const revocations = remembered();
  const cache = new TokenCache({ ...rules, ...changes }, revocations);
  const asked = { id: '', sharedId: '', read, mayIntrospect: true, isIntrospected: () => true };
  return {
    cache,
    revocations,
    get: async (token: string, of: Partial<typeof asked> = {}) => {
      const whom = { ...asked, ...of };
      return cache.known(token, whom) ?? cache.learn(token, whom);
    },
    confirm: (token: string) => cache.confirm(token, asked),
  };
}

describe('how long an answer serves', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(1_800_000_000_000);
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const active = (changes: object = {}) =>
    readTokenClaims({ active: true, exp: Date.now() / 1000 + 3_600, ...changes }, issuer) as TokenAnswer;

  /** Asks, waits, asks again: how often was the server asked? */
  async function askedAgain(
    answer: () => TokenAnswer,
    seconds: number,
    changes: Partial<TokenCacheRules> = {},
  ) {
    const read = vi.fn<TokenReader>(async () => answer());
    const cache = cacheOver(read, changes);
    await cache.get('token');
    vi.advanceTimersByTime(seconds * 1000);
    await cache.get('token');
    return read.mock.calls.length === 2;
  }

  it.each([
    ['an active token within maxAge, less a tenth', () => active(), 53, {}, false],
    ['an active token beyond maxAge', () => active(), 61, {}, true],
    ['R57: never beyond exp', () => active({ exp: Date.now() / 1000 + 2 }), 2.1, {}, true],
    ['R57: until exp', () => active({ exp: Date.now() / 1000 + 2 }), 1.9, {}, false],
    ['a token without exp, within maxAge', () => active({ exp: undefined }), 53, {}, false],
    ['a token without exp, beyond maxAge', () => active({ exp: undefined }), 61, {}, true],
    ['a token that has expired already', () => active({ exp: Date.now() / 1000 - 1 }), 0, {}, true],
    ['R62: nothing is kept with maxAge 0', () => active(), 0, { maxAge: 0 }, true],
    ['R60: an inactive token for a shorter time', () => 'token_inactive' as const, 4.9, {}, false],
    ['R60: an inactive token beyond it', () => 'token_inactive' as const, 5.1, {}, true],
    [
      'an inactive token with inactiveMaxAge 0',
      () => 'token_inactive' as const,
      0,
      { inactiveMaxAge: 0 },
      true,
    ],
  ])('%s', async (_title, answer, seconds, changes, again) => {
    expect(await askedAgain(answer, seconds, changes)).toBe(again);
  });
});

describe('what ends early, late, or together', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(1_800_000_000_000);
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const active = (changes: object = {}) =>
    readTokenClaims({ active: true, exp: Date.now() / 1000 + 3_600, ...changes }, issuer) as TokenClaims;

  it('what was learnt together does not end together: each up to a tenth earlier, none later', async () => {
    const read = vi.fn<TokenReader>(async () => active());
    const cache = cacheOver(read);
    const tokens = Array.from({ length: 100 }, (_, i) => `t-${i}`);
    const askedAfter = async (seconds: number) => {
      vi.setSystemTime(1_800_000_000_000 + seconds * 1000);
      read.mockClear();
      const results = tokens.map((token) =>
        cache.cache.known(token, {
          id: '',
          sharedId: '',
          read,
          mayIntrospect: true,
          isIntrospected: () => true,
        }),
      );
      return results.filter((result) => result === undefined).length;
    };
    await Promise.all(tokens.map((token) => cache.get(token)));
    expect(await askedAfter(53.9)).toBe(0);
    const halfway = await askedAfter(57);
    expect(halfway).toBeGreaterThan(20);
    expect(halfway).toBeLessThan(80);
    expect(await askedAfter(60)).toBe(100);
  });

  it('refreshAhead: a token in use is asked about before its end, and nobody waits', async () => {
    const read = vi.fn<TokenReader>(async () => active());
    const cache = cacheOver(read, { refreshAhead: 20 });
    await cache.get('t');
    vi.advanceTimersByTime(30_000);
    await cache.get('t');
    expect(read).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(20_000);
    const asked = { id: '', sharedId: '', read, mayIntrospect: true, isIntrospected: () => true };
    expect([cache.cache.known('t', asked), cache.cache.known('t', asked)]).toMatchObject([
      { issuer },
      { issuer },
    ]);
    expect(read).toHaveBeenCalledTimes(2);
    await sleep(0);
    vi.advanceTimersByTime(30_000);
    // Beyond the first answer's end: the second one serves.
    expect(cache.cache.known('t', asked)).toMatchObject({ issuer });
  });

  it('refreshAhead: no more answers than permitted are asked for again at once', async () => {
    const ends: (() => void)[] = [];
    const slow = () => new Promise<TokenClaims>((resolve) => ends.push(() => resolve(active())));
    const read = vi.fn<TokenReader>(async () => active());
    const cache = cacheOver(read, { refreshAhead: 20, maxRefreshes: 3 });
    const tokens = Array.from({ length: 10 }, (_, index) => `t${index}`);
    await Promise.all(tokens.map((token) => cache.get(token)));
    vi.advanceTimersByTime(50_000);
    read.mockReset().mockImplementation(slow);
    const asked = { id: '', sharedId: '', read, mayIntrospect: true, isIntrospected: () => true };
    const use = () => tokens.map((token) => cache.cache.known(token, asked));
    expect(use()).toEqual(Array(10).fill(expect.objectContaining({ issuer })));
    expect(read.mock.calls).toEqual([['t0'], ['t1'], ['t2']]);
    use();
    expect(read).toHaveBeenCalledTimes(3);
    ends[0]?.();
    await sleep(0);
    use();
    expect(read.mock.calls).toEqual([['t0'], ['t1'], ['t2'], ['t3']]);
  });

  it('refreshAhead beside a shared cache: the answer that is about to end does not pass for a new one', async () => {
    const values = new Map<string, unknown>();
    const store = {
      get: vi.fn(async (key: string) => values.get(key)),
      set: async (key: string, value: string) => values.set(key, value),
    };
    const shared = new SharedCache(
      {
        store,
        secret: ['a secret of at least 32 characters'],
        lock: undefined,
        timeout: 5,
        lockTimeout: 2,
      },
      () => undefined,
    );
    const changed = { ...rules, refreshAhead: 20 };
    const cache = new TokenCache(changed, remembered(), shared);
    const read = vi.fn<TokenReader>(async () => active());
    const asked = { id: '', sharedId: '', read, mayIntrospect: true, isIntrospected: () => true };
    await cache.learn('t', asked);
    vi.advanceTimersByTime(50_000);
    expect(cache.known('t', asked)).toMatchObject({ issuer });
    await vi.waitFor(() => expect(read).toHaveBeenCalledTimes(2));
    await vi.waitFor(() => expect(cache.known('t', asked)).toMatchObject({ issuer }));
    // The refreshed answer is as new as the refresh: it outlives the first one.
    vi.advanceTimersByTime(30_000);
    expect(cache.known('t', asked)).toMatchObject({ issuer });
  });

  it('refreshAhead: a failure changes nothing, the answer ends in its time', async () => {
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockRejectedValue(new Error('down'));
    const cache = cacheOver(read, { refreshAhead: 20 });
    await cache.get('t');
    vi.advanceTimersByTime(50_000);
    expect(await cache.get('t')).toMatchObject({ issuer });
    await sleep(0);
    vi.advanceTimersByTime(10_000);
    await expect(cache.get('t')).rejects.toThrow('down');
  });

  it('refreshAhead: a token that was revoked meanwhile is refused from then on', async () => {
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockResolvedValue('token_inactive');
    const cache = cacheOver(read, { refreshAhead: 20 });
    await cache.get('t');
    vi.advanceTimersByTime(50_000);
    await cache.get('t');
    await sleep(0);
    expect(await cache.get('t')).toBe('token_inactive');
  });

  it.each<[string, object, unknown, number, boolean]>([
    ['while the server can not be asked', {}, new RequestRefused('authorization_server_timeout'), 65, true],
    ['not beyond its time', {}, new RequestRefused('authorization_server_timeout'), 91, false],
    ['not beyond exp', { exp: 1_800_000_062 }, new RequestRefused('authorization_server_timeout'), 63, false],
    ['not when it refuses us', {}, new RequestRefused('authorization_server_refused_credentials'), 65, false],
    ['not for an error of ours', {}, new Error('ours'), 65, false],
    ['not for who is limited', {}, new RequestRefused('too_many_inactive_tokens'), 65, false],
  ])('R191: staleIfError: %s', async (_title, claims, trouble, seconds, serves) => {
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active(claims)).mockRejectedValue(trouble);
    const cache = cacheOver(read, { staleIfError: 30 });
    await cache.get('t');
    vi.advanceTimersByTime(seconds * 1000);
    const outcome = await cache.get('t').catch(() => 'refused');
    expect(outcome !== 'refused').toBe(serves);
  });

  it('R191: staleIfError: not for a token that was revoked here', async () => {
    const trouble = new RequestRefused('authorization_server_timeout');
    const read = vi
      .fn<TokenReader>()
      .mockResolvedValueOnce(active({ sub: 'user-1' }))
      .mockRejectedValue(trouble);
    const cache = cacheOver(read, { staleIfError: 30 });
    await cache.get('t');
    vi.advanceTimersByTime(65_000);
    cache.revocations.add(noticeOf({ subject: 'user-1' }));
    await expect(cache.get('t')).rejects.toThrow('timeout');
  });
});

describe('what another process knows', () => {
  const seconds = 1_000;
  const claims = { active: true, sub: 'user-1' };
  const asked = {
    id: '',
    sharedId: '',
    read: async () => 'token_inactive' as const,
    mayIntrospect: true,
    isIntrospected: () => true,
  };

  function sharing(age: number) {
    const shared = {
      get: async () => ({ issuer, claims, askedAt: Date.now() - age, heardUpTo: undefined }),
      askOnce: (_name: string, _look: unknown, ask: () => unknown) => ask(),
      put: async () => undefined,
      putForWaiting: async () => undefined,
      remove: async () => undefined,
    };
    const revocations = remembered({ from: 'channel' });
    listenSince(revocations, Date.now() - 3_600 * seconds);
    return { revocations, cache: new TokenCache(rules, revocations, shared as unknown as SharedCache) };
  }

  it.each<[string, number, (revocations: Revocations) => void, boolean]>([
    ['is used while it is fresh', 10 * seconds, () => undefined, true],
    ['is not used beyond its time', 61 * seconds, () => undefined, false],
    [
      'is not used when it was revoked since',
      10 * seconds,
      (it) => it.add(noticeOf({ subject: 'user-1' })),
      false,
    ],
    [
      'is not used when it was revoked before, for clocks differ',
      10 * seconds,
      (it) => it.add(noticeOf({ subject: 'user-1' }, Date.now() - 60 * seconds)),
      false,
    ],
    ['is used when another was revoked', 10 * seconds, (it) => it.add(noticeOf({ subject: 'user-2' })), true],
    ['is not used while revocations are not heard of', 1 * seconds, (it) => it.lost(), false],
    ['is not used when it is older than their return', 10 * seconds, (it) => it.restored(), false],
    ['is used when it is younger', 10 * seconds, (it) => listenSince(it, Date.now() - 60 * seconds), true],
  ])('%s', async (_title, age, prepare, isUsed) => {
    const { cache, revocations } = sharing(age);
    prepare(revocations);
    const answer = await cache.learn('t', asked);
    expect(answer === 'token_inactive').toBe(!isUsed);
  });

  it.each([
    ['does not wait', 24, []],
    ['waits', 26, ['look', 'wait']],
  ])(
    '%s for one %i s after it began to listen, where clocks may differ by 30 s',
    async (_, age, expected) => {
      const happened: string[] = [];
      const shared = {
        get: async () => void happened.push('look'),
        askOnce: async (_name: string, _look: unknown, ask: () => unknown) => {
          happened.push('wait');
          return ask();
        },
        putForWaiting: async () => undefined,
      };
      const revocations = remembered({ from: 'channel', clockTolerance: 30 });
      listenSince(revocations, Date.now() - age * seconds);
      const cache = new TokenCache(rules, revocations, shared as unknown as SharedCache);
      expect(await cache.learn('t', asked)).toBe('token_inactive');
      expect(happened).toEqual(expected);
    },
  );
});

it('an answer that another process dates into the future is not used', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(1_800_000_000_000);
  try {
    const shared = {
      get: async () => ({ issuer, claims: { active: true }, askedAt: Date.now() + 3_600_000 }),
      askOnce: (_name: string, _look: unknown, ask: () => unknown) => ask(),
      putForWaiting: async () => undefined,
      remove: async () => undefined,
    };
    const revocations = remembered();
    const cache = new TokenCache(rules, revocations, shared as unknown as SharedCache);
    const asked = {
      id: '',
      sharedId: '',
      read: async () => 'token_inactive' as const,
      mayIntrospect: true,
      isIntrospected: () => true,
    };
    expect(await cache.learn('t', asked)).toBe('token_inactive');
  } finally {
    vi.useRealTimers();
  }
});

describe('what was revoked', () => {
  const claims = { active: true, sub: 'user-1', client_id: 'alice', cnf: { 'x5t#S256': 'thumb' } };
  const hash = createHash('sha256').update('t').digest('base64url');

  it.each<[string, Revocation, boolean]>([
    ['its subject', { subject: 'user-1' }, true],
    ['its client', { clientId: 'alice' }, true],
    ['its certificate', { thumbprint: 'thumb' }, true],
    ['another token', { token: 'u' }, false],
    ['another subject', { subject: 'user-2' }, false],
    ['a subject called like the client', { subject: 'alice' }, false],
    ['a client called like the subject', { clientId: 'user-1' }, false],
  ])('%s: is asked about anew, once', async (_title, revocation, again) => {
    const read = vi.fn<TokenReader>(async () => readTokenClaims(claims, issuer));
    const cache = cacheOver(read);
    await cache.get('t');
    await sleep(2);
    cache.revocations.add(noticeOf(revocation));
    await sleep(2);
    await cache.get('t');
    await cache.get('t');
    expect(read).toHaveBeenCalledTimes(again ? 2 : 1);
  });

  it.each<[string, Revocation]>([
    ['the token', { token: 't' }],
    ['its hash', { tokenHash: hash }],
  ])('%s: is refused, and nobody is asked', async (_title, revocation) => {
    const read = vi.fn<TokenReader>(async () => readTokenClaims(claims, issuer));
    const cache = cacheOver(read);
    await cache.get('t');
    cache.revocations.add(noticeOf(revocation));
    expect(await cache.get('t')).toBe('token_inactive: revoked here');
    expect(read).toHaveBeenCalledTimes(1);
    expect(await cache.get('u')).toMatchObject({ issuer });
  });

  it.each<[string, Revocation, TokenAnswer | object]>([
    ['its subject', { subject: 'user-1' }, 'token_inactive'],
    ['its certificate', { thumbprint: 'thumb' }, 'token_inactive'],
    ['the token', { token: 't' }, 'token_inactive: revoked here'],
    ['another subject', { subject: 'user-2' }, { subject: 'user-1' }],
  ])(
    '%s: an answer from before is not given while it is being shared',
    async (_title, revocation, expected) => {
      const stored = deferred();
      const shared = {
        get: async () => undefined,
        askOnce: (_name: string, _look: unknown, ask: () => unknown) => ask(),
        put: vi.fn(() => stored.promise),
        putForWaiting: async () => undefined,
        remove: async () => undefined,
      };
      const revocations = remembered();
      const cache = new TokenCache(rules, revocations, shared as unknown as SharedCache);
      const answers = [readTokenClaims(claims, issuer)];
      const asked = {
        id: '',
        sharedId: '',
        read: async () => answers.shift() ?? ('token_inactive' as const),
        mayIntrospect: true,
        isIntrospected: () => true,
      };
      const first = cache.learn('t', asked);
      await vi.waitFor(() => expect(shared.put).toHaveBeenCalled());
      revocations.add(noticeOf(revocation));
      const later = cache.known('t', asked) ?? cache.learn('t', asked);
      stored.resolve();
      for (const answer of [await first, await later]) {
        expect(answer).toEqual(typeof expected === 'string' ? expected : expect.objectContaining(expected));
      }
    },
  );

  it('an answer that was on its way says nothing: the server is asked again', async () => {
    const answers = [readTokenClaims(claims, issuer), 'token_inactive' as const];
    const held = deferred();
    const read = vi.fn<TokenReader>(async () => {
      await held.promise;
      return answers.shift() ?? 'token_inactive';
    });
    const cache = cacheOver(read);
    const flight = cache.get('t');
    await vi.waitFor(() => expect(read).toHaveBeenCalledTimes(1));
    cache.revocations.add(noticeOf({ subject: 'user-1' }));
    held.resolve();
    expect(await flight).toBe('token_inactive');
  });

  it('a token that speaks for itself is refused when it was issued before, and passes when after', async () => {
    const issuedAt = Math.floor(Date.now() / 1000);
    const jwt = (iat: number) => ({
      mayIntrospect: false,
      isIntrospected: () => false,
      read: async () => readTokenClaims({ ...claims, iat }, issuer),
    });
    const cache = cacheOver(async () => 'token_inactive', { inactiveMaxAge: 0 });
    expect(await cache.get('t', jwt(issuedAt - 10))).toMatchObject({ issuer });
    cache.revocations.add(noticeOf({ subject: 'user-1' }, issuedAt * 1000));
    expect(await cache.get('t', jwt(issuedAt - 10))).toBe('token_inactive: revoked here');
    expect(await cache.get('v', jwt(issuedAt + 30))).toBe('token_inactive: revoked here');
    expect(await cache.get('u', jwt(issuedAt + 31))).toMatchObject({ issuer });
    cache.revocations.add(noticeOf({ token: 'u' }));
    expect(await cache.get('u', jwt(issuedAt + 31))).toBe('token_inactive: revoked here');
  });
});

describe('what is kept', () => {
  it('R59: neither keys nor anything else in the cache hold the token', async () => {
    const { cache, get } = cacheOver(async () => readTokenClaims({ active: true, sub: 'user-1' }, issuer));
    await get('tok-3141592653');
    expect(inspect(cache, { depth: 10, showHidden: true })).not.toContain('3141592653');
  });

  it('at most maxEntries active tokens, the one used longest ago goes first', async () => {
    const read = vi.fn<TokenReader>(async () => readTokenClaims({ active: true }, issuer));
    const cache = cacheOver(read, { maxEntries: 2 });
    for (const token of ['a', 'b', 'a', 'c', 'a']) {
      await cache.get(token);
    }
    expect(read.mock.calls.flat()).toEqual(['a', 'b', 'c']);
    await cache.get('b');
    expect(read.mock.calls.flat()).toEqual(['a', 'b', 'c', 'b']);
  });

  it('at most maxSize bytes, by their claims', async () => {
    const read = vi.fn<TokenReader>(async () =>
      readTokenClaims({ active: true, x: 'x'.repeat(10_000) }, issuer),
    );
    const cache = cacheOver(read, { maxSize: 100_000 });
    for (let i = 0; i < 4; i += 1) {
      await cache.get(`t-${i}`);
    }
    await cache.get('t-3');
    await cache.get('t-0');
    expect(read.mock.calls.flat()).toEqual(['t-0', 't-1', 't-2', 't-3', 't-0']);
  });

  it('a token too large for the cache is let in, and asked about each time', async () => {
    const read = vi.fn<TokenReader>(async () =>
      readTokenClaims({ active: true, x: 'x'.repeat(50_000) }, issuer),
    );
    const cache = cacheOver(read, { maxSize: 100_000 });
    expect(await cache.get('t')).toMatchObject({ issuer });
    expect(await cache.get('t')).toMatchObject({ issuer });
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('R60: bad tokens never displace good ones', async () => {
    const read = vi.fn<TokenReader>(async (token) =>
      token === 'good' ? readTokenClaims({ active: true }, issuer) : 'token_inactive',
    );
    const cache = cacheOver(read, { maxEntries: 1 });
    await cache.get('good');
    for (let i = 0; i < 5_000; i += 1) {
      await cache.get(`bad-${i}`);
    }
    await cache.get('good');
    expect(read.mock.calls.filter(([token]) => token === 'good')).toHaveLength(1);
  });

  it('R60: a failure is shared by those who wait, and not kept', async () => {
    const read = vi
      .fn<TokenReader>()
      .mockRejectedValueOnce(new Error('down'))
      .mockResolvedValue('token_inactive');
    const cache = cacheOver(read);
    const waiting = await Promise.allSettled([cache.get('t'), cache.get('t')]);
    expect(waiting.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(read).toHaveBeenCalledTimes(1);
    expect(await cache.get('t')).toBe('token_inactive');
  });

  it('to confirm is to ask, known or not, by a question that begins later; only a rejection is remembered', async () => {
    const answers = Array.from({ length: 3 }, () => readTokenClaims({ active: true }, issuer));
    const read = vi.fn<TokenReader>(async () => answers.shift() ?? 'token_inactive');
    const cache = cacheOver(read);
    expect(await cache.get('t')).toMatchObject({ issuer });
    // The second and the third share the question that begins when the first has ended.
    const confirmed = [cache.confirm('t'), cache.confirm('t'), cache.confirm('t')];
    expect(await Promise.all(confirmed)).toMatchObject([{ issuer }, { issuer }, { issuer }]);
    expect(read).toHaveBeenCalledTimes(3);
    expect(await cache.get('t')).toMatchObject({ issuer });
    expect(read).toHaveBeenCalledTimes(3);
    expect(await cache.confirm('t')).toBe('token_inactive');
    expect(await cache.get('t')).toBe('token_inactive');
    expect(read).toHaveBeenCalledTimes(4);
  });

  it('the same token is asked of each server for itself', async () => {
    const { get } = cacheOver(async () => 'token_inactive');
    const one = { id: 'https://a.example', read: vi.fn<TokenReader>(async () => 'token_inactive') };
    const other = {
      id: 'https://b.example',
      read: vi.fn<TokenReader>(async () => readTokenClaims({}, issuer)),
    };
    expect(await get('t', one)).toBe('token_inactive');
    expect(await get('t', other)).toMatchObject({ issuer });
    expect([one.read, other.read].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });

  it('a reader that throws instead of rejecting leaves nothing behind', async () => {
    const read = vi
      .fn<TokenReader>()
      .mockImplementationOnce(() => {
        throw new Error('at once');
      })
      .mockResolvedValue('token_inactive');
    const cache = cacheOver(read);
    await expect(async () => cache.get('t')).rejects.toThrow('at once');
    expect(await cache.get('t')).toBe('token_inactive');
  });

  it('claims are frozen to the bottom', () => {
    const token = readTokenClaims({ active: true, a: { b: [{ c: 1 }] }, aud: ['x'], scope: 'a b' }, issuer);
    if (typeof token === 'string') {
      throw new Error(token);
    }
    expect(Object.isFrozen((token.claims.a as { b: object[] }).b[0])).toBe(true);
    expect([token, token.claims, token.scopes, token.audience].every(Object.isFrozen)).toBe(true);
  });
});
