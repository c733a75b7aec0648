import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { BenchRecord } from '../../bench/harness/record.js';
import { root, textOf } from './pages.js';

const record = (name: string) =>
  JSON.parse(readFileSync(`${root}bench/results/${name}.json`, 'utf8')) as BenchRecord;
const flat = (page: string) => textOf(page).replaceAll(/\s+/g, ' ');
const thousands = (value: number) => Math.round(value).toLocaleString('en');

const { contestants: revocation } = record('revocation');
const { contestants: startUp } = record('start-up');
const { contestants: header } = record('header-source');
const { contestants: tokens, ratios: estimates } = record('token-size');
const bytes = (kind: string) =>
  Object.entries(tokens).find(([name]) => name.startsWith(kind))?.[1].median ?? Number.NaN;
const percentAbove = Object.entries(estimates)
  .filter(([name]) => name.startsWith('estimate'))
  .map(([, { median }]) => Math.round(100 * median) - 100);
const aboveOrBelow = (percent: number) => `${Math.abs(percent)} percent ${percent < 0 ? 'below' : 'above'}`;
const spread = revocation['revoke() to refusal everywhere'];

// Figures in running text; tables are made of the records.
it.each([
  ['docs/fleet.md', `${spread?.median} ms in the median and ${spread?.p99} ms in the 99th percentile`],
  ['docs/fleet.md', `takes about ${(bytes('typical') / 1000).toFixed(2)} kB of heap`],
  ['docs/fleet.md', `with rich authorization details ${(bytes('large') / 1000).toFixed(1)} kB`],
  [
    'docs/fleet.md',
    `from ${aboveOrBelow(Math.min(...percentAbove))} to ${aboveOrBelow(Math.max(...percentAbove))}`,
  ],
  ['CHANGELOG.md', `about ${Math.round(bytes('typical'))} bytes of heap`],
  ['bench/README.md', `jose takes ${Math.round(startUp.jose?.median ?? 0)} ms of it`],
  [
    'bench/README.md',
    `(${Math.round(header.proxyHeader?.median ?? 0)} ns, where a \`Map\` takes ${thousands(header['Map look-up']?.median ?? 0)})`,
  ],
])('%s says what the record says: %s', (page, figure) => {
  expect(flat(page)).toContain(figure);
});
