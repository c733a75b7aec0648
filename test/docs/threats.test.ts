import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { root, textOf } from './pages.js';

const page = textOf('docs/security-model.md');
const rows = page.split('\n').filter((line) => line.startsWith('| ') && !/^\| (---|who \| tries)/.test(line));

it('there are threats', () => {
  expect(rows.length).toBeGreaterThan(15);
});

it.each(rows)('its test is there: %s', (row) => {
  const [, file = '', title = ''] = /\| `([\w/-]+)`: ([^|]+) \|$/.exec(row) ?? [];
  const path = `${root}test/${file}.test.ts`;
  expect(existsSync(path), path).toBe(true);
  expect(readFileSync(path, 'utf8').toLowerCase()).toContain(title.trim().toLowerCase());
});
