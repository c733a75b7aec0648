import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './pages.js';
import { entries, publicExports, referencePage } from './public-api.js';

const page = join(root, 'docs/reference/api.md');

describe.each(Object.entries(entries))('%s', (_, entry) => {
  it.each(publicExports(entry).map(({ name, comment }) => [name, comment]))(
    '%s has a doc comment',
    (_name, comment) => {
      expect(comment).toMatch(/\S+ \S+/);
    },
  );
});

it('the reference is in step with the doc comments', () => {
  if (process.env.SYNC_DOCS === '1') {
    writeFileSync(page, referencePage());
  }
  expect(existsSync(page) && readFileSync(page, 'utf8')).toBe(referencePage());
});
