// What a process writes into the log again after it lost its connection.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RecentNotices } from '../../../packages/core/src/revocation/recent-notices.js';
import { noticeOf } from '../../support/revocations.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** What is given now. */
const given = (recent: RecentNotices) => recent.all().map(({ notice }) => notice);

const notices = ['a', 'b', 'c'].map((subject) => noticeOf({ subject }));
const [a, b, c] = notices as [(typeof notices)[0], (typeof notices)[0], (typeof notices)[0]];

it('gives revocations of the last two minutes, from the oldest to the newest, and no older ones', () => {
  const recent = new RecentNotices();
  recent.add(a);
  vi.advanceTimersByTime(59_000);
  recent.add(b);
  vi.advanceTimersByTime(60_000);
  recent.add(c);
  expect(given(recent)).toEqual([a, b, c]);
  vi.advanceTimersByTime(1_000);
  expect(given(recent)).toEqual([b, c]);
  vi.advanceTimersByTime(58_999);
  expect(given(recent)).toEqual([b, c]);
  vi.advanceTimersByTime(1);
  expect(given(recent)).toEqual([c]);
  vi.advanceTimersByTime(60_000);
  expect(given(recent)).toEqual([]);
});

it.each([119_999, 120_000, 200_000, 1_000_000])(
  'gives a revocation for two minutes, though no other one follows: after %i ms',
  (passed) => {
    const recent = new RecentNotices();
    recent.add(a);
    vi.advanceTimersByTime(59_000);
    recent.add(b);
    vi.advanceTimersByTime(passed - 59_000);
    expect(given(recent)).toEqual(passed < 120_000 ? [a, b] : passed < 179_000 ? [b] : []);
  },
);

it('gives each with the moment at which this process revoked it', () => {
  const recent = new RecentNotices();
  const began = performance.now();
  recent.add(a);
  vi.advanceTimersByTime(70_000);
  recent.add(b);
  vi.advanceTimersByTime(10_000);
  expect(recent.all()).toEqual([
    { notice: a, knownSince: began },
    { notice: b, knownSince: began + 70_000 },
  ]);
});
