// What npm would publish: everything that the manifest points to is in it, and nothing else of ours.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../../docs/pages.js';

interface Targets {
  readonly [condition: string]: string | Targets;
}

interface Manifest {
  readonly main: string;
  readonly types: string;
  readonly bin?: Record<string, string>;
  readonly exports: Targets;
}

function filesOf(targets: Targets): string[] {
  return Object.values(targets).flatMap((to) => (typeof to === 'string' ? [to] : filesOf(to)));
}

describe.each(['core', 'express-mtls', 'koa-mtls'])('packages/%s', (name) => {
  const folder = join(root, 'packages', name);
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
  const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ files }] = JSON.parse(output) as [{ files: { path: string; mode: number }[] }];
  const paths = files.map(({ path }) => path);

  it('holds all that exports and bin point to', () => {
    const pointed = [
      manifest.main,
      manifest.types,
      ...filesOf(manifest.exports),
      ...Object.values(manifest.bin ?? {}),
    ].map((path) => path.replace('./', ''));
    expect(pointed.length).toBeGreaterThan(4);
    expect(pointed.filter((path) => !paths.includes(path))).toEqual([]);
  });

  it('holds licence and README, and neither sources, tests nor build notes', () => {
    expect(paths).toEqual(expect.arrayContaining(['package.json', 'README.md', 'LICENSE']));
    expect(paths.filter((path) => /(^|\/)(src|test|node_modules)\/|tsbuildinfo|\.env/.test(path))).toEqual(
      [],
    );
    expect(paths.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))).toEqual([]);
  });
});

it.each(['core', 'express-mtls', 'koa-mtls'])(
  'the command mtls-doctor of packages/%s runs and says what it does',
  (name) => {
    const folder = join(root, 'packages', name);
    const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
    expect(Object.keys(bin ?? {})).toEqual(['mtls-doctor']);
    const command = join(folder, bin?.['mtls-doctor'] ?? '');
    expect(statSync(command).isFile()).toBe(true);
    expect(readFileSync(command, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(execFileSync(process.execPath, [command, '--help'], { encoding: 'utf8' })).toContain(
      'mtls-doctor',
    );
  },
);
