import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RejectionTimes } from '../../../packages/core/src/cache/rejection-times.js';

let now = 0;
beforeEach(() => {
  now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

/** Times for three tokens or more, where token `n` was found not active at `n`. */
function timesOf(count: number): RejectionTimes {
  const times = new RejectionTimes(3);
  for (now = 1; now <= count; now += 1) {
    times.noteRejection(String(now));
  }
  return times;
}

it('says of a token when it was last found not active, and nothing of another one', () => {
  const times = timesOf(3);
  now = 9;
  times.noteRejection('2');
  expect(['1', '2', '3', 'other'].map((key) => times.rejectedAt(key))).toEqual([
    1,
    9,
    3,
    Number.NEGATIVE_INFINITY,
  ]);
  expect(times.latestPossibleRejection('2')).toBe(9);
  expect(times.latestPossibleRejection('other')).toBe(Number.NEGATIVE_INFINITY);
});

it.each([3, 4, 5, 6, 7, 8, 9, 10, 50])(
  'of %i tokens it remembers the last three, and at most six',
  (count) => {
    const times = timesOf(count);
    const keys = Array.from({ length: count }, (_, i) => String(i + 1));
    const remembered = keys.filter((key) => times.rejectedAt(key) === Number(key));
    expect(remembered.slice(-3)).toEqual(keys.slice(-3));
    expect(remembered.length).toBeLessThanOrEqual(6);
    // No token is taken for active at a time at which it was found not active, remembered or not.
    expect(keys.filter((key) => times.latestPossibleRejection(key) < Number(key))).toEqual([]);
    // What was asked after the last of those that are forgotten still counts.
    expect(times.latestPossibleRejection('other')).toBeLessThan(Math.max(1, count - 2));
  },
);
