import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root, textOf } from './pages.js';

const page = textOf('docs/reference/nestjs.md');
const tools = 'test/integration/packages/tools';
const source = `${tools}/nest/src`;

const shown = [...page.matchAll(/<!-- file: (\S+) -->\n```typescript\n([\s\S]*?)\n```$/gm)].map(
  ([, path = '', block]) => ({ path, block }),
);

// `node scripts/tools.mjs` builds and runs these files.
it.each(shown)('the page of NestJS shows $path as it is run', ({ path, block }) => {
  expect(block).toBe(textOf(path).trimEnd());
});

it('the page shows no other code, and each file but the rest of the API and of its tests', () => {
  expect([...page.matchAll(/^```(?!sh\n).+$/gm)]).toHaveLength(shown.length);
  const rest = ['app.module.ts', 'health.controller.ts', 'main.spec.ts', 'placement.spec.ts'];
  expect([...shown.map(({ path }) => path), ...rest.map((name) => `${source}/${name}`)].toSorted()).toEqual(
    readdirSync(join(root, source))
      .map((name) => `${source}/${name}`)
      .toSorted(),
  );
});

it.each([
  "consumer.apply(mtls).exclude('health').forRoutes('{*path}')",
  "app.use('/revocations', revocationEndpoint('tokens:revoke'))",
  "app.useBodyParser('urlencoded', { extended: true })",
])('the page names a call that is run: %s', (call) => {
  expect(page.replaceAll(/\s+/g, ' ')).toContain(`\`${call}\``);
  expect(textOf(`${source}/placement.spec.ts`)).toContain(call);
});

it('the page names the version of Nest that is tried', () => {
  const { frameworks } = JSON.parse(readFileSync(join(root, tools, 'versions.json'), 'utf8'));
  expect(page).toContain(`with Nest ${frameworks['@nestjs/core']} `);
});
