// The host names of authorization servers: one whose DNS is silent takes no thread from the others.
import type { LookupAddress } from 'node:dns';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createServerLookup } from '../../../packages/core/src/authorization-server/server-lookup.js';

const first: LookupAddress[] = [
  { address: '192.0.2.1', family: 4 },
  { address: '2001:db8::1', family: 6 },
];
const later: LookupAddress[] = [{ address: '192.0.2.9', family: 4 }];
const failure = (code: string) => Object.assign(new Error(code), { code });

describe('the look-up of an authorization server', () => {
  let asked: { host: string; end: (outcome: Error | LookupAddress[]) => void }[];
  let lookUp: ReturnType<typeof createServerLookup>;

  beforeEach(() => {
    vi.useFakeTimers();
    asked = [];
    lookUp = createServerLookup((host, _options, callback) => {
      const end = (outcome: Error | LookupAddress[]) =>
        // Node calls back with the error alone.
        outcome instanceof Error ? callback(outcome, undefined as never) : callback(null, outcome);
      asked.push({ host, end });
    });
  });
  afterEach(() => vi.useRealTimers());

  const resolve = (host: string, family?: number) =>
    new Promise((done, failed) =>
      lookUp(host, { all: true, ...(family !== undefined && { family }) }, (error, addresses) =>
        error === null ? done(addresses) : failed(error),
      ),
    );
  const names = () => asked.map(({ host }) => host);

  it('is made once at a time, for all connections that need the name', async () => {
    const all = [resolve('as.test'), resolve('as.test'), resolve('other.test'), resolve('as.test', 6)];
    expect(names()).toEqual(['as.test', 'other.test', 'as.test']);
    for (const { end } of asked) {
      end(first);
    }
    expect(await Promise.all(all)).toEqual([first, first, first, first]);
    void resolve('as.test');
    expect(names()).toHaveLength(4);
  });

  it('of a silent name is made once, however often its connections are tried', async () => {
    const outcomes: string[] = [];
    for (let second = 0; second < 10; second += 1) {
      resolve('silent.test').catch((error: Error) => outcomes.push(error.message));
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(names()).toEqual(['silent.test']);
    asked[0]?.end(failure('EAI_AGAIN'));
    await vi.advanceTimersByTimeAsync(0);
    expect(outcomes).toEqual(new Array(10).fill('EAI_AGAIN'));
  });

  it('is not repeated for 10 seconds after the DNS servers were silent', async () => {
    resolve('silent.test').catch(() => undefined);
    await vi.advanceTimersByTimeAsync(5_000);
    asked[0]?.end(failure('EAI_AGAIN'));
    await expect(resolve('silent.test')).rejects.toThrow('EAI_AGAIN');
    await vi.advanceTimersByTimeAsync(9_999);
    await expect(resolve('silent.test')).rejects.toThrow('EAI_AGAIN');
    expect(names()).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    resolve('silent.test').catch(() => undefined);
    expect(names()).toHaveLength(2);
  });

  it.each(['ENOTFOUND', 'EAI_AGAIN'])('is repeated at once after a fast %s', async (code) => {
    const failed = resolve('as.test');
    asked[0]?.end(failure(code));
    await expect(failed).rejects.toThrow(code);
    void resolve('as.test');
    expect(names()).toHaveLength(2);
  });

  it('gives the last addresses after a second, and the new ones once they are there', async () => {
    const before = resolve('as.test');
    asked[0]?.end(first);
    await before;
    const slow = resolve('as.test');
    await vi.advanceTimersByTimeAsync(999);
    const joined = resolve('as.test');
    expect(await Promise.race([slow, 'waits'])).toBe('waits');
    await vi.advanceTimersByTimeAsync(1);
    expect(await Promise.all([slow, joined])).toEqual([first, first]);
    expect(names()).toHaveLength(2);
    asked[1]?.end(later);
    void resolve('as.test');
    asked[2]?.end(failure('EAI_AGAIN'));
    const fallback = resolve('as.test');
    asked[3]?.end(failure('EAI_AGAIN'));
    expect(await fallback).toEqual(later);
  });

  it('gives the last addresses while the DNS servers are silent, for a day at most', async () => {
    const before = resolve('as.test');
    asked[0]?.end(first);
    await before;
    void resolve('as.test');
    await vi.advanceTimersByTimeAsync(5_000);
    asked[1]?.end(failure('EAI_AGAIN'));
    expect(await resolve('as.test')).toEqual(first);
    expect(names()).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(86_400_000);
    const tooOld = resolve('as.test');
    asked[2]?.end(failure('EAI_AGAIN'));
    await expect(tooOld).rejects.toThrow('EAI_AGAIN');
  });

  it('that says that the name does not exist gives no earlier address', async () => {
    const before = resolve('as.test');
    asked[0]?.end(first);
    await before;
    const gone = resolve('as.test');
    asked[1]?.end(failure('ENOTFOUND'));
    await expect(gone).rejects.toThrow('ENOTFOUND');
  });

  it('that says so after seconds gives no earlier address either, and is repeated at once', async () => {
    const before = resolve('as.test');
    asked[0]?.end(first);
    await before;
    const gone = resolve('as.test').catch((error: Error) => error.message);
    await vi.advanceTimersByTimeAsync(900);
    const late = resolve('gone.test').catch((error: Error) => error.message);
    await vi.advanceTimersByTimeAsync(2_100);
    expect(await gone).toEqual(first);
    asked[1]?.end(failure('ENOTFOUND'));
    asked[2]?.end(failure('ENOTFOUND'));
    expect(await late).toBe('ENOTFOUND');
    void resolve('as.test').catch(() => undefined);
    void resolve('gone.test').catch(() => undefined);
    expect(names()).toHaveLength(5);
  });

  it.each<[string, Parameters<typeof createServerLookup>[0], unknown[]]>([
    ['addresses at once', (_host, _options, callback) => callback(null, first), [null, first]],
    [
      'undefined in place of no error',
      (_host, _options, callback) => callback(undefined as unknown as null, first),
      [null, first],
    ],
    [
      'an error at once',
      (_host, _options, callback) => (callback as (error: Error) => void)(failure('ENOTFOUND')),
      [failure('ENOTFOUND'), []],
    ],
    [
      'an error that is thrown',
      () => {
        throw failure('EINVAL');
      },
      [failure('EINVAL'), []],
    ],
  ])('passes on what replaced dns.lookup: %s', (_what, replaced, outcome) => {
    const given = vi.fn();
    createServerLookup(replaced)('as.test', { all: true }, given);
    expect(given.mock.calls).toEqual([outcome]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    ['all of them', { all: true }, [null, first]],
    ['the first', {}, [null, '192.0.2.1', 4]],
  ] as const)('gives a connection %s of the addresses', async (_what, options, outcome) => {
    const given = vi.fn();
    lookUp('as.test', options, given);
    asked[0]?.end(first);
    expect(given.mock.calls).toEqual([outcome]);
  });

  it('without any address is an error', async () => {
    const none = resolve('as.test');
    asked[0]?.end([]);
    await expect(none).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });
});
