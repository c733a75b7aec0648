import { describe, expect, it } from 'vitest';
import { ConcurrencyLimit } from '../../../packages/core/src/authorization-server/concurrency-limit.js';
import { Deadline } from '../../../packages/core/src/shared/deadline.js';
import { deferred } from '../../support/deferred.js';

const noPlace = () => new Error('no place');
const later = () => Deadline.of(new AbortController().signal);

/** Calls that end when the test ends them, and the order in which they began. */
function recorded(exchanges: ConcurrencyLimit) {
  const begun: string[] = [];
  const start = (name: string, deadline = later()) => {
    const work = deferred<() => string>();
    const outcome = exchanges
      .run(deadline, noPlace, async () => {
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
    const exchanges = new ConcurrencyLimit(1);
    const { begun, start } = recorded(exchanges);
    const [first, second, third] = [start('first'), start('second'), start('third')];
    expect(exchanges.count).toBe(3);
    expect(await first.end()).toBe('done');
    expect(begun).toEqual(['first', 'second']);
    expect(await second.end(failing)).toBe('failed');
    expect(begun).toEqual(['first', 'second', 'third']);
    await third.end();
    expect(exchanges.count).toBe(0);
  });

  it('a call that throws at once gives its place back', async () => {
    const exchanges = new ConcurrencyLimit(1);
    await expect(exchanges.run(later(), noPlace, failing)).rejects.toThrow('failed');
    expect(exchanges.count).toBe(0);
  });

  it('refuses a call whose time is over, and does not begin it', async () => {
    const exchanges = new ConcurrencyLimit(1);
    const { begun, start } = recorded(exchanges);
    expect(await start('late', Deadline.of(AbortSignal.abort())).outcome).toBe('no place');
    const first = start('first');
    const controller = new AbortController();
    const waiting = start('waiting', Deadline.of(controller.signal));
    controller.abort();
    expect(await waiting.outcome).toBe('no place');
    expect(exchanges.count).toBe(1);
    await first.end();
    expect(begun).toEqual(['first']);
    expect(exchanges.count).toBe(0);
  });

  it('a call whose time ends just when it gets its place passes the place on', async () => {
    const exchanges = new ConcurrencyLimit(1);
    const { begun, start } = recorded(exchanges);
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
    expect(await second.outcome).toBe('no place');
    expect(await third.end()).toBe('done');
    expect(begun).toEqual(['first', 'third']);
    expect(exchanges.count).toBe(0);
  });
});
