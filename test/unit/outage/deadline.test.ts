import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  Deadline,
  giveUpWhenOver,
  TimeIsOver,
  withDeadline,
} from '../../../packages/core/src/shared/deadline.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
});
afterEach(() => vi.useRealTimers());

const never = () => new Promise<never>(() => undefined);

describe('the time of a deadline', () => {
  it.each([
    ['work that never settles', never],
    ['work that resolves later', () => new Promise((resolve) => setTimeout(resolve, 6_000))],
  ])('is over after its seconds: %s is given up', async (_title, work) => {
    const outcome = withDeadline(5, (deadline) => giveUpWhenOver(deadline, work)).catch(
      (error: unknown) => error,
    );
    await vi.advanceTimersByTimeAsync(4_999);
    expect(await Promise.race([outcome, 'waiting'])).toBe('waiting');
    await vi.advanceTimersByTimeAsync(2);
    expect(await outcome).toBeInstanceOf(TimeIsOver);
  });

  it('aborts a signal that was read before, and one that is read later', async () => {
    const deadline = Deadline.after(1);
    const { signal } = deadline;
    expect(signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1_001);
    expect([deadline.isOver, signal.aborted, deadline.signal]).toEqual([true, true, signal]);
    const other = Deadline.after(1);
    await vi.advanceTimersByTimeAsync(1_001);
    expect(other.signal.aborted).toBe(true);
  });

  it('is never over once the work has settled, and no timer is left', async () => {
    let kept: Deadline | undefined;
    const work = async (deadline: Deadline) => {
      kept = deadline;
      return 'done';
    };
    expect(await withDeadline(1, work)).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(2_000);
    expect([kept?.isOver, kept?.signal.aborted]).toEqual([false, false]);
  });

  it('is not over where the work settles in the turn in which the timer fires', async () => {
    let deadline: Deadline | undefined;
    const done = withDeadline(1, (own) => {
      deadline = own;
      return new Promise((resolve) => setTimeout(() => resolve('done'), 1_000));
    });
    vi.advanceTimersByTime(1_000);
    expect(await done).toBe('done');
    await vi.advanceTimersByTimeAsync(10);
    expect(deadline?.isOver).toBe(false);
  });

  it('starts no work when it is over', async () => {
    const deadline = Deadline.of(AbortSignal.abort());
    const work = vi.fn(never);
    await expect(giveUpWhenOver(deadline, work)).rejects.toBeInstanceOf(TimeIsOver);
    expect(work).not.toHaveBeenCalled();
  });

  it('follows a signal', async () => {
    const controller = new AbortController();
    const outcome = withDeadline(controller.signal, (deadline) => giveUpWhenOver(deadline, never));
    controller.abort();
    await expect(outcome).rejects.toBeInstanceOf(TimeIsOver);
  });

  it('calls no listener that was taken back', () => {
    const controller = new AbortController();
    const deadline = Deadline.of(controller.signal);
    const [kept, takenBack] = [vi.fn(), vi.fn()];
    deadline.whenOver(kept);
    deadline.whenOver(takenBack)();
    controller.abort();
    expect([kept, takenBack].map(({ mock }) => mock.calls.length)).toEqual([1, 0]);
  });

  it('rejects with what the work throws at once', async () => {
    const trouble = new Error('at once');
    const work = (): never => {
      throw trouble;
    };
    await expect(withDeadline(1, (deadline) => giveUpWhenOver(deadline, work))).rejects.toBe(trouble);
  });
});

it('nothing but a Deadline is one', () => {
  expect(
    [Deadline.after(1), { isOver: false }, null, undefined, 'x'].map((one) => Deadline.isDeadline(one)),
  ).toEqual([true, false, false, false, false]);
});
