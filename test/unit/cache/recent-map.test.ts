import { expect, it } from 'vitest';
import { RecentMap } from '../../../packages/core/src/shared/recent-map.js';

/** A map that remembers the last three keys, of these. */
function mapOf(keys: Iterable<number>): RecentMap<number, string> {
  const map = new RecentMap<number, string>(3);
  for (const key of keys) {
    map.set(key, `value of ${key}`);
  }
  return map;
}

it.each([3, 4, 5, 6, 7, 8, 9])('remembers the last three of %i, and at most six', (count) => {
  const map = mapOf(Array(count).keys());
  const remembered = [...Array(count).keys()].filter((key) => map.get(key) === `value of ${key}`);
  expect(remembered.slice(-3)).toEqual([count - 3, count - 2, count - 1]);
  expect(remembered.length).toBeLessThanOrEqual(6);
});

it('gives the newest value of a key, wherever the older one is', () => {
  const map = mapOf([1, 2, 3, 4]);
  map.set(1, 'newer');
  map.set(4, 'newer');
  expect([map.get(1), map.get(4), map.get(2)]).toEqual(['newer', 'newer', 'value of 2']);
});

it('takes no room for a key that it has', () => {
  expect(mapOf([1, 2, 3, 3, 3, 3, 3, 3]).get(1)).toBe('value of 1');
});

it('forgets all when it is cleared', () => {
  const map = mapOf([1, 2, 3, 4]);
  map.clear();
  expect([1, 4].map((key) => map.get(key))).toEqual([undefined, undefined]);
});
