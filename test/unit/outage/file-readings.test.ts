// Readings of files share two of the four threads that Node has for files, DNS and cryptography.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SingleReading } from '../../../packages/core/src/shared/single-reading.js';
import { deferred } from '../../support/deferred.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
});
afterEach(() => void vi.useRealTimers());

/** A reading of its own that runs until it is ended. */
function startReading(seconds = 5) {
  const end = deferred();
  const state = { hasBegun: false, outcome: '' };
  const reading = new SingleReading();
  const read = async (): Promise<void> => {
    state.hasBegun = true;
    await end.promise;
  };
  const run = () =>
    reading.run(seconds, read).then(
      () => 'read',
      ({ message }: Error) => message,
    );
  const done = run().then((outcome) => {
    state.outcome = outcome;
  });
  return { state, end: () => end.resolve(), done, again: run };
}

const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);
const inVain = 'it was not read, as files of other options take long or do not answer';

it('two run at once, and others begin in their order when these have ended', async () => {
  const readings = Array.from({ length: 4 }, () => startReading());
  await pass(0);
  const begun = () => readings.map(({ state }) => state.hasBegun);
  expect(begun()).toEqual([true, true, false, false]);
  readings[1]?.end();
  await pass(0);
  expect(begun()).toEqual([true, true, true, false]);
  readings[0]?.end();
  await pass(0);
  expect(begun()).toEqual([true, true, true, true]);
  for (const reading of readings) {
    reading.end();
    await reading.done;
  }
  expect(readings.map(({ state }) => state.outcome)).toEqual(Array(4).fill('read'));
});

it('the wait for a place counts, and a reading that was given up before it began never begins', async () => {
  const [first, second] = [startReading(), startReading()];
  await pass(3_000);
  const third = startReading(1);
  await pass(1_100);
  expect(third.state).toEqual({ hasBegun: false, outcome: inVain });
  first.end();
  second.end();
  await pass(0);
  expect([first, second].map(({ state }) => state.outcome)).toEqual(['read', 'read']);
  expect(third.state.hasBegun).toBe(false);

  // It may be tried again.
  third.end();
  const again = third.again();
  await pass(0);
  expect(await again).toBe('read');
});

it('a reading that was given up holds its place until it ends, and others do not wait in vain', async () => {
  const [first, second] = [startReading(), startReading()];
  await pass(5_100);
  expect([first, second].map(({ state }) => state.outcome)).toEqual(Array(2).fill('no answer within 5 s'));
  const third = startReading();
  await pass(0);
  expect(third.state).toEqual({ hasBegun: false, outcome: inVain });
  expect(await first.again()).toBe('an earlier reading has not ended');

  first.end();
  await pass(0);
  const fourth = startReading();
  await pass(0);
  expect(fourth.state.hasBegun).toBe(true);
  const fifth = startReading();
  await pass(0);
  expect(fifth.state).toEqual({ hasBegun: false, outcome: '' });
  fourth.end();
  await pass(0);
  expect(fifth.state.hasBegun).toBe(true);
  fifth.end();
  second.end();
  await pass(0);
  expect([fourth, fifth].map(({ state }) => state.outcome)).toEqual(['read', 'read']);
});

it('a reading that fails, at once or later, leaves its place', async () => {
  for (let count = 0; count < 5; count += 1) {
    const reading = new SingleReading();
    const failed = reading.run(5, () => {
      throw new Error('at once');
    });
    await expect(failed).rejects.toThrow('at once');
    await expect(reading.run(5, () => Promise.reject(new Error('later')))).rejects.toThrow('later');
  }
  const last = startReading();
  await pass(0);
  expect(last.state.hasBegun).toBe(true);
  last.end();
  await last.done;
});
