import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../docs/pages.js';

const script = join(root, 'scripts/release.mjs');
const names = ['core', 'express-mtls', 'koa-mtls'];

it('what is published says where it comes from, wants provenance, and names the core by its version', () => {
  const address = 'https://git.example.com/owner/repository';
  const output = execFileSync(process.execPath, [script, address, '--dry-run'], { encoding: 'utf8' });
  const published = output
    .split(/\n(?=\{\n)/)
    .map((text) => JSON.parse(text) as Record<string, unknown> & { version: string });
  expect(published.map(({ name }) => name)).toEqual(['@mtls-bound/core', 'express-mtls', 'koa-mtls']);
  for (const [i, manifest] of published.entries()) {
    expect(manifest).toMatchObject({
      repository: { url: `git+${address}.git`, directory: `packages/${names[i]}` },
      publishConfig: { access: 'public', provenance: true },
      license: 'Apache-2.0',
    });
  }
  const [core, ...adapters] = published;
  for (const { dependencies } of adapters) {
    expect(dependencies).toEqual({ '@mtls-bound/core': core?.version });
  }
}, 120_000);

it.each([
  ['no address', [], 'address of the repository is missing'],
  [
    'a version that the changelog does not know',
    ['https://git.example.com/o/r'],
    'CHANGELOG.md says nothing',
  ],
])('%s: nothing is published', (_, args, words) => {
  const { status, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([2, expect.stringContaining(words)]);
});
