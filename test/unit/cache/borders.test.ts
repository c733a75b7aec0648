// To the millisecond: with nothing left to chance, and the clock in the test's hands.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SharedCache } from '../../../packages/core/src/cache/shared-cache.js';
import { TokenCache, type TokenTarget } from '../../../packages/core/src/cache/token-cache.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import type { CacheEvent } from '../../../packages/core/src/observe/events.js';
import {
  readTokenClaims,
  type TokenClaims,
  type TokenReader,
} from '../../../packages/core/src/token/token-claims.js';
import { hashOf } from '../../../packages/core/src/token/token-identity.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { noticeOf, remembered } from '../../support/revocations.js';

const issuer = 'https://as.example.com';
const now = 1_800_000_000_000;
const events = recordedEvents<CacheEvent>('mtls-bound:cache');
const active = (changes: object = {}) => readTokenClaims({ active: true, ...changes }, issuer) as TokenClaims;
const outage = new RequestRefused('authorization_server_timeout');

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(now);
  // No answer ends earlier than maxAge.
  vi.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const rules = {
  maxAge: 60,
  maxEntries: 100,
  maxSize: 1_000_000,
  inactiveMaxAge: 5,
  refreshAhead: 0,
  staleIfError: 0,
};

function cacheOver({
  read = vi.fn<TokenReader>(async () => active()),
  shared,
  ...changes
}: Partial<typeof rules> & { read?: TokenReader; shared?: object } = {}) {
  const revocations = remembered();
  const cache = new TokenCache({ ...rules, ...changes }, revocations, shared as SharedCache | undefined);
  const asked: TokenTarget = {
    id: '',
    sharedId: 'as api',
    read,
    mayIntrospect: true,
    isIntrospected: () => true,
  };
  return { cache, revocations, read, asked };
}

const flights = () => new Promise((resolve) => setImmediate(resolve));

describe('an answer', () => {
  it('serves up to maxAge, and not at it', async () => {
    const { cache, asked } = cacheOver();
    await cache.learn('t', asked);
    vi.setSystemTime(now + 59_999);
    expect(cache.known('t', asked)).toMatchObject({ issuer });
    vi.setSystemTime(now + 60_000);
    expect(cache.known('t', asked)).toBeUndefined();
  });

  it('an inactive token is cached for less than inactiveMaxAge', async () => {
    const { cache, asked } = cacheOver({ read: async () => 'token_inactive' });
    await cache.learn('t', asked);
    vi.setSystemTime(now + 4_999);
    expect(cache.known('t', asked)).toBe('token_inactive');
    vi.setSystemTime(now + 5_000);
    expect(cache.known('t', asked)).toBeUndefined();
  });

  it('is asked for anew from refreshAhead before its end on, and not before', async () => {
    const { cache, asked, read } = cacheOver({ refreshAhead: 20 });
    await cache.learn('t', asked);
    vi.setSystemTime(now + 39_999);
    cache.known('t', asked);
    expect(read).toHaveBeenCalledTimes(1);
    vi.setSystemTime(now + 40_000);
    cache.known('t', asked);
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('that can not be had leaves the trouble as it is, where nothing else is known', async () => {
    const read = vi.fn<TokenReader>().mockRejectedValue(outage);
    const { cache, asked } = cacheOver({ read, staleIfError: 30 });
    await expect(cache.learn('t', asked)).rejects.toBe(outage);
  });

  it('serves beyond maxAge for staleIfError, and not at its end, and that is told', async () => {
    const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockRejectedValue(outage);
    const { cache, asked } = cacheOver({ read, staleIfError: 30 });
    await cache.learn('t', asked);
    vi.setSystemTime(now + 89_999);
    expect(await cache.learn('t', asked)).toMatchObject({ issuer });
    expect(events).toEqual([{ result: 'stale' }]);
    vi.setSystemTime(now + 90_000);
    await expect(cache.learn('t', asked)).rejects.toBe(outage);
  });

  it('that has expired takes what was known before with it', async () => {
    const read = vi
      .fn<TokenReader>()
      .mockResolvedValueOnce(active())
      .mockResolvedValueOnce(active({ exp: now / 1000 }))
      .mockRejectedValue(outage);
    const { cache, asked } = cacheOver({ read, staleIfError: 30 });
    await cache.learn('t', asked);
    await cache.learn('t', asked);
    expect(cache.known('t', asked)).toBeUndefined();
    await expect(cache.learn('t', asked)).rejects.toBe(outage);
  });
});

describe('an answer that was on its way when the token was revoked', () => {
  it('is asked for once more, and no third time', async () => {
    const claims = { sub: 'alice' };
    const read = vi.fn<TokenReader>(async () => {
      revocations.add(noticeOf({ subject: 'alice' }));
      return active(claims);
    });
    const { cache, asked, revocations } = cacheOver({ read });
    expect(await cache.learn('t', asked)).toBe('token_inactive');
    expect(read).toHaveBeenCalledTimes(2);
  });
});

describe('confirm()', () => {
  it('introspects each token by itself', async () => {
    const read = async (token: string) => active({ sub: token });
    const { cache, asked } = cacheOver({ read });
    const answers = await Promise.all([cache.confirm('a', asked), cache.confirm('b', asked)]);
    expect(answers).toMatchObject([{ subject: 'a' }, { subject: 'b' }]);
  });

  it('caches no active token', async () => {
    const { cache, asked } = cacheOver();
    await cache.confirm('t', asked);
    expect(cache.known('t', asked)).toBeUndefined();
  });
});

describe('settled()', () => {
  it('waits for who is asked, also where that fails', async () => {
    let answer: (token: TokenClaims) => void = () => undefined;
    const slow = new Promise<TokenClaims>((resolve) => {
      answer = resolve;
    });
    const read = vi.fn<TokenReader>().mockReturnValueOnce(slow).mockRejectedValue(outage);
    const { cache, asked } = cacheOver({ read });
    const flight = cache.learn('t', asked);
    cache.learn('u', asked).catch(() => undefined);
    let isSettled = false;
    const settled = cache.settled().then(() => {
      isSettled = true;
    });
    await flights();
    expect(isSettled).toBe(false);
    answer(active());
    await flight;
    await settled;
  });

  it('nothing is asked for ahead of its time afterwards', async () => {
    const { cache, asked, read } = cacheOver({ refreshAhead: 20 });
    await cache.learn('t', asked);
    await cache.settled();
    vi.setSystemTime(now + 50_000);
    expect(cache.known('t', asked)).toMatchObject({ issuer });
    expect(read).toHaveBeenCalledTimes(1);
  });
});

describe('with a shared tier', () => {
  const sharing = (found: unknown) => ({
    get: vi.fn(async () => found),
    put: vi.fn(async () => undefined),
    putForWaiting: vi.fn(async () => undefined),
    remove: vi.fn(async () => undefined),
    askOnce: vi.fn((_name: string, _look: unknown, ask: () => unknown) => ask()),
  });
  const name = `${hashOf('t')} as api`;

  it('what was learnt is put there for as long as it serves here', async () => {
    const shared = sharing(undefined);
    const { cache, asked } = cacheOver({ shared, read: async () => active({ sub: 'alice' }) });
    await cache.learn('t', asked);
    const answer = { claims: { active: true, sub: 'alice' }, issuer, askedAt: now, heardUpTo: undefined };
    expect(shared.put.mock.calls).toEqual([[name, answer, 60]]);
    expect(shared.get.mock.calls).toEqual([[name]]);
    expect(shared.askOnce.mock.calls).toEqual([[name, expect.any(Function), expect.any(Function)]]);
  });

  it.each([
    ['what has expired', active({ exp: now / 1000 })],
    ['what is not active', 'token_inactive' as const],
  ])('%s is not put there', async (_, answer) => {
    const shared = sharing(undefined);
    const { cache, asked } = cacheOver({ shared, read: async () => answer });
    await cache.learn('t', asked);
    expect(shared.put).not.toHaveBeenCalled();
  });

  it.each([
    ['of the authorization server is shared with the processes that wait', {}, true, 1],
    ['is not shared where each request asks', { inactiveMaxAge: 0 }, true, 0],
    ['of a JWT is not shared', {}, false, 0],
  ])('"not active" %s', async (_, rules, mayIntrospect, times) => {
    const shared = sharing(undefined);
    const { cache, asked } = cacheOver({ shared, ...rules, read: async () => 'token_inactive' });
    await cache.learn('t', { ...asked, mayIntrospect, isIntrospected: () => mayIntrospect });
    expect(shared.putForWaiting).toHaveBeenCalledTimes(times);
  });

  it('a self-contained token is neither shared nor looked for in the shared cache', async () => {
    const shared = sharing({ issuer, claims: { active: true }, askedAt: now });
    const { cache, asked, read } = cacheOver({ shared });
    await cache.learn('t', { ...asked, mayIntrospect: false, isIntrospected: () => false });
    expect(shared.get).not.toHaveBeenCalled();
    expect(shared.put).not.toHaveBeenCalled();
    expect(read).toHaveBeenCalledOnce();
  });

  it('a shared answer is used, and an event says so', async () => {
    const shared = sharing({ issuer, claims: { active: true, sub: 'bob' }, askedAt: now });
    const { cache, asked, read } = cacheOver({ shared });
    expect(await cache.learn('t', asked)).toMatchObject({ subject: 'bob' });
    expect(cache.known('t', asked)).toMatchObject({ subject: 'bob' });
    expect(read).not.toHaveBeenCalled();
    expect(events).toEqual([{ result: 'shared_hit' }]);
  });

  it('an answer with a claim of another type is as good as none', async () => {
    const shared = sharing({ issuer, claims: { active: true, exp: 'tomorrow' }, askedAt: now });
    const { cache, asked, read } = cacheOver({ shared });
    expect(await cache.learn('t', asked)).toMatchObject({ issuer });
    expect(read).toHaveBeenCalledOnce();
    expect(events).toEqual([]);
  });

  it('an answer that is exactly maxAge old is too old', async () => {
    const shared = sharing({ issuer, claims: { active: true }, askedAt: now - 60_000 });
    const { cache, asked, read } = cacheOver({ shared });
    await cache.learn('t', asked);
    expect(read).toHaveBeenCalledOnce();
  });

  it('an answer from before a token turned out not active is too old, also after many other tokens did', async () => {
    const shared = sharing(undefined);
    const read = vi.fn<TokenReader>(async () => 'token_inactive');
    const { cache, asked } = cacheOver({ shared, inactiveMaxAge: 0, read });
    await cache.learn('t', asked);
    shared.get.mockResolvedValue({ issuer, claims: { active: true }, askedAt: now - 6_000 });
    expect(await cache.learn('t', asked)).toBe('token_inactive');
    for (let i = 0; i < 15_000; i += 1) {
      await cache.confirm(`other-${i}`, asked);
    }
    expect(await cache.learn('t', asked)).toBe('token_inactive');
    expect(read.mock.calls.filter(([token]) => token === 't')).toHaveLength(3);
  });

  it.each([
    ['by a question of its own', 'confirm'],
    ['when it is asked about anew', 'learn'],
  ] as const)(
    'the answer that is there is removed when the token turns out not active, %s',
    async (_, how) => {
      const shared = sharing(undefined);
      const read = vi.fn<TokenReader>().mockResolvedValueOnce(active()).mockResolvedValue('token_inactive');
      const { cache, asked } = cacheOver({ shared, read });
      await cache.learn('t', asked);
      expect(shared.remove).not.toHaveBeenCalled();
      await cache[how]('t', asked);
      expect(shared.remove.mock.calls).toEqual([[name]]);
    },
  );

  it('nothing is removed for a token that was never known, or that speaks for itself', async () => {
    const shared = sharing(undefined);
    const { cache, asked } = cacheOver({ shared, read: async () => 'token_inactive' });
    await cache.learn('t', asked);
    await cache.confirm('u', { ...asked, mayIntrospect: false, isIntrospected: () => false });
    expect(shared.remove).not.toHaveBeenCalled();
  });

  it('a token that was revoked in this process is not looked for in the shared cache', async () => {
    const shared = sharing(undefined);
    const { cache, asked, revocations } = cacheOver({ shared, read: async () => active({ sub: 'alice' }) });
    await cache.learn('t', asked);
    revocations.add(noticeOf({ token: 't' }));
    expect(await cache.learn('t', asked)).toBe('token_inactive: revoked here');
    expect(shared.get).toHaveBeenCalledTimes(1);
    expect(shared.askOnce).toHaveBeenCalledTimes(1);
  });
});
