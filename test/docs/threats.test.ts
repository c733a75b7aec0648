import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { root, textOf } from './pages.js';

const page = textOf('docs/security/security-model.md');
const [, section = ''] = page.split('## Threats');
const [table = ''] = section.split('\n## ');
const rows = table
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (---|who \| tries)/.test(line));

// What stands at the start of it(), describe() and their tables' rows, in a file as the house formats it.
const title =
  /(?:\b(?:it|describe)(?:\.\w+)*\(\s*|\bdescribeReal\([^,]+,\s*|\)\(\s*|(?<=[[,]\s*(?:\/\/[^\n]*\s*)*)\[\s*)(['"`])((?:\\.|(?!\1).)+)\1/g;

/** The path of a test that a page names by its folder and file: in one of the suites, and in one alone. */
function pathOf(file: string): string {
  const paths = ['unit/', 'integration/', ''].map((suite) => `test/${suite}${file}.test.ts`);
  const [path = '', ...others] = paths.filter((one) => existsSync(`${root}${one}`));
  expect([file, path !== '', others]).toEqual([file, true, []]);
  return path;
}

/** Tables that are files of their own, by the file that runs them. */
const tablesOf: Readonly<Record<string, readonly string[]>> = {
  'introspection/answers-of-the-server': ['test/support/introspection-outcomes.ts'],
  'signals/push': ['test/support/security-event-tokens.ts'],
};

/** The titles of a file's tests, without the rows of the standards that they prove and without what is filled in. */
function titlesIn(file: string): Set<string> {
  const paths = [pathOf(file), ...(tablesOf[file] ?? [])];
  const titles = paths.flatMap((path) =>
    [...readFileSync(`${root}${path}`, 'utf8').matchAll(title)].map(([, , text = '']) => plain(text)),
  );
  return new Set(titles);
}

function plain(text: string): string {
  return text
    .replaceAll('\\', '')
    .replace(/^(?:[RS]\d+[ab]? ?)+: /, '')
    .replace(/^%s[:,]? |: %s$/g, '')
    .trim();
}

describe('a title', () => {
  const titles = titlesIn('binding/binding');

  it.each(['other unused bits in the last character', 'jkt beside the right x5t#S256'])('is %s', (text) => {
    expect(titles).toContain(text);
  });

  it.each(['certificate_mismatch', 'of 43 characters', '../../../packages/core/src/errors.js'])(
    'is not %s, though the file has that text',
    (text) => {
      expect(readFileSync(`${root}test/unit/binding/binding.test.ts`, 'utf8')).toContain(text);
      expect(titles).not.toContain(text);
    },
  );
});

it('there are threats', () => {
  expect(rows.length).toBeGreaterThan(45);
});

const cellsOf = (row: string) => row.split(/(?<!\\)\|/).map((cell) => cell.trim());

it.each(rows)('its tests are there: %s', (row) => {
  const [, who, tries, against, tests = ''] = cellsOf(row);
  expect([who, tries, against].every(Boolean)).toBe(true);
  expectTests(tests);
});

const promises = page
  .split('## The promises')[1]
  ?.split('\n## ')[0]
  ?.split('\n')
  .filter((line) => /^\| \d/.test(line));

it('each promise of SECURITY.md has its row, and no row is without a promise', () => {
  const [, promised = ''] = textOf('SECURITY.md').split('## What is promised');
  const numbers = [...(promised.split('\n## ')[0] ?? '').matchAll(/^(\d+)\. /gm)].map(([, number]) => number);
  expect(numbers.length).toBeGreaterThan(10);
  expect(promises?.map((row) => cellsOf(row)[1])).toEqual(numbers);
});

it.each(promises ?? [])('the tests of a promise are there: %s', (row) => {
  const [, , tests = ''] = cellsOf(row);
  expectTests(tests);
});

const revocationRows = textOf('docs/security/revocation.md')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (---|token \||set-up \|)/.test(line));

it('there are set-ups of revocation', () => {
  expect(revocationRows.length).toBeGreaterThan(20);
});

it.each(revocationRows)('what holds after a revocation has its tests: %s', (row) => {
  const [, setUp, holds, atMost, seen, tests = ''] = cellsOf(row);
  expect([setUp, holds, atMost, seen].every(Boolean)).toBe(true);
  expectTests(tests);
});

function expectTests(tests: string): void {
  for (const test of tests.split('; `').map((one) => one.replace(/^`/, ''))) {
    const [, file = '', named = ''] = /^([\w/-]+)`: (.+)$/.exec(test) ?? [];
    expect([...titlesIn(file)], pathOf(file)).toContain(named.replaceAll('\\|', '|'));
  }
}
