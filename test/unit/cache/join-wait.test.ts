// How often a process that starts asks, while it does not read its question in the log.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { JoinWait } from '../../../packages/core/src/revocation/join-wait.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it('asks again after a second, and then more and more seldom: each question costs every process', () => {
  const join = new JoinWait();
  const startedAt = performance.now();
  const askedAt: number[] = [];
  while (performance.now() - startedAt < 80_000) {
    if (!join.hasAsked) {
      askedAt.push(performance.now() - startedAt);
      join.markJoinWritten(true);
    }
    vi.advanceTimersByTime(20);
    join.askAgainIfLate();
  }
  expect(askedAt).toEqual([0, 1_000, 3_000, 7_000, 15_000, 31_000, 47_000, 63_000, 79_000]);
});
