import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type AttemptKind,
  type AttemptOutcome,
  CircuitBreaker,
  CircuitOpen,
} from '../../../packages/core/src/shared/circuit-breaker.js';

let seconds = 0;
const clock = vi.spyOn(performance, 'now').mockImplementation(() => seconds * 1_000);
beforeEach(() => {
  seconds = 1_000;
});
afterAll(() => clock.mockRestore());

/** A breaker that opens after three failures, and tries once a second. */
function breakerOf(failures = 3) {
  const changes: boolean[] = [];
  const breaker = new CircuitBreaker({ maxFailures: failures, probeInterval: 1 }, (isOpen) =>
    changes.push(isOpen),
  );
  /** What an attempt of the client with these names comes to. */
  const attempt = async (names: string, comesTo: 'answered' | 'failed' | { restFor: number }) => {
    try {
      await breaker.run(
        async () => undefined,
        () => comesTo,
        names === '' ? [] : names.split(' '),
      );
      return 'tried';
    } catch (error) {
      expect(error).toBeInstanceOf(CircuitOpen);
      return `${(error as CircuitOpen).retryAfter} s`;
    }
  };
  const fail = async (...clients: string[]) => {
    for (const names of clients) {
      expect(await attempt(names, 'failed')).toBe('tried');
    }
  };
  return { breaker, changes, attempt, fail };
}

describe('a breaker that tells clients apart', () => {
  it('is open for a client alone whose attempts failed', async () => {
    const { attempt, fail, changes } = breakerOf();
    await fail('thief', 'thief', 'thief');
    expect(await attempt('thief', 'failed')).toBe('1 s');
    expect(await attempt('alice', 'answered')).toBe('tried');
    expect(changes).toEqual([true, false]);
  });

  it('tries a client that failed once in each interval, and after the rest that the server asked for', async () => {
    const { attempt, fail } = breakerOf();
    await fail('only', 'only', 'only');
    seconds += 0.9;
    expect(await attempt('only', 'failed')).not.toBe('tried');
    seconds += 0.2;
    expect(await attempt('only', { restFor: 7 })).toBe('tried');
    seconds += 6.9;
    expect(await attempt('only', 'failed')).not.toBe('tried');
    seconds += 0.2;
    expect(await attempt('only', 'answered')).toBe('tried');
    expect(await attempt('only', 'failed')).toBe('tried');
  });

  it('is open for all when as many clients failed in a row', async () => {
    const { attempt, fail, changes } = breakerOf();
    await fail('alice', 'bob', 'carol');
    expect(changes).toEqual([true]);
    expect(await attempt('dave', 'answered')).toBe('1 s');
  });

  it('counts attempts that no client caused one by one', async () => {
    const { attempt, fail } = breakerOf();
    await fail('', '', '');
    expect(await attempt('alice', 'answered')).toBe('1 s');
  });

  it('counts clients that share a certificate or an address as one', async () => {
    const { attempt, fail } = breakerOf();
    await fail('cert-1 here', 'cert-2 here', 'cert-3 here', 'cert-3 there', 'cert-4 there');
    expect(await attempt('cert-5 elsewhere', 'answered')).toBe('tried');
  });

  it('stays closed for a client that shares no more than the address with one that failed', async () => {
    const { attempt, fail } = breakerOf();
    await fail('thief office', 'thief office', 'thief office');
    expect(await attempt('thief office', 'failed')).toBe('1 s');
    expect(await attempt('alice office', 'answered')).toBe('tried');
  });

  it('is open for all after many failures in a row, also of clients that share an address', async () => {
    const { attempt, fail, changes } = breakerOf();
    await fail(...Array.from({ length: 60 }, (_, index) => `cert-${index} office`));
    expect(changes).toEqual([true]);
    expect(await attempt('alice home', 'answered')).toBe('1 s');
  });

  it('gives no longer rest than an interval where one client may have caused all failures', async () => {
    const { attempt } = breakerOf();
    for (let index = 0; index < 60; index += 1) {
      expect(await attempt(`cert-${index} office`, { restFor: 10 })).toBe('tried');
    }
    expect(await attempt('alice home', 'answered')).toBe('1 s');
    seconds += 1.1;
    expect(await attempt('alice home', 'answered')).toBe('tried');
  });

  it('leaves the next probe to a client that has not failed, and takes one that failed an interval later', async () => {
    const { attempt, fail } = breakerOf();
    await fail('thief-1', 'thief-2', 'thief-3');
    seconds += 1.1;
    expect(await attempt('thief-1', 'failed')).not.toBe('tried');
    expect(await attempt('alice', 'answered')).toBe('tried');
    await fail('thief-1', 'thief-2', 'thief-3');
    seconds += 2.1;
    expect(await attempt('thief-1', 'answered')).toBe('tried');
    expect(await attempt('thief-1', 'answered')).toBe('tried');
  });

  it('makes one attempt at a time for a client that failed', async () => {
    const { breaker, attempt, fail } = breakerOf();
    await fail('only', 'only', 'only');
    seconds += 1.1;
    let end = (): void => undefined;
    const probe = breaker.run(
      () => new Promise<void>((resolve) => (end = resolve)),
      () => 'failed',
      ['only'],
    );
    expect(await attempt('only', 'answered')).toBe('1 s');
    end();
    await probe;
    expect(await attempt('only', 'answered')).toBe('1 s');
  });

  it('remembers no more than a thousand counting keys of clients that failed', async () => {
    const { breaker, fail } = breakerOf(1_000_000);
    await fail(...Array.from({ length: 1_001 }, (_, index) => `client-${index}`));
    // The first is forgotten, so that its failures are counted from one.
    await fail('client-0');
    expect(() => breaker.check(['client-0'])).not.toThrow();
  });
});

describe('a breaker that tells what clients may have made up from what the server knows', () => {
  const outcomeOf = async (
    breaker: CircuitBreaker,
    name: string,
    kind: AttemptKind,
    comesTo: AttemptOutcome,
  ) => {
    try {
      await breaker.run(
        async () => undefined,
        () => comesTo,
        [name],
        kind,
      );
      return 'tried';
    } catch (error) {
      return (error as CircuitOpen).kind;
    }
  };

  it('is not open for known attempts however many unknown ones fail', async () => {
    const { breaker } = breakerOf();
    for (let i = 0; i < 100; i += 1) {
      await outcomeOf(breaker, i < 60 ? 'thief' : `thief ${i}`, 'unknown', 'failed');
      seconds += 3;
    }
    seconds -= 3;
    expect(await outcomeOf(breaker, 'alice', 'unknown', 'answered')).toBe('unknown');
    expect(await outcomeOf(breaker, 'thief', 'known', 'failed')).toBe('tried');
    expect(await outcomeOf(breaker, 'alice', 'known', 'failed')).toBe('tried');
  });

  it('is open for known attempts after known ones failed, and an answer of either kind closes it', async () => {
    const { breaker, changes } = breakerOf();
    for (const kind of ['known', 'unknown', 'known', 'unknown', 'known'] as const) {
      expect(await outcomeOf(breaker, 'alice', kind, 'failed')).toBe('tried');
    }
    expect(await outcomeOf(breaker, 'alice', 'known', 'failed')).toBe('known');
    expect(changes).toEqual([true]);
    expect(await outcomeOf(breaker, 'alice', 'unknown', 'answered')).toBe('tried');
    expect(changes).toEqual([true, false]);
    expect(await outcomeOf(breaker, 'alice', 'known', 'answered')).toBe('tried');
  });
});
