import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const results = new URL('../../bench/results/', import.meta.url);

/** What a committed record says of its own goals; the figures are whatever the machine gave. */
interface Record {
  readonly rounds: number;
  readonly ratios: {
    readonly [name: string]: { readonly median: number; readonly goal: { min?: number; max?: number } };
  };
}

it.each(readdirSync(results).filter((file) => file.endsWith('.json')))(
  '%s names its goals and keeps them',
  (file) => {
    const { rounds, ratios } = JSON.parse(readFileSync(new URL(file, results), 'utf8')) as Record;
    expect(rounds).toBeGreaterThanOrEqual(5);
    expect(Object.keys(ratios).length).toBeGreaterThan(0);
    for (const { median, goal } of Object.values(ratios)) {
      expect(goal.min ?? goal.max).toBeDefined();
      expect(median).toBeGreaterThanOrEqual(goal.min ?? 0);
      expect(median).toBeLessThanOrEqual(goal.max ?? Number.POSITIVE_INFINITY);
    }
  },
);
