import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { figureOf } from '../../../bench/harness/figure.js';
import { type BenchRecord, isMet, type Summary } from '../../../bench/harness/record.js';
import { synced, tablesOf } from '../../../bench/harness/tables.js';

const bench = new URL('../../../bench/', import.meta.url);
const page = readFileSync(new URL('README.md', bench), 'utf8');
const records = readdirSync(new URL('results/', bench))
  .filter((file) => file.endsWith('.json'))
  .map((file) => ({
    file,
    record: JSON.parse(readFileSync(new URL(`results/${file}`, bench), 'utf8')) as BenchRecord,
  }));

describe.each(records)('$file', ({ file, record }) => {
  it('has the shape of a record', () => {
    expect(file).toBe(`${record.scenario}.json`);
    expect(existsSync(new URL(`${record.scenario}.ts`, bench))).toBe(true);
    expect(record.rounds).toBeGreaterThanOrEqual(5);
    expect(record.machine).toMatch(/^\d+ x .+, Node v\d+/);
    expect(record.commit).toMatch(/^[0-9a-f]{7,40}$/);
    const summaries: Summary[] = [...Object.values(record.contestants), ...Object.values(record.ratios)];
    for (const { median, min, max } of summaries) {
      expect(min).toBeLessThanOrEqual(median);
      expect(median).toBeLessThanOrEqual(max);
    }
    expect(Object.keys(record.contestants)).not.toEqual([]);
    expect(Object.keys(record.ratios)).not.toEqual([]);
  });

  it('keeps its goals, or the page says why not', () => {
    const [, missed = ''] = page.split('## What is missed, and why');
    const explained = missed.replaceAll(/\s+/g, ' ');
    for (const [name, ratio] of Object.entries(record.ratios)) {
      expect(ratio.goal.min ?? ratio.goal.max).toBeDefined();
      expect(isMet(ratio) || explained.includes(`\`${record.scenario}\`, ${name}`), name).toBe(true);
    }
  });

  it('stands on the page, figure for figure, and is drawn there', () => {
    expect(page).toContain(tablesOf(record));
    expect(page).toContain(`(results/${record.scenario}.svg)`);
    expect(readFileSync(new URL(`results/${record.scenario}.svg`, bench), 'utf8')).toBe(figureOf(record));
  });
});

it('the page is in step with the records', () => {
  expect(
    synced(
      page,
      records.map(({ record }) => record),
    ),
  ).toBe(page);
});
