import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8');

const rows = [...read('docs/conformance.md').matchAll(/^\| ([RS]\d+b?) \|.*\| (tested|later|not ours)/gm)];
const state = new Map(rows.map(([, row, how]) => [row, how]));

/** Every row that some test's title names. */
const named = new Set(
  readdirSync(`${root}/test`, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts') || path.endsWith('-outcomes.ts'))
    .flatMap((path) => [...read(`test/${path}`).matchAll(/['"`(]((?:[RS]\d+b? )*[RS]\d+b?): /g)])
    .flatMap(([, list]) => list?.split(' ') ?? []),
);

it('each row that is said to be tested is named by a test', () => {
  expect(rows.length).toBeGreaterThan(100);
  expect([...state].filter(([row, how]) => how === 'tested' && !named.has(String(row)))).toEqual([]);
});

it('each row that a test names is listed as tested', () => {
  expect([...named].filter((row) => state.get(row) !== 'tested')).toEqual([]);
});
