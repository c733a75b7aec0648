import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Expiring, ExpiringMap } from '../../packages/core/src/shared/expiring-map.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const value = (): Expiring => ({ until: 0 });

/** A map of values for 90 seconds, with these keys. */
function mapOf(max: number, keys: Iterable<string | number>): ExpiringMap<Expiring> {
  const map = new ExpiringMap(max, 90_000);
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
