// The orders in which contestants of a benchmark take turns.
import { describe, expect, it } from 'vitest';
import { orderOf } from '../../../bench/harness/rounds.js';

describe('orderOf()', () => {
  it.each([2, 3, 5, 6, 8, 12])(
    'has each of %i come equally often after each other, and at each place',
    (count) => {
      const names = [...'abcdefghijkl'].slice(0, count);
      const pairs = new Map<string, number>();
      const places = new Map<string, number>();
      for (let round = -4; round < 2 * count - 4; round += 1) {
        const order = orderOf(names, round);
        for (const [place, name] of order.entries()) {
          places.set(`${name} ${place}`, (places.get(`${name} ${place}`) ?? 0) + 1);
          const pair = `${order[place - 1]} ${name}`;
          pairs.set(pair, (pairs.get(pair) ?? 0) + (place === 0 ? 0 : 1));
        }
      }
      const afterAnother = [...pairs].filter(([pair]) => !pair.startsWith('undefined'));
      expect(afterAnother.length).toBe(count * (count - 1));
      expect(new Set(afterAnother.map(([, times]) => times))).toEqual(new Set([2]));
      expect(places.size).toBe(count * count);
      expect(new Set(places.values())).toEqual(new Set([2]));
    },
  );
});
