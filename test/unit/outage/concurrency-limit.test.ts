import { describe, expect, it } from 'vitest';
import { ConcurrencyLimit } from '../../../packages/core/src/authorization-server/concurrency-limit.js';
import { Deadline } from '../../../packages/core/src/shared/deadline.js';
import { deferred } from '../../support/deferred.js';

const noTurn = () => new Error('no turn');
const later = () => Deadline.of(new AbortController().signal);

/** Calls that end when the test ends them, and the order in which they began. */
function recorded(turns: ConcurrencyLimit) {
  const begun: string[] = [];
  const start = (name: string, deadline = later()) => {
    const work = deferred<() => string>();
    const outcome = turns
      .run(deadline, noTurn, async () => {
        begun.push(name);
        return (await work.promise)();
      })
      .catch((error: Error) => error.message);
    const end = async (result: () => string = () => 'done') => {
      work.resolve(result);
      return outcome;
    };
    return { end, outcome };
  };
  return { begun, start };
}

const failing = () => {
  throw new Error('failed');
};

describe('Turns', () => {
  it('begins a call at once while fewer than the maximum run', () => {
    const { begun, start } = recorded(new ConcurrencyLimit(2));
    start('first');
    start('second');
    start('third');
    expect(begun).toEqual(['first', 'second']);
  });

  it('begins those that wait in order, one for each that ends', async () => {
    const turns = new ConcurrencyLimit(1);
    const { begun, start } = recorded(turns);
    const [first, second, third] = [start('first'), start('second'), start('third')];
    expect(turns.count).toBe(3);
    expect(await first.end()).toBe('done');
    expect(begun).toEqual(['first', 'second']);
    expect(await second.end(failing)).toBe('failed');
    expect(begun).toEqual(['first', 'second', 'third']);
    await third.end();
    expect(turns.count).toBe(0);
  });

  it('a call that throws at once gives its place back', async () => {
    const turns = new ConcurrencyLimit(1);
    await expect(turns.run(later(), noTurn, failing)).rejects.toThrow('failed');
    expect(turns.count).toBe(0);
  });

  it('refuses a call whose time is over, and does not begin it', async () => {
    const turns = new ConcurrencyLimit(1);
    const { begun, start } = recorded(turns);
    expect(await start('late', Deadline.of(AbortSignal.abort())).outcome).toBe('no turn');
    const first = start('first');
    const controller = new AbortController();
    const waiting = start('waiting', Deadline.of(controller.signal));
    controller.abort();
    expect(await waiting.outcome).toBe('no turn');
    expect(turns.count).toBe(1);
    await first.end();
    expect(begun).toEqual(['first']);
    expect(turns.count).toBe(0);
  });

  it('a call whose time ends just when its turn comes passes the place on', async () => {
    const turns = new ConcurrencyLimit(1);
    const { begun, start } = recorded(turns);
    const first = start('first');
    const ending = {
      isOver: false,
      whenOver: () => () => {
        ending.isOver = true;
      },
    };
    const second = start('second', ending as unknown as Deadline);
    const third = start('third');
    await first.end();
    expect(await second.outcome).toBe('no turn');
    expect(await third.end()).toBe('done');
    expect(begun).toEqual(['first', 'third']);
    expect(turns.count).toBe(0);
  });
});
