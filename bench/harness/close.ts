import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { figureOf } from './figure.js';
import { type BenchRecord, writeRecord } from './record.js';
import { isQuick, profiles, results } from './settings.js';
import { synced, tablesOf } from './tables.js';

const page = new URL('../README.md', import.meta.url);

/** Writes the record, its figure, and its place on the page; shows it. Under `--profile` nothing. */
export function closeScenario(record: Parameters<typeof writeRecord>[0]): void {
  if (profiles !== undefined) {
    // A profile costs time: these figures are nobody's.
    return;
  }
  const whole = writeRecord(record);
  writeFileSync(new URL(`${whole.scenario}.svg`, results), figureOf(whole));
  if (!isQuick) {
    writeFileSync(page, synced(readFileSync(page, 'utf8'), allRecords()));
  }
  console.log(`\n${whole.scenario}\n${tablesOf(whole)}\n`);
}

export function allRecords(): BenchRecord[] {
  return readdirSync(results)
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(new URL(file, results), 'utf8')) as BenchRecord);
}
