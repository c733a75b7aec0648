import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { figureOf } from './figure.js';
import { type BenchRecord, isMet, machine, type Ratio, timeRatioOf, writeRecord } from './record.js';
import { isQuick, profiles, results } from './settings.js';
import { synced, tablesOf } from './tables.js';

const page = new URL('../README.md', import.meta.url);

/** Two contestants of the same code may differ by this share. */
const NOISE = 0.02;

/** The ratio of two contestants of the same code, which shows how far the others can be trusted. */
export function noiseOf(values: readonly number[], base: readonly number[]): Ratio {
  return timeRatioOf(values, base, { min: 1 - NOISE, max: 1 + NOISE });
}

/**
 * Writes the record, its figure, and its place on the page; shows it. Under `--profile` nothing.
 * Throws if a ratio of `noise` shows that the machine was too busy: the record is not kept then.
 */
export function closeScenario(
  record: Parameters<typeof writeRecord>[0],
  noise: Readonly<Record<string, Ratio>> = {},
): void {
  if (profiles !== undefined) {
    // A profile costs time: no figure of this run is reported.
    return;
  }
  const noisy = Object.entries(noise).filter(([, ratio]) => !isMet(ratio));
  if (noisy.length > 0 && !isQuick) {
    console.log(
      tablesOf({ ...record, ratios: { ...noise, ...record.ratios }, machine: machine(), commit: 'none' }),
    );
    throw new Error(
      `the record is not kept: ${noisy.map(([name]) => name).join(' and ')} should be between ${1 - NOISE} and ${1 + NOISE}`,
    );
  }
  const whole = writeRecord({ ...record, ratios: { ...(isQuick ? {} : noise), ...record.ratios } });
  writeFileSync(new URL(`${whole.scenario}.svg`, results), figureOf(whole));
  // The page shows the records of its own folder.
  if (!isQuick && process.env.BENCH_RESULTS === undefined) {
    writeFileSync(page, synced(readFileSync(page, 'utf8'), allRecords()));
  }
  console.log(`\n${whole.scenario}\n${tablesOf(whole)}\n`);
}

export function allRecords(): BenchRecord[] {
  return readdirSync(results)
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(new URL(file, results), 'utf8')) as BenchRecord);
}
