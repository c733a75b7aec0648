import { expect } from 'vitest';
import type { Finding } from '../../packages/core/src/doctor/finding.js';

/** Each problem with its fix. */
export function problemsOf(findings: readonly Finding[]): [code: string, fix: string | undefined][] {
  return findings.filter(({ status }) => status === 'problem').map(({ code, fix }) => [code, fix]);
}

export const codesOf = (findings: readonly Finding[]): string[] =>
  findings.map(({ status, code }) => `${status} ${code}`);

/** Title, code and fix of a problem, and a function that seeds it in a set-up that is otherwise good. */
export type Seeded = [string, string, RegExp, () => Promise<Finding[]>];

export async function findsAlone(_: string, code: string, fix: RegExp, run: Seeded[3]): Promise<void> {
  expect(problemsOf(await run())).toEqual([[code, expect.stringMatching(fix)]]);
}
