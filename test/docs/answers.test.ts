import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { RequestRefused, refusalCodes } from '../../packages/core/src/errors.js';

const page = readFileSync(new URL('../../docs/answers.md', import.meta.url), 'utf8');

it.each(refusalCodes)('the table says what %s is answered', (code) => {
  const { status, error, description = '' } = new RequestRefused(code);
  const shown = error === undefined ? 'none' : `\`${error}\``;
  expect(page).toContain(`| \`${code}\` | ${status} | ${shown} | ${description}${description && ' '}|`);
});

it('the table names no reason that does not exist', () => {
  const reasons = [...page.matchAll(/^\| `(\w+)` \| \d/gm)].map(([, reason]) => reason);
  expect(reasons).toEqual(refusalCodes);
});
