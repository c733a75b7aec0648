import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { withTimeLimit } from '../../../packages/core/src/shared/time-limit.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it('gives what the work gives, and leaves no timer behind', async () => {
  expect(await withTimeLimit(1, async () => 'done')).toBe('done');
  expect(await withTimeLimit(1, () => 'at once')).toBe('at once');
  expect(vi.getTimerCount()).toBe(0);
});

it('rejects with what the work throws or rejects with', async () => {
  const thrown = new Error('thrown');
  await expect(
    withTimeLimit(1, () => {
      throw thrown;
    }),
  ).rejects.toBe(thrown);
  await expect(withTimeLimit(1, () => Promise.reject(thrown))).rejects.toBe(thrown);
  expect(vi.getTimerCount()).toBe(0);
});

it('rejects when it takes longer', async () => {
  const outcome = withTimeLimit(1.5, () => new Promise(() => undefined)).catch(
    (error: Error) => error.message,
  );
  await vi.advanceTimersByTimeAsync(1_499);
  expect(vi.getTimerCount()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(await outcome).toBe('no answer within 1.5 s');
});

it('takes an answer that arrived while the process stood still', async () => {
  vi.useRealTimers();
  const outcome = withTimeLimit(
    0.001,
    () => new Promise<string>((resolve) => setImmediate(() => resolve('in time'))),
  );
  // Both the timer and the answer are due when the loop comes round.
  const until = Date.now() + 20;
  while (Date.now() < until);
  expect(await outcome).toBe('in time');
});
