import { hash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { proofIdOf, type TakeOutcome, UsedProofs } from '../../../packages/core/src/dpop/used-proofs.js';

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
    const used = new UsedProofs();
    const one = proof('a');
    expect([used.take(one), used.take(one), used.take(proof('b')), used.take(one)]).toEqual([
      'fresh',
      'replayed',
      'fresh',
      'replayed',
    ]);
  });

  it('with the jti of another proof of its key is replayed, whenever both end', () => {
    const used = new UsedProofs(150);
    expect(used.take(proof('a'))).toBe('fresh');
    expect([89, 91, 80, 100, 60, 120].map((lasts) => used.take(proof('a', 'key', lasts)))).toEqual(
      Array.from({ length: 6 }, () => 'replayed'),
    );
    expect(used.size).toBe(1);
  });

  it('with the jti of another key is fresh: no client can use up that of another', () => {
    const used = new UsedProofs();
    expect([used.take(proof('a', 'key')), used.take(proof('a', 'other'))]).toEqual(['fresh', 'fresh']);
  });

  it('of any jti is fresh once, and its jti is no other that has the same beginning or hash', () => {
    const used = new UsedProofs();
    const long = 'a'.repeat(44);
    const jtis = [
      '7',
      '77',
      'a'.repeat(43),
      long,
      `${long}b`,
      'b'.repeat(8_000),
      hash('sha256', long, 'base64url'),
    ];
    const takeAll = () => jtis.map((jti) => used.take(proof(jti)));
    expect(takeAll()).toEqual(jtis.map(() => 'fresh'));
    expect(takeAll()).toEqual(jtis.map(() => 'replayed'));
  });

  it('is fresh once for each of many keys', () => {
    const used = new UsedProofs();
    const keys = Array.from({ length: 300 }, (_, number) => `${number}`);
    const takeAll = () =>
      keys.flatMap((key) => [used.take(proof('1', key)), used.take(proof(`${key} 1`, key))]);
    expect(new Set(takeAll())).toEqual(new Set(['fresh']));
    expect(new Set(takeAll())).toEqual(new Set(['replayed']));
    vi.advanceTimersByTime(120_000);
    expect(new Set(takeAll())).toEqual(new Set(['fresh']));
    expect(used.size).toBe(600);
  });

  it('is known to a store by key and jti, however they are split', () => {
    expect(proofIdOf(proof('a', 'bc'))).not.toBe(proofIdOf(proof('ca', 'b')));
    expect(proofIdOf(proof('a'))).toMatch(/^[\w-]{43}$/);
  });

  it('is remembered until it would not be accepted, and then forgotten', () => {
    const used = new UsedProofs();
    const one = proof('a');
    used.take(one);
    vi.advanceTimersByTime(89_000);
    expect(used.take(one)).toBe('replayed');
    vi.advanceTimersByTime(20_000);
    expect(used.take(proof('b'))).toBe('fresh');
    expect(used.size).toBe(1);
  });

  it('is forgotten with its key, unless another proof of the key is remembered', () => {
    const used = new UsedProofs();
    used.take(proof('a', 'gone', 20));
    used.take(proof('a', 'busy', 20));
    used.take(proof('b', 'busy', 90));
    expect(used.keyCount).toBe(2);
    vi.advanceTimersByTime(40_000);
    used.take(proof('a', 'new'));
    expect(used.size).toBe(2);
    expect(used.keyCount).toBe(2);
    vi.advanceTimersByTime(120_000);
    used.take(proof('b', 'new'));
    expect(used.keyCount).toBe(1);
  });

  it('that has ended is looked for once a second at most', () => {
    const used = new UsedProofs();
    used.take(proof('a', 'key', 20.5));
    vi.advanceTimersByTime(29_500);
    used.take(proof('b'));
    expect(used.size).toBe(1);
    used.take(proof('c', 'key', 1));
    // The span of ten seconds in which c ends is over after 5.5 s.
    vi.advanceTimersByTime(5_000);
    used.take(proof('d'));
    vi.advanceTimersByTime(999);
    used.take(proof('e'));
    expect(used.size).toBe(4);
    vi.advanceTimersByTime(1);
    used.take(proof('f'));
    expect(used.size).toBe(4);
  });

  it('is refused again where the clock is set back after it was forgotten', () => {
    const used = new UsedProofs();
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
    const used = new UsedProofs();
    const one = proof('a');
    used.take(one);
    vi.setSystemTime(Date.now() + 3_600_000);
    expect(used.take(proof('b'))).toBe('fresh');
    vi.setSystemTime(Date.now() - 3_600_000);
    expect(used.take(one)).toBe('replayed');
    expect(used.take(proof('c'))).toBe('fresh');
  });
});

describe('the time of a proof', () => {
  it('is that of its own: proofs of a span are forgotten when the last of them has ended', () => {
    const used = new UsedProofs();
    // now() is 1,800,000,005: both end within the same span of ten seconds.
    const [early, late] = [proof('a', 'key', 15.5), proof('b', 'key', 24.5)];
    used.take(late);
    used.take(early);
    vi.advanceTimersByTime(24_000);
    expect([used.take(early), used.take(late)]).toEqual(['replayed', 'replayed']);
    vi.advanceTimersByTime(1_000);
    expect(used.take(proof('c'))).toBe('fresh');
    expect(used.size).toBe(1);
    expect(used.take(late)).toBe('too-old');
  });

  it('is not over while the monotonic clock says so, though the clock of the machine was set ahead', () => {
    const used = new UsedProofs();
    const one = proof('a', 'key', 30);
    used.take(one);
    vi.setSystemTime(Date.now() + 60_000);
    vi.advanceTimersByTime(29_000);
    used.take(proof('b', 'key', 30));
    vi.setSystemTime(Date.now() - 89_000);
    expect(used.take(one)).toBe('replayed');
  });
});

it('a proof that would be accepted is remembered while the clock of the machine is behind', () => {
  const used = new UsedProofs();
  const one = proof('a', 'key', 30);
  used.take(one);
  vi.setSystemTime(Date.now() - 60_000);
  vi.advanceTimersByTime(45_000);
  expect(used.take(one)).toBe('replayed');
  expect(used.take({ ...one, jti: 'b' })).toBe('fresh');
});

it('a proof that ends after others of its span is accepted when those have ended', () => {
  const used = new UsedProofs();
  // Both end within ten seconds from 1,800,000,020 on.
  const [early, late] = [proof('a', 'key', 15.5), proof('b', 'key', 24.5)];
  used.take(early);
  vi.advanceTimersByTime(16_000);
  expect(used.take(late)).toBe('fresh');
});

it('no proof waits until all that have ended are forgotten: each does a part of that', () => {
  const used = new UsedProofs();
  for (let number = 0; number < 40_000; number += 1) {
    used.take(proof(`${number}`, `key ${number % 10}`));
  }
  vi.advanceTimersByTime(120_000);
  let slots = 0;
  vi.stubGlobal(
    'Uint32Array',
    class extends Uint32Array {
      constructor(length: number) {
        super(length);
        slots += length / 4;
      }
    },
  );
  onTestFinished(() => void vi.unstubAllGlobals());
  const slotsOf = Array.from({ length: 300 }, (_, number) => {
    slots = 0;
    expect(used.take(proof(`new ${number}`))).toBe('fresh');
    return slots;
  });
  // All 40,000 have 65,536 slots at least.
  expect(Math.max(...slotsOf)).toBeLessThan(1_000);
  expect(slotsOf.reduce((sum, one) => sum + one)).toBeGreaterThan(60_000);
  expect(slotsOf.slice(-40)).toEqual(Array.from({ length: 40 }, () => 0));
  expect(used.size).toBe(300);
});

describe('a limit', () => {
  const fill = (used: UsedProofs, jkt: string, count: number, lasts = 90): TakeOutcome[] =>
    Array.from({ length: count }, (_, number) => used.take(proof(`${number} ${lasts}`, jkt, lasts)));
  const countOf = (taken: readonly TakeOutcome[], name: TakeOutcome): number =>
    taken.filter((one) => one === name).length;

  it('of one key is an eighth of what is left, and ends with the time of its proofs', () => {
    const used = new UsedProofs(90);
    expect(countOf(fill(used, 'busy', 20), 'fresh')).toBe(10);
    expect(used.take(proof('x', 'busy'))).toBe('too-many');
    expect(countOf(fill(used, 'other', 20), 'fresh')).toBe(9);
    vi.advanceTimersByTime(120_000);
    expect(used.take(proof('x', 'busy'))).toBe('fresh');
    expect(used.size).toBe(1);
  });

  it('counts the proofs of a key that are left when others are forgotten', () => {
    const used = new UsedProofs(90);
    fill(used, 'busy', 4, 20);
    fill(used, 'busy', 6, 60);
    fill(used, 'gone', 3, 20);
    vi.advanceTimersByTime(40_000);
    expect(used.take(proof('x', 'gone'))).toBe('fresh');
    expect(used.size).toBe(7);
    const added = Array.from({ length: 20 }, (_, number) => used.take(proof(`new ${number}`, 'busy')));
    expect(countOf(added, 'fresh')).toBe(4);
    expect(countOf(fill(used, 'gone', 20), 'fresh')).toBe(8);
  });

  it('leaves room for another key while twenty send as many proofs as they can', () => {
    const used = new UsedProofs(1_000);
    for (let key = 0; key < 20; key += 1) {
      fill(used, `busy ${key}`, 1_000);
    }
    expect(countOf(fill(used, 'another', 1_000), 'fresh')).toBeGreaterThanOrEqual(10);
  });

  it('that all keys have reached is no fault of a key with few proofs', () => {
    const used = new UsedProofs(1_000);
    expect(fill(used, 'victim', 1)).toEqual(['fresh']);
    expect(fill(used, 'busy', 200).at(-1)).toBe('too-many');
    for (let key = 0; key < 40; key += 1) {
      fill(used, `busy ${key}`, 100);
    }
    expect(used.take(proof('next', 'victim'))).toBe('full');
    // A key of which nothing is remembered gets what is left.
    expect(used.take(proof('next', 'newcomer'))).toBe('fresh');
  });

  it.each([
    ['9,900', 'for 90 seconds', 90, 99],
    ['3,200', 'for 300 seconds', 300, 32],
    ['1,600', 'for 600 seconds', 600, 16],
  ])('of all keys is %s proofs a second that are accepted %s', (_rate, _time, lasts, hundreds) => {
    const outcomesAt = (rate: number): Set<TakeOutcome> => {
      const used = new UsedProofs(10_000);
      const outcomes = new Set<TakeOutcome>();
      for (let number = 0; number < 800 * rate; number += 1) {
        outcomes.add(used.take(proof('a', `key ${number}`, lasts)));
        vi.advanceTimersByTime(1_000 / rate);
      }
      return outcomes;
    };
    expect(outcomesAt(hundreds)).toEqual(new Set(['fresh']));
    expect(outcomesAt(hundreds * 1.15)).toEqual(new Set(['fresh', 'full']));
  });

  it('of all keys refuses new proofs and forgets none', () => {
    const used = new UsedProofs(2);
    const one = proof('a', 'x');
    expect([used.take(one), used.take(proof('b', 'y')), used.take(proof('c', 'z')), used.take(one)]).toEqual([
      'fresh',
      'fresh',
      'full',
      'replayed',
    ]);
  });
});
