// The script that packs, run by hand.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { root } from '../../docs/pages.js';

const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-pack-'));
afterAll(() => rmSync(folder, { recursive: true }));

const pack = (...given: string[]) =>
  spawnSync(process.execPath, [join(root, 'scripts/pack.mjs'), ...given], { encoding: 'utf8' });

it('node scripts/pack.mjs FOLDER writes a tarball of each package, and names them', () => {
  const { status, stdout } = pack(folder);
  const files = readdirSync(folder);
  expect(status).toBe(0);
  expect(files.map((file) => file.replace(/-\d.*/, '')).toSorted()).toEqual([
    'express-mtls',
    'koa-mtls',
    'mtls-bound-core',
  ]);
  expect(stdout.trim().split('\n').toSorted()).toEqual(files.map((file) => join(folder, file)).toSorted());
}, 120_000);

it('without a folder it says how it is called', () => {
  const { status, stdout, stderr } = pack();
  expect({ status, stdout, stderr }).toEqual({
    status: 1,
    stdout: '',
    stderr: 'usage: node scripts/pack.mjs FOLDER\n',
  });
});
