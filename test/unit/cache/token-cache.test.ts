import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import type { TokenServer } from '../../../packages/core/src/authorization-server/token-server.js';
import { SharedCache } from '../../../packages/core/src/cache/shared-cache.js';
import { TokenCache, type TokenCacheRules } from '../../../packages/core/src/cache/token-cache.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import type { CacheEvent } from '../../../packages/core/src/observe/events.js';
import type {
  Revocation,
  Revocations,
  RevocationsRules,
} from '../../../packages/core/src/revocation/revocations.js';
import type { UsableAnswer } from '../../../packages/core/src/revocation/usability.js';
import { type AttemptKind, CircuitOpen } from '../../../packages/core/src/shared/circuit-breaker.js';
import {
  readTokenClaims,
  type TokenAnswer,
  type TokenClaims,
  type TokenReader,
} from '../../../packages/core/src/token/token-claims.js';
import { hashOf } from '../../../packages/core/src/token/token-hash.js';
import { deferred } from '../../support/deferred.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { listenSince, noticeOf, remembered } from '../../support/revocations.js';

const issuer = 'https://as.example.com';
const now = 1_800_000_000_000;
const rules = {
  maxAge: 60,
  maxEntries: 100,
  maxSize: 1_000_000,
  rejectionMaxAge: 5,
  refreshAhead: 0,
  staleIfError: 0,
};
const events = recordedEvents<CacheEvent>('mtls-bound:cache');
const outage = new RequestRefused('authorization_server_timeout');

let random: MockInstance<() => number>;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(now);
  // No answer ends earlier than maxAge, unless a test says so.
  random = vi.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** What the cache keeps of a token that is active, for an hour unless `changes` say otherwise. */
const active = (changes: object = {}) =>
  readTokenClaims({ active: true, exp: now / 1000 + 3_600, ...changes }, issuer) as TokenClaims;

interface Setup extends Partial<TokenCacheRules> {
  readonly shared?: object;
  readonly memory?: Partial<RevocationsRules>;
}

/** A cache over `read`, which stands for the authorization server. */
function cacheOver(
  read: TokenReader = vi.fn<TokenReader>(async () => active()),
  { shared, memory, ...changes }: Setup = {},
) {
  const revocations = remembered(memory);
  const cache = new TokenCache({ ...rules, ...changes }, revocations, shared as SharedCache | undefined);
  const server: TokenServer = {
    id: '',
    sharedId: 'as api',
    // Most tests ask for no client: their readers get the token alone.
    read: (token, requester) => (requester === undefined ? read(token) : read(token, requester)),
    readIntrospects: true,
    isIntrospected: () => true,
  };
  const cached = (token: string, of: Partial<TokenServer> = {}) =>
    cache.useCached(token, { ...server, ...of }, undefined, () => undefined);
  const ask = (token: string, of: Partial<TokenServer> = {}) =>
    answerIn(cache.readThrough(token, { ...server, ...of }));
  return {
    cache,
    server,
    revocations,
    read,
    cached,
    ask,
    get: async (token: string, of: Partial<TokenServer> = {}) => cached(token, of) ?? ask(token, of),
    readAfresh: (token: string, of: Partial<TokenServer> = {}) =>
      answerIn(cache.readAfresh(token, { ...server, ...of })),
  };
}

/** The claims or the rejection, without the turn. */
async function answerIn(reading: Promise<UsableAnswer>): Promise<TokenAnswer> {
  const usable = await reading;
  return typeof usable === 'string' ? usable : usable.tokenClaims;
}

/** A shared cache that finds `found` and has each process ask for itself. */
const sharing = (found?: unknown) => ({
  get: vi.fn(async () => found),
  put: vi.fn(async () => undefined),
  putForLockWaiters: vi.fn(async () => undefined),
  remove: vi.fn(async () => undefined),
  askUnderLock: vi.fn((_name: string, _look: unknown, ask: () => unknown) => ask()),
});

/** A server whose tokens are verified here: the authorization server is not asked about them. */
const selfContained = { readIntrospects: false, isIntrospected: () => false };

describe('how long a cached answer is used', () => {
  /** Asks, waits, asks again: was the authorization server asked twice? */
  async function isAskedAgain(answer: TokenAnswer, seconds: number, changes: Setup) {
    const { get, read } = cacheOver(
      vi.fn<TokenReader>(async () => answer),
      changes,
    );
    await get('t');
    vi.advanceTimersByTime(seconds * 1000);
    await get('t');
    return vi.mocked(read).mock.calls.length === 2;
  }

  const untilSoon = active({ exp: now / 1000 + 2 });
  const endless = active({ exp: undefined });
  it.each<[string, TokenAnswer, number, Setup, boolean]>([
    ['an active token is used within maxAge', active(), 59.999, {}, false],
    ['an active token is not used from maxAge on', active(), 60, {}, true],
    ['R57: an active token is used until exp', untilSoon, 1.999, {}, false],
    ['R57: an active token is never used from exp on', untilSoon, 2, {}, true],
    ['a token without exp is used within maxAge', endless, 59.999, {}, false],
    ['a token without exp is not used from maxAge on', endless, 60, {}, true],
    ['a token that has expired is not cached', active({ exp: now / 1000 - 1 }), 0, {}, true],
    ['R62: nothing is cached with maxAge 0', active(), 0, { maxAge: 0 }, true],
    ['R60: an inactive token is cached for less than rejectionMaxAge', 'token_inactive', 4.999, {}, false],
    ['R60: an inactive token is not cached from rejectionMaxAge on', 'token_inactive', 5, {}, true],
    [
      'an inactive token is not cached with rejectionMaxAge 0',
      'token_inactive',
      0,
      { rejectionMaxAge: 0 },
      true,
    ],
  ])('%s', async (_title, answer, seconds, changes, isAgain) => {
    expect(await isAskedAgain(answer, seconds, changes)).toBe(isAgain);
  });

  it('answers of one moment end at different times, each up to a tenth of maxAge earlier', async () => {
    random.mockRestore();
    const { cached, get } = cacheOver();
    const tokens = Array.from({ length: 100 }, (_, i) => `t-${i}`);
    const endedAfter = (seconds: number) => {
      vi.setSystemTime(now + seconds * 1000);
      return tokens.filter((token) => cached(token) === undefined).length;
    };
    await Promise.all(tokens.map((token) => get(token)));
    expect(endedAfter(53.9)).toBe(0);
    const halfway = endedAfter(57);
    expect(halfway).toBeGreaterThan(20);
    expect(halfway).toBeLessThan(80);
    expect(endedAfter(60)).toBe(100);
  });

  it('an expired answer replaces the active one that was cached before it', async () => {
    const read = vi
      .fn<TokenReader>()
      .mockResolvedValueOnce(active())
      .mockResolvedValueOnce(active({ exp: now / 1000 }))
      .mockRejectedValue(outage);
    const { cached, ask } = cacheOver(read, { staleIfError: 30 });
    await ask('t');
    await ask('t');
    expect(cached('t')).toBeUndefined();
    await expect(ask('t')).rejects.toBe(outage);
  });
});

describe('refreshAhead', () => {
  it('the cached answer for a client that may not have it asked begins no refresh', async () => {
    const { ask, cache, read, server } = cacheOver(undefined, { refreshAhead: 20 });
    await ask('t');
    vi.advanceTimersByTime(45_000);
    expect(await cache.findWithoutAsking('t', server)).toMatchObject({ tokenClaims: { issuer } });
    await turn();
    expect(read).toHaveBeenCalledOnce();
  });

  it('a token in use is asked about again from refreshAhead before its end, and no request waits', async () => {
    const { cached, ask, read } = cacheOver(undefined, { refreshAhead: 20 });
    await ask('t');
    vi.setSystemTime(now + 39_999);
    cached('t');
    expect(read).toHaveBeenCalledTimes(1);
    vi.setSystemTime(now + 40_000);
    expect([cached('t'), cached('t')]).toMatchObject([{ issuer }, { issuer }]);
    expect(read).toHaveBeenCalledTimes(2);
    await turn();
    // Beyond the end of the first answer, the second one is used.
    vi.setSystemTime(now + 80_000);
    expect(cached('t')).toMatchObject({ issuer });
  });

  it('no more answers than maxRefreshes are asked for again at once', async () => {
    const ends: (() => void)[] = [];
    const slow = () => new Promise<TokenClaims>((resolve) => ends.push(() => resolve(active())));
    const read = vi.fn<TokenReader>(async () => active());
    const { cached, get } = cacheOver(read, { refreshAhead: 20, maxRefreshes: 3 });
    const tokens = Array.from({ length: 10 }, (_, index) => `t${index}`);
    await Promise.all(tokens.map((token) => get(token)));
    vi.advanceTimersByTime(50_000);
    read.mockReset().mockImplementation(slow);
    const use = () => tokens.map((token) => cached(token));
    expect(use()).toEqual(Array(10).fill(expect.objectContaining({ issuer })));
    expect(read.mock.calls).toEqual([['t0'], ['t1'], ['t2']]);
    use();
    expect(read).toHaveBeenCalledTimes(3);
    ends[0]?.();
    await turn();
    use();
    expect(read.mock.calls).toEqual([['t0'], ['t1'], ['t2'], ['t3']]);
  });

  it('a shared answer that is about to end does not pass for a refreshed one', async () => {
    const values = new Map<string, unknown>();
    const store = {
      get: vi.fn(async (key: string) => values.get(key)),
      set: async (key: string, value: string) => values.set(key, value),
    };
    const secret = ['a secret of at least 32 characters'];
    const shared = new SharedCache(
      { store, secret, lock: undefined, timeout: 5, lockTimeout: 2 },
      () => undefined,
    );
    const { cached, ask, read } = cacheOver(undefined, { refreshAhead: 20, shared });
    await ask('t');
    vi.advanceTimersByTime(50_000);
    expect(cached('t')).toMatchObject({ issuer });
    await vi.waitFor(() => expect(read).toHaveBeenCalledTimes(2));
    await vi.waitFor(() => expect(cached('t')).toMatchObject({ issuer }));
    // The refreshed answer is as new as the refresh: it outlives the first one.
    vi.advanceTimersByTime(30_000);
    expect(cached('t')).toMatchObject({ issuer });
  });

  it('a refresh that fails changes nothing: the answer ends in its time', async () => {
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockRejectedValue(new Error('down'));
    const { get } = cacheOver(read, { refreshAhead: 20 });
    await get('t');
    vi.advanceTimersByTime(50_000);
    expect(await get('t')).toMatchObject({ issuer });
    await turn();
    vi.advanceTimersByTime(10_000);
    await expect(get('t')).rejects.toThrow('down');
  });

  it.each([0, 30])('a refresh that fails uses no old answer, with staleIfError: %i', async (staleIfError) => {
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockRejectedValue(outage);
    const { get } = cacheOver(read, { refreshAhead: 20, staleIfError });
    await get('t');
    vi.advanceTimersByTime(50_000);
    await get('t');
    await turn();
    expect(read).toHaveBeenCalledTimes(2);
    expect(events).toEqual([]);
  });

  it('each request that waits for a refresh that fails gets an old answer, and an event says so', async () => {
    let fail = (): void => undefined;
    const failing = new Promise<never>((_resolve, reject) => {
      fail = () => reject(outage);
    });
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockReturnValueOnce(failing);
    const { get } = cacheOver(read, { refreshAhead: 20, staleIfError: 30 });
    await get('t');
    vi.advanceTimersByTime(50_000);
    await get('t');
    vi.advanceTimersByTime(15_000);
    const waiting = [get('t'), get('t')];
    fail();
    expect(await Promise.all(waiting)).toMatchObject([{ issuer }, { issuer }]);
    expect(read).toHaveBeenCalledTimes(2);
    expect(events).toEqual([{ result: 'stale' }, { result: 'stale' }]);
  });

  it('a token that a refresh finds inactive is refused from then on', async () => {
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockResolvedValue('token_inactive');
    const { get } = cacheOver(read, { refreshAhead: 20 });
    await get('t');
    vi.advanceTimersByTime(50_000);
    await get('t');
    await turn();
    expect(await get('t')).toBe('token_inactive');
  });
});

describe('staleIfError', () => {
  const refusedUs = new RequestRefused('authorization_server_refused_credentials');
  const limited = new RequestRefused('too_many_rejected_tokens');
  const notAsked = (failed?: AttemptKind) =>
    new RequestRefused('authorization_server_not_asked', {
      ...(failed !== undefined && { cause: new CircuitOpen(1, failed) }),
    });
  it.each<[string, object, unknown, number, boolean]>([
    ['an answer is used beyond maxAge while the server can not be asked', {}, outage, 89.999, true],
    ['an answer is not used from the end of staleIfError on', {}, outage, 90, false],
    ['an answer is not used beyond exp', { exp: now / 1000 + 62 }, outage, 63, false],
    ['an answer is not used when the server refuses our credentials', {}, refusedUs, 65, false],
    ['an answer is not used for an error of our own', {}, new Error('ours'), 65, false],
    ['an answer is not used for a client that is limited', {}, limited, 65, false],
    ['an answer is not used when this process does not ask', {}, notAsked(), 65, false],
    ['an answer is not used after failures about unknown tokens', {}, notAsked('unknown'), 65, false],
    ['an answer is used after failures about known tokens', {}, notAsked('known'), 65, true],
    ['an answer is not used when this process closes', {}, new RequestRefused('shutting_down'), 65, false],
  ])('R191: %s', async (_title, claims, trouble, seconds, isUsed) => {
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active(claims)).mockRejectedValue(trouble);
    const { get } = cacheOver(read, { staleIfError: 30 });
    await get('t');
    vi.advanceTimersByTime(seconds * 1000);
    if (isUsed) {
      expect(await get('t')).toMatchObject({ issuer });
      expect(events).toEqual([{ result: 'stale' }]);
    } else {
      await expect(get('t')).rejects.toBe(trouble);
      expect(events).toEqual([]);
    }
  });

  it.each([
    [89_999, true],
    [90_001, false],
  ])('R191: set back, the wall clock prolongs no use: %i ms after the answer', async (ms, isUsed) => {
    const began = performance.now();
    const monotonic = vi.spyOn(performance, 'now').mockReturnValue(began);
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockRejectedValue(outage);
    const { get } = cacheOver(read, { staleIfError: 30 });
    await get('t');
    vi.advanceTimersByTime(65_000);
    monotonic.mockReturnValue(began + ms);
    if (isUsed) {
      expect(await get('t')).toMatchObject({ issuer });
    } else {
      await expect(get('t')).rejects.toBe(outage);
    }
  });

  it('R191: an answer is not used for a token that was revoked here', async () => {
    const read = vi
      .fn<TokenReader>()
      .mockResolvedValueOnce(active({ sub: 'user-1' }))
      .mockRejectedValue(outage);
    const { get, revocations } = cacheOver(read, { staleIfError: 30 });
    await get('t');
    vi.advanceTimersByTime(65_000);
    revocations.add(noticeOf({ subject: 'user-1' }));
    await expect(get('t')).rejects.toThrow('timeout');
  });

  it('R191: an answer is not used for a client that may not ask', async () => {
    const { get, cache, server } = cacheOver(undefined, { staleIfError: 30 });
    await get('t');
    expect(await cache.findWithoutAsking('t', server)).toMatchObject({ tokenClaims: { issuer } });
    vi.advanceTimersByTime(65_000);
    expect(cache.hasUsableStale(hashOf('t'), server)).toBe(true);
    expect(await cache.findWithoutAsking('t', server)).toBeUndefined();
  });

  it('a failure is passed on when no older answer is cached', async () => {
    const { ask } = cacheOver(vi.fn<TokenReader>().mockRejectedValue(outage), { staleIfError: 30 });
    await expect(ask('t')).rejects.toBe(outage);
  });
});

describe('an answer of the shared cache', () => {
  const seconds = 1_000;

  /** A process that has listened to the channel for an hour, and an answer that another one asked for `age` ago. */
  function heardWith(age: number) {
    const found = {
      issuer,
      claims: { active: true, sub: 'user-1' },
      askedAt: now - age,
      logReadUpTo: undefined,
    };
    const cache = cacheOver(async () => 'token_inactive', {
      shared: sharing(found),
      memory: { syncedBy: 'channel' },
    });
    listenSince(cache.revocations, now - 3_600 * seconds);
    return cache;
  }

  it.each<[string, number, (revocations: Revocations) => void, boolean]>([
    ['is used while it is younger than maxAge', 59.999 * seconds, () => undefined, true],
    ['is not used when it is as old as maxAge', 60 * seconds, () => undefined, false],
    [
      'is not used when its subject was revoked since',
      10 * seconds,
      (it) => it.add(noticeOf({ subject: 'user-1' })),
      false,
    ],
    [
      'is not used when its subject was revoked before, because clocks differ',
      10 * seconds,
      (it) => it.add(noticeOf({ subject: 'user-1' }, now - 60 * seconds)),
      false,
    ],
    [
      'is used when another subject was revoked',
      10 * seconds,
      (it) => it.add(noticeOf({ subject: 'user-2' })),
      true,
    ],
    ['is not used while the channel is interrupted', 1 * seconds, (it) => it.markUnsynced(), false],
    [
      'is not used when it is older than the return of the channel',
      10 * seconds,
      (it) => it.markRestored(),
      false,
    ],
    [
      'is used when it is younger than the return of the channel',
      10 * seconds,
      (it) => listenSince(it, now - 60 * seconds),
      true,
    ],
    ['is not used when it is dated an hour ahead', -3_600 * seconds, () => undefined, false],
  ])('%s', async (_title, age, prepare, isUsed) => {
    const { ask, revocations } = heardWith(age);
    prepare(revocations);
    const answer = await ask('t');
    expect(answer === 'token_inactive').toBe(!isUsed);
  });

  /** A cache that asks about a token, and what happens to its shared tier meanwhile. */
  function watched(memory: Partial<RevocationsRules>) {
    const happened: string[] = [];
    const shared = {
      ...sharing(),
      get: async () => void happened.push('look'),
      askUnderLock: async (_name: string, _look: unknown, ask: () => unknown) => {
        happened.push('wait');
        return ask();
      },
    };
    const { ask, revocations } = cacheOver(async () => 'token_inactive', { shared, memory });
    const expectInactive = async () => expect(await ask('t')).toBe('token_inactive');
    return { happened, expectInactive, revocations };
  }

  it.each([
    ['is not waited for', 24, []],
    ['is waited for', 26, ['look', 'wait']],
  ])(
    '%s %i s after the process began to listen, where clocks may differ by 30 s',
    async (_, age, expected) => {
      const { happened, expectInactive, revocations } = watched({ syncedBy: 'channel', clockTolerance: 30 });
      listenSince(revocations, now - age * seconds);
      await expectInactive();
      expect(happened).toEqual(expected);
    },
  );

  const listenForLong = (it: Revocations) => listenSince(it, now - 3_600 * seconds);
  it.each<[string, RevocationsRules['syncedBy'], (revocations: Revocations) => void, boolean]>([
    ['a channel that is not heard yet', 'channel', () => undefined, false],
    ['a channel that is heard', 'channel', listenForLong, true],
    [
      'a channel that is interrupted',
      'channel',
      (it) => {
        listenForLong(it);
        it.markUnsynced();
      },
      false,
    ],
    ['a log that is not read yet', 'log', () => undefined, false],
    ['a log that was read just now', 'log', (it) => it.markRead('1-0', performance.now()), true],
    ['a log that was read too long ago', 'log', (it) => it.markRead('1-0', performance.now() - 5_001), false],
    ['no channel and no log', 'alone', () => undefined, true],
  ])('is looked for only where it could be used: %s', async (_title, syncedBy, prepare, isUsed) => {
    const { happened, expectInactive, revocations } = watched({ syncedBy });
    prepare(revocations);
    await expectInactive();
    expect(happened).toEqual(isUsed ? ['look', 'wait'] : []);
  });

  it('is used instead of asking the server, and an event says so', async () => {
    const shared = sharing({ issuer, claims: { active: true, sub: 'bob' }, askedAt: now });
    const { cached, ask, read } = cacheOver(undefined, { shared });
    expect(await ask('t')).toMatchObject({ subject: 'bob' });
    expect(cached('t')).toMatchObject({ subject: 'bob' });
    expect(read).not.toHaveBeenCalled();
    expect(events).toEqual([{ result: 'shared_hit' }]);
  });

  it('with a claim of a wrong type is ignored', async () => {
    const shared = sharing({ issuer, claims: { active: true, exp: 'tomorrow' }, askedAt: now });
    const { ask, read } = cacheOver(undefined, { shared });
    expect(await ask('t')).toMatchObject({ issuer });
    expect(read).toHaveBeenCalledOnce();
    expect(events).toEqual([]);
  });

  it('from before a token turned out inactive is not used, also after many other tokens did', async () => {
    const shared = sharing();
    const read = vi.fn<TokenReader>(async () => 'token_inactive');
    const { ask, readAfresh } = cacheOver(read, { shared, rejectionMaxAge: 0 });
    await ask('t');
    shared.get.mockResolvedValue({ issuer, claims: { active: true }, askedAt: now - 6_000 });
    expect(await ask('t')).toBe('token_inactive');
    for (let i = 0; i < 15_000; i += 1) {
      await readAfresh(`other-${i}`);
    }
    expect(await ask('t')).toBe('token_inactive');
    expect(read.mock.calls.filter(([token]) => token === 't')).toHaveLength(3);
  });
});

describe('what is put into the shared cache', () => {
  const name = `${hashOf('t')} as api`;

  it('an active token is put there for as long as it is cached here', async () => {
    const shared = sharing();
    const { ask } = cacheOver(async () => readTokenClaims({ active: true, sub: 'alice' }, issuer), {
      shared,
    });
    await ask('t');
    const answer = { claims: { active: true, sub: 'alice' }, issuer, askedAt: now, logReadUpTo: undefined };
    expect(shared.put.mock.calls).toEqual([[name, answer, 60]]);
    expect(shared.get.mock.calls).toEqual([[name]]);
    expect(shared.askUnderLock.mock.calls).toEqual([[name, expect.any(Function), expect.any(Function)]]);
  });

  it.each<[string, TokenAnswer]>([
    ['an expired token', active({ exp: now / 1000 })],
    ['an inactive token', 'token_inactive'],
  ])('%s is not put there', async (_, answer) => {
    const shared = sharing();
    await cacheOver(async () => answer, { shared }).ask('t');
    expect(shared.put).not.toHaveBeenCalled();
  });

  it.each<[string, Setup, Partial<TokenServer>, number]>([
    ['of the authorization server is shared with the processes that wait', {}, {}, 1],
    ['is not shared where each request asks', { rejectionMaxAge: 0 }, {}, 0],
    ['of a self-contained token is not shared', {}, selfContained, 0],
  ])('the answer "not active" %s', async (_, changes, of, times) => {
    const shared = sharing();
    await cacheOver(async () => 'token_inactive', { shared, ...changes }).ask('t', of);
    expect(shared.putForLockWaiters).toHaveBeenCalledTimes(times);
  });

  it('a self-contained token is neither put there nor looked for', async () => {
    const shared = sharing({ issuer, claims: { active: true }, askedAt: now });
    const { ask, read } = cacheOver(undefined, { shared });
    await ask('t', selfContained);
    expect(shared.get).not.toHaveBeenCalled();
    expect(shared.put).not.toHaveBeenCalled();
    expect(read).toHaveBeenCalledOnce();
  });

  it.each(['readAfresh', 'ask'] as const)(
    'the answer of a token is removed when %s() finds it inactive',
    async (how) => {
      const shared = sharing();
      const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockResolvedValue('token_inactive');
      const cache = cacheOver(read, { shared });
      await cache.ask('t');
      expect(shared.remove).not.toHaveBeenCalled();
      await cache[how]('t');
      expect(shared.remove.mock.calls).toEqual([[name]]);
    },
  );

  it('nothing is removed for a token that was never cached or is self-contained', async () => {
    const shared = sharing();
    const { ask, readAfresh } = cacheOver(async () => 'token_inactive', { shared });
    await ask('t');
    await readAfresh('u', selfContained);
    expect(shared.remove).not.toHaveBeenCalled();
  });
});

describe('a revocation', () => {
  const claims = { active: true, sub: 'user-1', client_id: 'alice', cnf: { 'x5t#S256': 'thumb' } };
  const user = async () => readTokenClaims(claims, issuer);
  const hash = createHash('sha256').update('t').digest('base64url');

  it.each<[string, Revocation, boolean]>([
    ['of its subject has a token asked about again, once', { subject: 'user-1' }, true],
    ['of its client has a token asked about again, once', { clientId: 'alice' }, true],
    ['of its certificate has a token asked about again, once', { thumbprint: 'thumb' }, true],
    ['of another token changes nothing', { token: 'u' }, false],
    ['of another subject changes nothing', { subject: 'user-2' }, false],
    ['of a subject named like the client changes nothing', { subject: 'alice' }, false],
    ['of a client named like the subject changes nothing', { clientId: 'user-1' }, false],
  ])('%s', async (_title, revocation, isAgain) => {
    const { get, read, revocations } = cacheOver(vi.fn<TokenReader>(user));
    await get('t');
    vi.advanceTimersByTime(2);
    revocations.add(noticeOf(revocation));
    vi.advanceTimersByTime(2);
    await get('t');
    await get('t');
    expect(read).toHaveBeenCalledTimes(isAgain ? 2 : 1);
  });

  it.each<[string, Revocation]>([
    ['of the token', { token: 't' }],
    ['of the hash of the token', { tokenHash: hash }],
  ])('%s has it refused without asking any server or store', async (_title, revocation) => {
    const shared = sharing();
    const { get, read, revocations } = cacheOver(vi.fn<TokenReader>(user), { shared });
    await get('t');
    revocations.add(noticeOf(revocation));
    expect(await get('t')).toBe('token_inactive: revoked here');
    expect(read).toHaveBeenCalledTimes(1);
    expect(shared.get).toHaveBeenCalledTimes(1);
    expect(shared.askUnderLock).toHaveBeenCalledTimes(1);
    expect(await get('u')).toMatchObject({ issuer });
  });

  it.each<[string, Revocation, TokenAnswer | object]>([
    ['of its subject', { subject: 'user-1' }, 'token_inactive'],
    ['of its certificate', { thumbprint: 'thumb' }, 'token_inactive'],
    ['of the token', { token: 't' }, 'token_inactive: revoked here'],
    ['of another subject', { subject: 'user-2' }, { subject: 'user-1' }],
  ])('%s counts for an answer that is being shared meanwhile', async (_title, revocation, expected) => {
    const stored = deferred();
    const shared = { ...sharing(), put: vi.fn(() => stored.promise) };
    const read = vi.fn<TokenReader>(async () => 'token_inactive').mockImplementationOnce(user);
    const { ask, get, revocations } = cacheOver(read, { shared });
    const first = ask('t');
    await vi.waitFor(() => expect(shared.put).toHaveBeenCalled());
    revocations.add(noticeOf(revocation));
    const later = get('t');
    stored.resolve();
    for (const answer of [await first, await later]) {
      expect(answer).toEqual(typeof expected === 'string' ? expected : expect.objectContaining(expected));
    }
  });

  it('of a subject has the server asked again about an answer that was on its way', async () => {
    const held = deferred();
    const read = vi
      .fn<TokenReader>(async () => 'token_inactive')
      .mockImplementationOnce(async () => {
        await held.promise;
        return user();
      });
    const { get, revocations } = cacheOver(read);
    const open = get('t');
    await vi.waitFor(() => expect(read).toHaveBeenCalledTimes(1));
    revocations.add(noticeOf({ subject: 'user-1' }));
    held.resolve();
    expect(await open).toBe('token_inactive');
  });

  it('during each question has the server asked twice, and no third time', async () => {
    const { ask, read, revocations } = cacheOver(
      vi.fn<TokenReader>(async () => {
        revocations.add(noticeOf({ subject: 'user-1' }));
        return user();
      }),
    );
    expect(await ask('t')).toBe('token_inactive');
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('does not have a self-contained token accepted by an answer from before a rejection', async () => {
    const slow = deferred<TokenAnswer>();
    const introspect = vi.fn(() => slow.promise);
    const { ask, readAfresh, cached } = cacheOver(user, { memory: { syncedBy: 'log' } });
    const waiting = ask('t', { ...selfContained, introspect });
    await vi.waitFor(() => expect(introspect).toHaveBeenCalledOnce());
    const asked = { countsOwnClaims: true, read: async () => 'token_inactive' as const };
    expect(await readAfresh('t', asked)).toBe('token_inactive');
    slow.resolve(await user());
    expect(await waiting).toBe('token_inactive');
    expect(cached('t')).toBe('token_inactive');
  });

  it('has a self-contained token refused if it was issued before, and accepted if after', async () => {
    const issuedAt = now / 1000;
    const jwt = (iat: number) => ({
      ...selfContained,
      read: async () => readTokenClaims({ ...claims, iat }, issuer),
    });
    const { get, revocations } = cacheOver(async () => 'token_inactive', { rejectionMaxAge: 0 });
    expect(await get('t', jwt(issuedAt - 10))).toMatchObject({ issuer });
    revocations.add(noticeOf({ subject: 'user-1' }, now));
    expect(await get('t', jwt(issuedAt - 10))).toBe('token_inactive: revoked here');
    expect(await get('v', jwt(issuedAt + 30))).toBe('token_inactive: revoked here');
    expect(await get('u', jwt(issuedAt + 31))).toMatchObject({ issuer });
    revocations.add(noticeOf({ token: 'u' }));
    expect(await get('u', jwt(issuedAt + 31))).toBe('token_inactive: revoked here');
  });
});

describe('what is cached', () => {
  const large = (length: number) => vi.fn<TokenReader>(async () => active({ x: 'x'.repeat(length) }));

  it('R59: neither keys nor anything else in the cache hold the token', async () => {
    const { cache, get } = cacheOver();
    await get('tok-3141592653');
    expect(inspect(cache, { depth: 10, showHidden: true })).not.toContain('3141592653');
  });

  it('at most maxEntries active tokens are cached, the one used longest ago goes first', async () => {
    const read = vi.fn<TokenReader>(async () => active());
    const { get } = cacheOver(read, { maxEntries: 2 });
    for (const token of ['a', 'b', 'a', 'c', 'a']) {
      await get(token);
    }
    expect(read.mock.calls.flat()).toEqual(['a', 'b', 'c']);
    await get('b');
    expect(read.mock.calls.flat()).toEqual(['a', 'b', 'c', 'b']);
  });

  it('at most maxSize bytes of claims are cached', async () => {
    const read = large(10_000);
    const { get } = cacheOver(read, { maxSize: 100_000 });
    for (let i = 0; i < 4; i += 1) {
      await get(`t-${i}`);
    }
    await get('t-3');
    await get('t-0');
    expect(read.mock.calls.flat()).toEqual(['t-0', 't-1', 't-2', 't-3', 't-0']);
  });

  it('a token too large for the cache is accepted, and asked about each time', async () => {
    const { get, read } = cacheOver(large(50_000), { maxSize: 100_000 });
    expect(await get('t')).toMatchObject({ issuer });
    expect(await get('t')).toMatchObject({ issuer });
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('R60: inactive tokens never displace active ones', async () => {
    const read = vi.fn<TokenReader>(async (token) => (token === 'good' ? active() : 'token_inactive'));
    const { get } = cacheOver(read, { maxEntries: 1 });
    await get('good');
    for (let i = 0; i < 5_000; i += 1) {
      await get(`bad-${i}`);
    }
    await get('good');
    expect(read.mock.calls.filter(([token]) => token === 'good')).toHaveLength(1);
  });

  it('R60: a failure is shared by the requests that wait, and not cached', async () => {
    const read = vi
      .fn<TokenReader>()
      .mockRejectedValueOnce(new Error('down'))
      .mockResolvedValue('token_inactive');
    const { get } = cacheOver(read);
    const waiting = await Promise.allSettled([get('t'), get('t')]);
    expect(waiting.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(read).toHaveBeenCalledTimes(1);
    expect(await get('t')).toBe('token_inactive');
  });

  it('a token is asked of each authorization server for itself', async () => {
    const { get } = cacheOver();
    const one = { id: 'https://a.example', read: vi.fn<TokenReader>(async () => 'token_inactive') };
    const other = { id: 'https://b.example', read: vi.fn<TokenReader>(async () => active()) };
    expect(await get('t', one)).toBe('token_inactive');
    expect(await get('t', other)).toMatchObject({ issuer });
    expect([one.read, other.read].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });

  it('a reader that throws instead of rejecting leaves nothing in the cache', async () => {
    const read = vi
      .fn<TokenReader>()
      .mockImplementationOnce(() => {
        throw new Error('at once');
      })
      .mockResolvedValue('token_inactive');
    const { get } = cacheOver(read);
    await expect(async () => get('t')).rejects.toThrow('at once');
    expect(await get('t')).toBe('token_inactive');
  });

  it('claims are frozen at every depth', () => {
    const token = active({ a: { b: [{ c: 1 }] }, aud: ['x'], scope: 'a b' });
    expect(Object.isFrozen((token.claims.a as { b: object[] }).b[0])).toBe(true);
    expect([token, token.claims, token.scopes, token.audience].every(Object.isFrozen)).toBe(true);
  });
});

describe('readAfresh()', () => {
  it('asks about a cached token too, and caches only that it is inactive', async () => {
    const answers = Array.from({ length: 3 }, () => active());
    const read = vi.fn<TokenReader>(async () => answers.shift() ?? 'token_inactive');
    const { get, readAfresh } = cacheOver(read);
    expect(await get('t')).toMatchObject({ issuer });
    // The second and the third share the question that begins when the first has ended.
    const confirmed = [readAfresh('t'), readAfresh('t'), readAfresh('t')];
    expect(await Promise.all(confirmed)).toMatchObject([{ issuer }, { issuer }, { issuer }]);
    expect(read).toHaveBeenCalledTimes(3);
    expect(await get('t')).toMatchObject({ issuer });
    expect(read).toHaveBeenCalledTimes(3);
    expect(await readAfresh('t')).toBe('token_inactive');
    expect(await get('t')).toBe('token_inactive');
    expect(read).toHaveBeenCalledTimes(4);
  });

  it('asks about each token by itself', async () => {
    const { readAfresh } = cacheOver(async (token) => active({ sub: token }));
    const answers = await Promise.all([readAfresh('a'), readAfresh('b')]);
    expect(answers).toMatchObject([{ subject: 'a' }, { subject: 'b' }]);
  });

  it('caches no active token', async () => {
    const { readAfresh, cached } = cacheOver();
    await readAfresh('t');
    expect(cached('t')).toBeUndefined();
  });
});

describe('for whose sake is asked', () => {
  const alice = { interactionId: 'a', countingKeys: ['alice'] };
  const bob = { interactionId: 'b', countingKeys: ['bob'] };
  const serverOver = (read: TokenReader): TokenServer => ({
    id: '',
    sharedId: undefined,
    read,
    readIntrospects: true,
    isIntrospected: () => true,
  });

  it('a question that two requests share is asked for the first', async () => {
    const { cache, read, ask } = cacheOver();
    const server = serverOver(read);
    await Promise.all([cache.readThrough('t', server, alice), cache.readThrough('t', server, bob), ask('t')]);
    expect(vi.mocked(read).mock.calls).toEqual([['t', alice]]);
  });

  it('a question of readAfresh() that two requests share is asked for the first of them', async () => {
    const { cache, read } = cacheOver();
    const server = serverOver(read);
    await Promise.all([
      cache.readAfresh('t', server, alice),
      cache.readAfresh('t', server, bob),
      cache.readAfresh('t', server, alice),
    ]);
    expect(vi.mocked(read).mock.calls).toEqual([
      ['t', alice],
      ['t', bob],
    ]);
  });

  it('a refresh is asked for the request that uses the answer', async () => {
    const { cache, read, ask } = cacheOver(undefined, { refreshAhead: 20 });
    const server = serverOver(read);
    await ask('t');
    vi.setSystemTime(now + 40_000);
    cache.useCached('t', server, bob, (requester) => requester);
    cache.useCached('t', server, alice, (requester) => requester);
    await turn();
    expect(vi.mocked(read).mock.calls).toEqual([['t'], ['t', bob]]);
  });

  it('the server of a token that says itself who it is is asked for the request too', async () => {
    const { cache, read } = cacheOver(undefined, { memory: { syncedBy: 'log' } });
    const introspect = vi.fn(async () => active());
    const server: TokenServer = { ...serverOver(read), ...selfContained, introspect };
    await cache.readThrough('t', server, alice);
    expect(introspect).toHaveBeenCalledExactlyOnceWith('t', expect.objectContaining({ issuer }), alice);
  });
});

describe('settleReadings()', () => {
  it('waits for the questions under way, also for those that fail', async () => {
    const slow = deferred<TokenClaims>();
    const read = vi.fn<TokenReader>().mockReturnValueOnce(slow.promise).mockRejectedValue(outage);
    const { cache, ask } = cacheOver(read);
    const open = ask('t');
    ask('u').catch(() => undefined);
    let isSettled = false;
    const ended = cache.settleReadings().then(() => {
      isSettled = true;
    });
    await turn();
    expect(isSettled).toBe(false);
    slow.resolve(active());
    await open;
    await ended;
  });

  it('ends the refreshes', async () => {
    const { cache, cached, ask, read } = cacheOver(undefined, { refreshAhead: 20 });
    await ask('t');
    await cache.settleReadings();
    vi.setSystemTime(now + 50_000);
    expect(cached('t')).toMatchObject({ issuer });
    expect(read).toHaveBeenCalledTimes(1);
  });
});
