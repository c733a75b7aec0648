import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RefreshedValue } from '../../../packages/core/src/certificate-status/refreshed-value.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Seconds. */
const longestPause = 100;

function refreshed(until = () => Date.now() + 86_400_000) {
  const counts = { asked: 0, changes: 0, failures: 0 };
  const state = { value: 1, fails: false };
  const value = new RefreshedValue<number>({
    ask: async () => {
      counts.asked += 1;
      if (state.fails) {
        throw new Error('down');
      }
      return state.value;
    },
    until,
    longestPause,
    onChange: () => {
      counts.changes += 1;
    },
    onFailure: () => {
      counts.failures += 1;
    },
  });
  return { value, counts, state };
}

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);

describe('a refreshed value', () => {
  it('is asked for once by all who need it first', async () => {
    const { value, counts } = refreshed();
    await Promise.all([value.use(), value.use()]);
    expect(value.use()).toBeUndefined();
    expect([value.value, counts]).toEqual([1, { asked: 1, changes: 1, failures: 0 }]);
    value.close();
  });

  it('is refreshed in the background while it is used', async () => {
    const { value, counts, state } = refreshed();
    await value.use();
    state.value = 2;
    await pass(longestPause);
    expect(value.use()).toBeUndefined();
    expect([value.value, counts.asked, counts.changes]).toEqual([2, 2, 2]);
    value.close();
  });

  it('is refreshed before it can not be used any more', async () => {
    const end = Date.now() + 20_000;
    const { value, counts } = refreshed(() => end);
    await value.use();
    await pass(17);
    expect(counts.asked).toBeGreaterThan(1);
    value.close();
  });

  it('that can be used for three seconds is refreshed each ten seconds, while it is used', async () => {
    const { value, counts } = refreshed(() => Date.now() + 3_000);
    await value.use();
    await pass(8.9);
    expect(counts.asked).toBe(1);
    for (let time = 0; time < 10; time += 1) {
      expect(value.use()).toBeUndefined();
      await pass(10);
    }
    // Up to a tenth earlier by chance.
    expect(counts.asked).toBeGreaterThanOrEqual(11);
    expect(counts.asked).toBeLessThanOrEqual(13);
    value.close();
  });

  it('that can be used for three seconds is not refreshed after thirty without use', async () => {
    const { value, counts } = refreshed(() => Date.now() + 3_000);
    await value.use();
    await pass(60);
    const { asked } = counts;
    expect([3, 4]).toContain(asked);
    await pass(5 * longestPause);
    expect(counts.asked).toBe(asked);
    const waiting = value.use();
    expect(waiting).toBeInstanceOf(Promise);
    await waiting;
    expect(counts.asked).toBe(asked + 1);
    value.close();
  });

  it('that has expired is not refreshed after ninety seconds without use', async () => {
    const { value, counts } = refreshed(() => Date.now() - 1);
    await value.use();
    await pass(100);
    const { asked } = counts;
    expect([3, 4]).toContain(asked);
    await pass(5 * longestPause);
    expect(counts.asked).toBe(asked);
    value.close();
  });

  it('that can not be had at first is asked for while it is used, whatever the time between', async () => {
    const { value, counts, state } = refreshed();
    state.fails = true;
    await value.use();
    await pass(10);
    expect(value.use()).toBeUndefined();
    expect(counts.asked).toBeGreaterThan(2);
    await pass(2 * longestPause);
    expect(value.use()).toBeUndefined();
    value.close();
  });

  it('is not refreshed once it is used no more, and then waited for', async () => {
    const { value, counts } = refreshed();
    await value.use();
    await pass(20 * longestPause);
    const { asked } = counts;
    expect(asked).toBeLessThan(6);
    await pass(20 * longestPause);
    expect(counts.asked).toBe(asked);
    await value.use();
    expect(counts.asked).toBe(asked + 1);
    value.close();
  });

  it('that was not used for three pauses is waited for, though it is not two of the longest pauses old', async () => {
    const { value, counts } = refreshed();
    await value.use();
    await pass(4.4 * longestPause);
    const { asked } = counts;
    const waiting = value.use();
    expect(waiting).toBeInstanceOf(Promise);
    await waiting;
    expect(counts.asked).toBe(asked + 1);
    value.close();
  });

  it('is kept while it can not be refreshed, and asked for ever less often', async () => {
    const { value, counts, state } = refreshed();
    await value.use();
    state.fails = true;
    await pass(longestPause);
    expect(value.use()).toBeUndefined();
    expect([value.value, value.failure, counts.failures]).toEqual([
      1,
      { code: 'unreadable', why: 'Error' },
      1,
    ]);
    await pass(60);
    // Once with success, then after about 100, 2, 4, 8, 16 and maybe 32 seconds.
    expect([6, 7]).toContain(counts.asked);
    expect(counts.failures).toBe(1);
    state.fails = false;
    await pass(longestPause);
    expect(value.failure).toBeUndefined();
    value.close();
  });

  it('is asked for no more after close()', async () => {
    const { value, counts } = refreshed();
    await value.use();
    value.close();
    await pass(10 * longestPause);
    expect(value.use()).toBeUndefined();
    expect([counts.asked, vi.getTimerCount()]).toEqual([1, 0]);
  });
});
