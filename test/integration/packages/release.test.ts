import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../../docs/pages.js';

const script = join(root, 'scripts/release.mjs');
const names = ['core', 'express-mtls', 'koa-mtls'];

it('what is published says where it comes from, wants provenance, and names the core by its version', () => {
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

const { version } = JSON.parse(readFileSync(join(root, 'packages/core/package.json'), 'utf8'));
const address = 'https://git.example.com/owner/repository';
const tag = (name: string) => ({ GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: name });

// A git repository of its own stands for the one of the release: one commit, which is on main or is not.
let repository: string;
beforeAll(() => {
  repository = mkdtempSync(join(tmpdir(), 'mtls-bound-git-'));
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args], {
      cwd: repository,
      encoding: 'utf8',
    }).trim();
  git('init', '--quiet');
  git('commit', '--quiet', '--allow-empty', '--message=main');
  git('update-ref', 'refs/remotes/origin/main', 'HEAD');
  git('checkout', '--quiet', '--detach');
});
afterAll(() => rmSync(repository, { recursive: true }));

function refusal(args: readonly string[], environment: Record<string, string> = {}) {
  const { status, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, GIT_DIR: join(repository, '.git'), ...environment },
  });
  return [status, stderr.trim()];
}

it.each([
  ['no address', [], {}, 'the address of the repository is missing'],
  ['no folder', [address], {}, 'the folder for the tarballs is missing'],
  ['no tag', [address, 'out'], {}, `expected the tag v${version}, got nothing`],
  [
    'the tag of another version',
    [address, 'out'],
    tag('v9.9.9'),
    `expected the tag v${version}, got tag v9.9.9`,
  ],
  [
    'a branch that is called like the tag',
    [address, 'out'],
    { ...tag(`v${version}`), GITHUB_REF_TYPE: 'branch' },
    `expected the tag v${version}, got branch v${version}`,
  ],
  [
    'a version that the changelog does not know',
    [address, 'out'],
    tag(`v${version}`),
    `CHANGELOG.md says nothing of ${version}`,
  ],
])('%s: no tarball is made', (_, args, environment, words) => {
  expect(refusal(args, environment)).toEqual([2, words]);
});

it('a commit that is not on main: no tarball is made', () => {
  const identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.com'];
  const commit = ['commit', '--quiet', '--allow-empty', '--message=aside'];
  execFileSync('git', [...identity, ...commit], { cwd: repository });
  expect(refusal([address, 'out'], tag(`v${version}`))).toEqual([2, 'the commit is not on main']);
});
