import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { results } from './settings.js';

/** A type and no interface, so that further figures may stand beside these. */
export type Summary = {
  readonly median: number;
  readonly min: number;
  readonly max: number;
};

export interface Goal {
  readonly min?: number;
  readonly max?: number;
}

export interface Ratio extends Summary {
  readonly goal: Goal;
  /** One lower quartile over another. Where it is there, the goal is about it. */
  readonly lowerQuartiles?: number;
}

/** What a scenario leaves behind, in `results/<scenario>.json`. */
export interface BenchRecord {
  readonly scenario: string;
  /** Of the contestants' figures. */
  readonly unit: string;
  readonly machine: string;
  readonly commit: string;
  readonly rounds: number;
  /** Contestants that could not take part, with what they lack. */
  readonly skipped?: Readonly<Record<string, string>>;
  readonly contestants: Readonly<Record<string, Summary & Readonly<Record<string, unknown>>>>;
  readonly ratios: Readonly<Record<string, Ratio>>;
  /** Where the time of each server went, in shares of the time that it served; from a run with `--profile`. */
  readonly profile?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export function summaryOf(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (position: number): number => rounded(sorted[Math.floor(position)] ?? Number.NaN);
  return { median: at((sorted.length - 1) / 2), min: at(0), max: at(sorted.length - 1) };
}

/** One value over another, round by round: what disturbs one contestant of a round disturbs the other. */
export function ratioOf(values: readonly number[], base: readonly number[], goal: Goal): Ratio {
  return { ...summaryOf(values.map((value, round) => value / (base[round] ?? Number.NaN))), goal };
}

/** Of times on a machine with other work, which makes some rounds slower and none faster. */
export function quartileOf(values: readonly number[], share: 0.25 | 0.75 = 0.25): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
}

/** A summary of times, with the lower quartile, and the distance to the upper one in percent of it. */
export function timeSummary(values: readonly number[]) {
  const lower = quartileOf(values);
  return {
    ...summaryOf(values),
    lowerQuartile: rounded(lower),
    spreadInPercent: rounded((100 * (quartileOf(values, 0.75) - lower)) / lower),
  };
}

/** One time over another: round by round, and of the lower quartiles, which the goal is about. */
export function timeRatioOf(values: readonly number[], base: readonly number[], goal: Goal): Ratio {
  return { ...ratioOf(values, base, goal), lowerQuartiles: rounded(quartileOf(values) / quartileOf(base)) };
}

export function isMet({ median, goal, lowerQuartiles = median }: Ratio): boolean {
  return (
    lowerQuartiles >= (goal.min ?? Number.NEGATIVE_INFINITY) &&
    lowerQuartiles <= (goal.max ?? Number.POSITIVE_INFINITY)
  );
}

/** A profile stays, until the next run with `--profile`. */
export function writeRecord(record: Omit<BenchRecord, 'machine' | 'commit'>): BenchRecord {
  const { scenario, unit, ...figures } = record;
  const whole = { scenario, unit, machine: machine(), commit: commit(), ...figures };
  mkdirSync(results, { recursive: true });
  writeFileSync(new URL(`${scenario}.json`, results), `${JSON.stringify(whole, null, 2)}\n`);
  return whole;
}

export function machine(): string {
  return `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`;
}

function commit(): string {
  return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
}

function rounded(value: number): number {
  return Number(value.toFixed(3));
}
