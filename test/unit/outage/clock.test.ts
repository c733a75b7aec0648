import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  Clock,
  TimeIsOver,
  untilOver,
  withClock,
} from '../../../packages/core/src/authorization-server/deadline.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
});
afterEach(() => vi.useRealTimers());

const never = () => new Promise<never>(() => undefined);

describe('the time of a clock', () => {
  it.each([
    ['work that never settles', never],
    ['work that resolves later', () => new Promise((resolve) => setTimeout(resolve, 6_000))],
  ])('is over after its seconds: %s is given up', async (_title, work) => {
    const outcome = withClock(5, (clock) => untilOver(clock, work)).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(await Promise.race([outcome, 'waiting'])).toBe('waiting');
    await vi.advanceTimersByTimeAsync(2);
    expect(await outcome).toBeInstanceOf(TimeIsOver);
  });

  it('aborts a signal that was read before, and one that is read later', async () => {
    const clock = Clock.start(1);
    const { signal } = clock;
    expect(signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1_001);
    expect([clock.isOver, signal.aborted, clock.signal]).toEqual([true, true, signal]);
    const other = Clock.start(1);
    await vi.advanceTimersByTimeAsync(1_001);
    expect(other.signal.aborted).toBe(true);
  });

  it('is never over once the work has settled, and no timer is left', async () => {
    let kept: Clock | undefined;
    const work = async (clock: Clock) => {
      kept = clock;
      return 'done';
    };
    expect(await withClock(1, work)).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(2_000);
    expect([kept?.isOver, kept?.signal.aborted]).toEqual([false, false]);
  });

  it('is not over where the work settles in the turn in which the timer fires', async () => {
    let clock: Clock | undefined;
    const done = withClock(1, (own) => {
      clock = own;
      return new Promise((resolve) => setTimeout(() => resolve('done'), 1_000));
    });
    vi.advanceTimersByTime(1_000);
    expect(await done).toBe('done');
    await vi.advanceTimersByTimeAsync(10);
    expect(clock?.isOver).toBe(false);
  });

  it('starts no work when it is over', async () => {
    const clock = Clock.of(AbortSignal.abort());
    const work = vi.fn(never);
    await expect(untilOver(clock, work)).rejects.toBeInstanceOf(TimeIsOver);
    expect(work).not.toHaveBeenCalled();
  });

  it('follows a signal', async () => {
    const controller = new AbortController();
    const outcome = withClock(controller.signal, (clock) => untilOver(clock, never));
    controller.abort();
    await expect(outcome).rejects.toBeInstanceOf(TimeIsOver);
  });

  it('calls no listener that was taken back', () => {
    const controller = new AbortController();
    const clock = Clock.of(controller.signal);
    const [kept, takenBack] = [vi.fn(), vi.fn()];
    clock.whenOver(kept);
    clock.whenOver(takenBack)();
    controller.abort();
    expect([kept, takenBack].map(({ mock }) => mock.calls.length)).toEqual([1, 0]);
  });

  it('rejects with what the work throws at once', async () => {
    const trouble = new Error('at once');
    const work = (): never => {
      throw trouble;
    };
    await expect(withClock(1, (clock) => untilOver(clock, work))).rejects.toBe(trouble);
  });
});

it('nothing but a clock is one', () => {
  expect([Clock.start(1), { isOver: false }, null, undefined, 'x'].map((one) => Clock.isClock(one))).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});
