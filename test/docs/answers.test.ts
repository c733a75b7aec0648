import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { RequestRefused, refusalCodes } from '../../packages/core/src/errors.js';
import { outcomes, passes } from '../support/introspection-outcomes.js';

const file = new URL('../../docs/reference/answers.md', import.meta.url);
let page = readFileSync(file, 'utf8');

if (process.env.SYNC_DOCS === '1') {
  const rows = refusalCodes.map((code) => {
    const { status, error, description = '' } = new RequestRefused(code);
    const shown = error === undefined ? 'none' : `\`${error}\``;
    return `| \`${code}\` | ${status} | ${shown} | ${description}${description && ' '}|`;
  });
  const table = /(\| reason [^\n]*\n\| ---[^\n]*\n)(?:\|[^\n]*\n)*/;
  writeFileSync(
    file,
    page.replace(table, (_all, head) => `${head}${rows.join('\n')}\n`),
  );
  page = readFileSync(file, 'utf8');
}

it.each(refusalCodes)('the table says what %s is answered', (code) => {
  const { status, error, description = '' } = new RequestRefused(code);
  const shown = error === undefined ? 'none' : `\`${error}\``;
  expect(page).toContain(`| \`${code}\` | ${status} | ${shown} | ${description}${description && ' '}|`);
});

it('the table names no reason that does not exist', () => {
  const reasons = [...page.matchAll(/^\| `(\w+)` \| \d/gm)].map(([, reason]) => reason);
  expect(reasons).toEqual(refusalCodes);
});

it('the table of what the authorization server may answer is the one that the tests run', () => {
  const rows = outcomes.map(([title, , expected]) => {
    const answer = title.replace(/^(?:[RS]\d+ ?)+: /, '').replaceAll('|', '\\|');
    return `| ${answer} | ${expected === passes ? '200' : inWords(expected)} |`;
  });
  const generated = ['| answer | outcome |', '| --- | --- |', ...rows].join('\n');
  const synced = page.replace(
    /(<!-- outcomes -->\n)[\s\S]*(<!-- \/outcomes -->)/,
    (_all, start, end) => `${start}\n${generated}\n\n${end}`,
  );
  if (process.env.SYNC_DOCS === '1') {
    writeFileSync(file, synced);
  }
  expect(rows.length).toBeGreaterThan(70);
  expect(readFileSync(file, 'utf8')).toBe(synced);
});

function inWords({ status, retryAfter }: { status: number; retryAfter?: string | null }): string {
  if (status !== 503) {
    return String(status);
  }
  if (retryAfter === null) {
    return '503, misconfigured';
  }
  return retryAfter === '5' ? '503, retry later' : `503, retry later (${retryAfter} s)`;
}
