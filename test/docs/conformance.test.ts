import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { modules } from '../integration/conformance/modules.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8');
const page = 'docs/security/conformance.md';

/** A row, how it stands, and what follows the word. */
const line = /^\| ([RS]\d+[ab]?) \|(.*)\| (tested|outside mtls-bound|see)([^|]*)\|$/gm;
const rows = [...read(page).matchAll(line)];
const state = new Map(rows.map(([, row, , how]) => [row, how]));

/** The files whose tests' titles name a row. */
const named = new Map<string, Set<string>>();
const name = (list: string, file: string): void => {
  for (const row of list.split(' ')) {
    named.set(row, (named.get(row) ?? new Set()).add(file));
  }
};
for (const path of readdirSync(`${root}/test`, { recursive: true, encoding: 'utf8' }).toSorted()) {
  if (path.endsWith('.test.ts') || path.endsWith('-outcomes.ts')) {
    for (const [, list = ''] of read(`test/${path}`).matchAll(/['"`(]((?:[RS]\d+[ab]? )*[RS]\d+[ab]?): /g)) {
      const isTable = path.endsWith('-outcomes.ts');
      name(
        list,
        isTable
          ? 'introspection/answers-of-the-server'
          : path.replace(/^(?:unit|integration)\/|\.test\.ts$/g, ''),
      );
    }
  }
}
for (const module of modules) {
  name(module.rows, 'conformance/modules');
}

it('each row that is said to be tested is named by a test', () => {
  expect(rows.length).toBeGreaterThan(180);
  expect([...state].filter(([row, how]) => how === 'tested' && !named.has(String(row)))).toEqual([]);
});

it('each row that a test names is listed as tested', () => {
  expect([...named.keys()].filter((row) => state.get(row) !== 'tested')).toEqual([]);
});

it('each row says which tests prove it', () => {
  const synced = read(page).replace(line, (whole, row, before, how) => {
    const files = [...(named.get(row) ?? [])].map((file) => `\`${file}\``).join(', ');
    return how === 'tested' ? `| ${row} |${before}| tested: ${files} |` : whole;
  });
  if (process.env.SYNC_DOCS === '1') {
    writeFileSync(`${root}/${page}`, synced);
  }
  expect(read(page)).toBe(synced);
});

it('the table of modules has each of them, and each passed everywhere', () => {
  const listed = [...read(page).matchAll(/^\| `(rs-[\w-]+)` \| ([\w ]*) \| (.*) \|$/gm)];
  expect(listed.map(([, module, list]) => [module, list])).toEqual(
    modules.map((one) => [one.name, one.rows]),
  );
  expect(new Set(listed.map(([, , , outcome]) => outcome))).toEqual(
    new Set(['passed | passed | passed | passed']),
  );
});
