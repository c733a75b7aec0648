import { expect, it } from 'vitest';
import { root, textOf } from '../../docs/pages.js';

const { absoluteLinks } = await import(`${root}scripts/absolute-links.mjs`);

const place = { address: 'https://git.example.com/owner/repository', tag: 'v1.2.3', folder: 'packages/core' };

it.each([
  [
    '[a](../../docs/guides/fleet.md#the-end)',
    `[a](${place.address}/blob/v1.2.3/docs/guides/fleet.md#the-end)`,
  ],
  ['[a](src/index.ts)', `[a](${place.address}/blob/v1.2.3/packages/core/src/index.ts)`],
  ['[a](#here) [b](https://example.com/x)', '[a](#here) [b](https://example.com/x)'],
])('%s', (text, expected) => {
  expect(absoluteLinks(text, place)).toBe(expected);
});

it.each(['core', 'express-mtls', 'koa-mtls'])('npm shows no relative link of the README of %s', (name) => {
  const readme = textOf(`packages/${name}/README.md`);
  expect(readme).toMatch(/\]\(\.\.\//);
  expect(absoluteLinks(readme, { ...place, folder: `packages/${name}` })).not.toMatch(/\]\((?!#|https:)/);
});
