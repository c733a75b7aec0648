// The page names each likely cause that a refusal by a chain or by a status can have.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

it('the page lists the hints of chains, and no other', () => {
  const codes = [...read('packages/core/src/response/chain-hints.ts').matchAll(/code: '(\w+)'/g)];
  const rows = [
    ...read('docs/reference/client-chains.md').matchAll(/^\| (`(?:chain|certificate|status)_.*?) \|/gm),
  ];
  const listed = rows.flatMap(([, cell = '']) => cell.replaceAll('`', '').split(', '));
  expect(codes.length).toBeGreaterThan(20);
  expect(listed.toSorted()).toEqual(codes.map(([, code]) => code).toSorted());
});
