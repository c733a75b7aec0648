import * as expressMtls from 'express-mtls';
import { expect, it } from 'vitest';
import * as presets from '../../packages/core/src/trusted-proxy/proxy-presets.js';
import { textOf } from './pages.js';

const page = textOf('docs/comparison.md');
const notes = new Map([...page.matchAll(/^\[\^([\w-]+)\]: (.+)$/gm)].map(([, name, text]) => [name, text]));
const [head = [], , ...rows] = page
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
const [, , ...others] = head;

const claims = rows.flatMap(([what = '', , ...cells]) =>
  cells.map((cell, i) => [`${what}: ${others[i]}`, cell] as const),
);

it('every system has a cell in every row', () => {
  expect(rows.length).toBeGreaterThan(15);
  expect(new Set(rows.map((cells) => cells.length))).toEqual(new Set([head.length]));
});

it.each(claims)('%s: has a source, or says that there is none', (_what, cell) => {
  const named = [...cell.matchAll(/\[\^([\w-]+)\]/g)].map(([, name]) => name);
  expect(named.length > 0 || cell === '-' || cell === 'unknown').toBe(true);
  expect(named.filter((name) => !notes.get(name)?.includes('](https://'))).toEqual([]);
});

it.each(rows.map(([what = '', own = '']) => [what, own] as const))(
  '%s: a page describes what this package has, or the cell says that it lacks it',
  (_what, own) => {
    expect(own === '-' || /\]\((guides|reference|security)\/[^)]+\)/.test(own)).toBe(true);
  },
);

it('the number of presets is that of the package, besides customHeader()', () => {
  const [, count] = /\[(\d+) presets\]/.exec(page) ?? [];
  const names = Object.keys(presets).filter((name) => name in expressMtls);
  expect(names).toContain('customHeader');
  expect(Number(count)).toBe(names.length - 1);
});

it('no source is named that no cell needs', () => {
  const used = new Set(
    claims.flatMap(([, cell]) => [...cell.matchAll(/\[\^([\w-]+)\]/g)].map(([, name]) => name)),
  );
  expect([...notes.keys()].filter((name) => !used.has(name))).toEqual([]);
});
