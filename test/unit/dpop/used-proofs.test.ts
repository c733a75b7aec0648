import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { proofIdOf, UsedProofs } from '../../../packages/core/src/dpop/used-proofs.js';

/** Seconds. */
const now = (): number => Date.now() / 1000;
const proof = (jti: string, jkt = 'key', lasts = 90) => ({ jkt, jti, acceptedUntil: now() + lasts });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: 1_800_000_005_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a proof', () => {
  it('is fresh once', () => {
    const used = new UsedProofs(150);
    const one = proof('a');
    expect([used.take(one), used.take(one), used.take(proof('b')), used.take(one)]).toEqual([
      'fresh',
      'replayed',
      'fresh',
      'replayed',
    ]);
  });

  it('with the jti of another key is fresh: no client can use up that of another', () => {
    const used = new UsedProofs(150);
    expect([used.take(proof('a', 'key')), used.take(proof('a', 'other'))]).toEqual(['fresh', 'fresh']);
  });

  it('is known by key and jti, however they are split', () => {
    expect(proofIdOf(proof('a', 'bc'))).not.toBe(proofIdOf(proof('ca', 'b')));
    expect(proofIdOf(proof('a'))).toMatch(/^[\w-]{43}$/);
  });

  it('is remembered until it would not be accepted, and then forgotten', () => {
    const used = new UsedProofs(90);
    const one = proof('a');
    used.take(one);
    vi.advanceTimersByTime(89_000);
    expect(used.take(one)).toBe('replayed');
    vi.advanceTimersByTime(20_000);
    expect(used.take(proof('b'))).toBe('fresh');
    expect(used.size).toBe(1);
  });

  it('is refused again where the clock is set back after it was forgotten', () => {
    const used = new UsedProofs(90);
    const one = proof('a');
    used.take(one);
    vi.advanceTimersByTime(120_000);
    used.take(proof('b'));
    vi.setSystemTime(Date.now() - 120_000);
    expect(used.take(one)).toBe('too-old');
    // A new one passes once the clock is where it was when the last one was forgotten.
    expect(used.take(proof('c'))).toBe('too-old');
    expect(used.take(proof('d', 'key', 100))).toBe('fresh');
  });

  it('is remembered where the clock goes an hour ahead and back within its time', () => {
    const used = new UsedProofs(90);
    const one = proof('a');
    used.take(one);
    vi.setSystemTime(Date.now() + 3_600_000);
    expect(used.take(proof('b'))).toBe('fresh');
    vi.setSystemTime(Date.now() - 3_600_000);
    expect(used.take(one)).toBe('replayed');
    expect(used.take(proof('c'))).toBe('fresh');
  });
});

describe('a limit', () => {
  it('of one key does not concern another, and ends with the time of its proofs', () => {
    const used = new UsedProofs(90, 100, 3);
    const taken = (jkt: string, count: number) =>
      Array.from({ length: count }, (_, number) => used.take(proof(String(number), jkt)));
    expect(taken('busy', 5)).toEqual(['fresh', 'fresh', 'fresh', 'too-many', 'too-many']);
    expect(taken('other', 3)).toEqual(['fresh', 'fresh', 'fresh']);
    vi.advanceTimersByTime(120_000);
    expect(used.take(proof('9', 'busy'))).toBe('fresh');
    expect(used.size).toBe(1);
  });

  it('of all keys refuses new proofs and forgets none', () => {
    const used = new UsedProofs(90, 2, 3);
    const one = proof('a', 'x');
    expect([used.take(one), used.take(proof('b', 'y')), used.take(proof('c', 'z')), used.take(one)]).toEqual([
      'fresh',
      'fresh',
      'full',
      'replayed',
    ]);
  });

  it('lets a key send a thousand proofs a second that are accepted for 90 seconds', () => {
    const used = new UsedProofs(90);
    for (let second = 0; second < 100; second += 1) {
      for (let number = 0; number < 1_000; number += 1) {
        if (used.take(proof(`${second} ${number}`)) !== 'fresh') {
          throw new Error(`refused in second ${second}`);
        }
      }
      vi.advanceTimersByTime(1_000);
    }
    expect(used.size).toBeLessThanOrEqual(100_000);
  });
});
