// What a store does at its worst, in the test's hands; with Keyv and a real Redis: test/integration/fleet.
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SharedCacheRules } from '../../../packages/core/src/cache/shared-cache.js';
import { createSeal } from '../../../packages/core/src/shared/sealing.js';

// Of the global timers, which can be faked.
vi.mock('node:timers/promises', () => ({
  setTimeout: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
}));

// The files of the suite share a process, where the module may have been loaded with the real timers.
vi.resetModules();
const { SharedCache } = await import('../../../packages/core/src/cache/shared-cache.js');
afterAll(() => {
  vi.doUnmock('node:timers/promises');
  vi.resetModules();
});

const secret = 'a secret of at least 32 characters';
const older = 'another one, of 32 characters or more';
const answer = {
  issuer: 'https://as.example.com',
  claims: { sub: 'alice' },
  askedAt: 1_800_000_000_000,
  logReadUpTo: '0001',
};

function sharedOver(changes: Partial<SharedCacheRules> = {}) {
  const values = new Map<string, unknown>();
  const store = {
    get: vi.fn(async (key: string): Promise<unknown> => values.get(key)),
    set: vi.fn(async (key: string, value: string, _ttl?: number): Promise<unknown> => values.set(key, value)),
    on: vi.fn(),
  };
  const lock = {
    acquire: vi.fn(async (_name: string, _ttl: number) => true),
    release: vi.fn(async (_name: string): Promise<unknown> => 1),
  };
  const report = vi.fn();
  const rules = { store, secret: [secret], lock, timeout: 0.5, lockTimeout: 2, ...changes };
  return { values, store, lock, report, shared: new SharedCache(rules, report) };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(answer.askedAt);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Lets time pass until it is settled. */
async function passing<T>(work: Promise<T>): Promise<T> {
  let isDone = false;
  const end = () => {
    isDone = true;
  };
  work.then(end, end);
  while (!isDone) {
    await vi.advanceTimersByTimeAsync(1);
  }
  return work;
}

describe('an answer', () => {
  it('is put under a name of its own, sealed, for whole milliseconds, and found again', async () => {
    const { shared, store } = sharedOver();
    await shared.put('key', answer, 1.2345);
    const seal = createSeal(secret, 'tokens');
    const [[name, sealed, ttl]] = store.set.mock.calls as [[string, string, number]];
    expect(name).toBe(`mtls-bound:token:${seal.nameOf('key')}`);
    expect(JSON.parse(seal.open(name, sealed) ?? '')).toEqual(answer);
    expect(ttl).toBe(1_235);
    expect(await shared.get('key')).toEqual(answer);
    expect(await shared.get('another')).toBeUndefined();
  });

  it('is found by each secret of the list, and put by the first', async () => {
    const before = sharedOver({ secret: [older] });
    const { shared, values } = sharedOver({ secret: [secret, older] });
    await before.shared.put('key', answer, 60);
    for (const [name, value] of before.values) {
      values.set(name, value);
    }
    expect(await shared.get('key')).toEqual(answer);
    await shared.put('new', answer, 60);
    expect([...values.keys()]).toContain(`mtls-bound:token:${createSeal(secret, 'tokens').nameOf('new')}`);
  });

  it.each([
    ['without an issuer', { ...answer, issuer: undefined }],
    ['with an issuer that is no text', { ...answer, issuer: 7 }],
    ['with a rejection that no token has', { rejection: 'active', rejectedAt: answer.askedAt }],
    ['with a rejection from no known moment', { rejection: 'token_inactive' }],
    ['with a rejection and the time of a question', { rejection: 'token_inactive', askedAt: answer.askedAt }],
    ['without claims', { ...answer, claims: undefined }],
    ['with claims that are a text', { ...answer, claims: 'sub' }],
    ['with claims that are null', { ...answer, claims: null }],
    ['without a time', { ...answer, askedAt: undefined }],
    ['with a time that is a text', { ...answer, askedAt: '1' }],
  ])('of another version, %s, is as good as none', async (_, other) => {
    const { shared } = sharedOver();
    await shared.put('key', other as never, 60);
    expect(await shared.get('key')).toBeUndefined();
  });

  it('no more of it is taken than is known', async () => {
    const { shared } = sharedOver();
    await shared.put('key', { ...answer, more: true } as never, 60);
    expect(await shared.get('key')).toEqual(answer);
  });
});

describe('a store in trouble', () => {
  it('costs its time-out, and no error', async () => {
    const { shared, store } = sharedOver();
    store.get.mockReturnValue(new Promise(() => undefined));
    let found: unknown = 'waiting';
    void shared.get('key').then((value) => {
      found = value;
    });
    await vi.advanceTimersByTimeAsync(499);
    expect(found).toBe('waiting');
    await vi.advanceTimersByTimeAsync(5);
    expect(found).toBeUndefined();
  });

  it('is given a rest after five failures in a row, tried every second, and both are told', async () => {
    const { shared, store, report } = sharedOver();
    store.get.mockRejectedValue(new Error('ECONNREFUSED'));
    for (let i = 0; i < 4; i += 1) {
      await passing(shared.get('key'));
    }
    expect(report).not.toHaveBeenCalled();
    await passing(shared.get('key'));
    expect(report.mock.calls).toEqual([
      [
        'shared_cache_suspended',
        'sharedCache.store failed or was too slow 5 times in a row (ECONNREFUSED); it is tried every second',
      ],
    ]);
    await passing(shared.get('key'));
    expect(store.get).toHaveBeenCalledTimes(5);
    store.get.mockResolvedValue(undefined);
    await vi.advanceTimersByTimeAsync(1_000);
    await passing(shared.get('key'));
    expect(store.get).toHaveBeenCalledTimes(6);
    expect(report.mock.calls.at(-1)).toEqual(['shared_cache_resumed', 'sharedCache.store answers again']);
  });

  it('does not end the process by an error without a listener', () => {
    const { store } = sharedOver();
    const [[event, listener]] = store.on.mock.calls as [[string, () => unknown]];
    expect(event).toBe('error');
    expect(listener()).toBeUndefined();
    const { on: _, ...plain } = store;
    expect(() => sharedOver({ store: plain })).not.toThrow();
  });

  it('whose on() returns a promise that rejects does not end the process', async () => {
    vi.useRealTimers();
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    const { store } = sharedOver();
    const called: string[] = [];
    // No mock of Vitest: it handles the rejection itself.
    const on = async (event: string) => {
      called.push(event);
      throw new Error('of the store');
    };
    sharedOver({ store: { ...store, on } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off('unhandledRejection', unhandled);
    expect([called, unhandled.mock.calls]).toEqual([['error'], []]);
  });
});

describe('one asks for all', () => {
  const name = `mtls-bound:lock:${createSeal(secret, 'tokens').nameOf('key')}`;
  const nothing = async () => undefined;

  it('without a lock each process introspects the token', async () => {
    const { shared } = sharedOver({ lock: undefined });
    const look = vi.fn(nothing);
    expect(await shared.askUnderLock('key', look, async () => 'asked')).toBe('asked');
    expect(look).not.toHaveBeenCalled();
  });

  it('who has the claim asks, and lets it go', async () => {
    const { shared, lock } = sharedOver();
    expect(await passing(shared.askUnderLock('key', nothing, async () => 'asked'))).toBe('asked');
    expect(lock.acquire.mock.calls).toEqual([[name, 2_000]]);
    expect(lock.release.mock.calls).toEqual([[name]]);
  });

  it('but not where another process asked between the read and the lock', async () => {
    const { shared, lock } = sharedOver();
    const ask = vi.fn(async () => 'asked');
    expect(await passing(shared.askUnderLock('key', async () => 'found', ask))).toBe('found');
    expect(ask).not.toHaveBeenCalled();
    expect(lock.release).toHaveBeenCalledOnce();
  });

  it('lets the claim go when asking fails, and hands the failure on', async () => {
    const { shared, lock } = sharedOver();
    const failure = passing(
      shared.askUnderLock('key', nothing, async () => {
        throw new Error('503');
      }),
    );
    await expect(failure).rejects.toThrow('503');
    expect(lock.release).toHaveBeenCalledOnce();
  });

  it('who waited takes the claim when it is given up', async () => {
    const { shared, lock } = sharedOver();
    lock.acquire.mockResolvedValueOnce(false);
    expect(await passing(shared.askUnderLock('key', nothing, async () => 'asked'))).toBe('asked');
    expect(lock.acquire).toHaveBeenCalledTimes(2);
  });

  it('a process that never gets the lock introspects the token itself after at most three seconds', async () => {
    const { shared, lock } = sharedOver();
    lock.acquire.mockResolvedValue(false);
    const look = vi.fn(nothing);
    const start = performance.now();
    expect(await passing(shared.askUnderLock('key', look, async () => 'asked'))).toBe('asked');
    expect(performance.now() - start).toBeLessThan(3_000);
    expect(look.mock.calls.length).toBeGreaterThan(2);
    expect(lock.release).not.toHaveBeenCalled();
  });

  it('a process that waits for the lock uses the answer that another process shares', async () => {
    const { shared, lock } = sharedOver();
    lock.acquire.mockResolvedValue(false);
    const ask = vi.fn(nothing as never);
    expect(await passing(shared.askUnderLock('key', async () => 'found', ask))).toBe('found');
    expect(ask).not.toHaveBeenCalled();
  });

  it('a lock that fails does not keep a process from introspecting the token', async () => {
    const { shared, lock } = sharedOver();
    lock.acquire.mockRejectedValue(new Error('ECONNREFUSED'));
    lock.release.mockRejectedValue(new Error('ECONNREFUSED'));
    expect(await passing(shared.askUnderLock('key', nothing, async () => 'asked'))).toBe('asked');
    expect(lock.acquire).toHaveBeenCalledOnce();
    expect(lock.release).not.toHaveBeenCalled();
  });

  it.each([
    ['has expired is not released: another process may hold it', 2_000, 0],
    ['has not expired is released', 1_999, 1],
  ])('a lock that %s', async (_title, milliseconds, times) => {
    const { shared, lock } = sharedOver();
    const ask = async () => {
      vi.advanceTimersByTime(milliseconds);
      return 'asked';
    };
    expect(await shared.askUnderLock('key', nothing, ask)).toBe('asked');
    expect(lock.release).toHaveBeenCalledTimes(times);
  });
});
