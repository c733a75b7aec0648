import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Expiring, ExpiringMap } from '../../../packages/core/src/shared/expiring-map.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  onForgotten.mockReset();
});

const value = (): Expiring => ({ until: 0 });

const onForgotten = vi.fn();

/** A map of values for 90 seconds, with these keys. The group of a key is what it has before a colon. */
function mapOf(max: number, keys: Iterable<string | number>): ExpiringMap<Expiring> {
  const groupOf = (key: string): string => (key.includes(':') ? (key.split(':')[0] ?? '') : '');
  const map = new ExpiringMap(max, 90_000, { groupOf, onForgotten });
  for (const key of keys) {
    map.set(String(key), value());
  }
  return map;
}

const keysOf = (map: ExpiringMap<Expiring>): string[] => map.entries().map(([key]) => key);

it('keeps a value for its time, and no longer', () => {
  const map = mapOf(10, ['a']);
  vi.advanceTimersByTime(90_000);
  expect(map.get('a')).toBeDefined();
  vi.advanceTimersByTime(1);
  expect(map.get('a')).toBeUndefined();
});

it('keeps a value that is set again for its time from then on', () => {
  const map = mapOf(10, ['a', 'b']);
  vi.advanceTimersByTime(60_000);
  map.set('a', value());
  vi.advanceTimersByTime(60_000);
  expect(keysOf(map)).toEqual(['a']);
});

it('forgets the oldest where there are too many', () => {
  const map = mapOf(3, ['a', 'b', 'c']);
  map.set('a', value());
  map.set('d', value());
  expect(keysOf(map)).toEqual(['c', 'a', 'd']);
});

it('is full with all that it may keep, and forgets a hundredth at once for one more', () => {
  const map = mapOf(200, Array(200).keys());
  expect(map.size).toBe(200);
  map.set('more', value());
  expect(map.size).toBe(198);
  expect(keysOf(map).slice(0, 2)).toEqual(['3', '4']);
});

it('goes on to forget by time after it was full', () => {
  const map = mapOf(2, ['a', 'b', 'c']);
  vi.advanceTimersByTime(90_001);
  expect(map.get('c')).toBeUndefined();
  expect(keysOf(map)).toEqual([]);
});

it('frees the memory of what expired though no call reaches it', () => {
  const map = mapOf(10, ['a']);
  vi.advanceTimersByTime(30_000);
  map.set('b', value());
  vi.advanceTimersByTime(90_000);
  expect(map.size).toBe(1);
  vi.advanceTimersByTime(60_000);
  expect(map.size).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

it('frees also what comes after it was empty', () => {
  const map = mapOf(10, ['a']);
  vi.advanceTimersByTime(180_000);
  map.set('b', value());
  expect(map.size).toBe(1);
  vi.advanceTimersByTime(180_000);
  expect(map.size).toBe(0);
});

const keysFor = (group: string, count: number): string[] =>
  [...Array(count).keys()].map((i) => `${group}:${i}`);

it('forgets the oldest of the group that has the most, whichever came first', () => {
  const map = mapOf(200, [...keysFor('small', 60), ...keysFor('large', 140)]);
  map.set('small:more', value());
  expect(keysOf(map).filter((key) => key.startsWith('small'))).toHaveLength(61);
  expect(
    keysOf(map)
      .filter((key) => key.startsWith('large'))
      .slice(0, 1),
  ).toEqual(['large:2']);
  expect(onForgotten).toHaveBeenCalledExactlyOnceWith('large', [{ until: 90_000 }, { until: 90_000 }]);
});

it('keeps each value of a group with less than its equal share, however many the others add', () => {
  const map = mapOf(300, keysFor('small', 99));
  for (const key of [...keysFor('red', 2_000), ...keysFor('blue', 2_000)]) {
    map.set(key, value());
  }
  expect(keysOf(map).filter((key) => key.startsWith('small'))).toHaveLength(99);
  expect(map.size).toBeLessThanOrEqual(300);
  expect(onForgotten.mock.calls.map(([group]) => group)).not.toContain('small');
});

it('counts what it forgot by time, and what is set again, once', () => {
  const map = mapOf(100, [...keysFor('a', 60), ...keysFor('a', 60)]);
  vi.advanceTimersByTime(90_001);
  for (const key of [...keysFor('b', 50), ...keysFor('a', 51)]) {
    map.set(key, value());
  }
  expect(onForgotten).toHaveBeenCalledExactlyOnceWith('a', [{ until: 180_001 }]);
});

it('says nothing of values that are forgotten at their time', () => {
  const map = mapOf(3, ['a', 'b', 'c']);
  vi.advanceTimersByTime(90_001);
  map.set('d', value());
  expect(keysOf(map)).toEqual(['d']);
  expect(onForgotten).not.toHaveBeenCalled();
});

it('forgets nothing while the clock gives no number', () => {
  const map = mapOf(10, ['a']);
  vi.spyOn(performance, 'now').mockReturnValue(Number.NaN);
  map.set('b', value());
  expect([map.get('a'), map.get('b'), keysOf(map)]).toEqual([
    expect.anything(),
    expect.anything(),
    ['a', 'b'],
  ]);
  vi.restoreAllMocks();
});
