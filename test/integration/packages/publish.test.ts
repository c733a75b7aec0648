import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { root } from '../../docs/pages.js';

// The registry is a stand-in `npm` on PATH: no real one can be made to hold half a release.
const standIn = `#!${process.execPath}
const { appendFileSync, readFileSync } = require('node:fs');
const { registry, refuses, calls } = JSON.parse(readFileSync(__dirname + '/registry.json', 'utf8'));
const [command, subject] = process.argv.slice(2);
if (command === 'view') {
  if (registry === 'down') { console.log('{"error":{"code":"ECONNREFUSED"}}'); process.exit(1); }
  const integrity = registry[subject.slice(0, subject.lastIndexOf('@'))];
  if (integrity === undefined) { console.log('{"error":{"code":"E404"}}'); process.exit(1); }
  console.log(JSON.stringify(integrity));
} else {
  const name = subject.split('/').at(-1);
  appendFileSync(calls, process.argv.slice(2).join(' ').replace(subject, name) + '\\n');
  process.exit(name === refuses ? 1 : 0);
}
`;
const packages = { core: '@mtls-bound/core', 'express-mtls': 'express-mtls', 'koa-mtls': 'koa-mtls' };

let folder: string;
const integrities: Record<string, string> = {};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-publish-'));
  mkdirSync(join(folder, 'tarballs'));
  for (const [file, name] of Object.entries(packages)) {
    mkdirSync(join(folder, file, 'package'), { recursive: true });
    writeFileSync(join(folder, file, 'package/package.json'), JSON.stringify({ name, version: '1.0.0' }));
    const tarball = join(folder, 'tarballs', `${file}.tgz`);
    execFileSync('tar', ['-czf', tarball, '-C', join(folder, file), 'package']);
    integrities[name] = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`;
  }
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/npm'), standIn);
  chmodSync(join(folder, 'bin/npm'), 0o755);
});
afterEach(() => rmSync(folder, { recursive: true }));

function publish(registry: Record<string, string | undefined> | 'down', refuses?: string) {
  const calls = join(folder, 'calls');
  writeFileSync(join(folder, 'bin/registry.json'), JSON.stringify({ registry, refuses, calls }));
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(root, 'scripts/publish.mjs'), join(folder, 'tarballs')],
    { encoding: 'utf8', env: { PATH: `${join(folder, 'bin')}:${process.env.PATH}` } },
  );
  const published = existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : [];
  return { status, stderr, published };
}
const line = (name: string): string => `publish ${name}.tgz --ignore-scripts`;

it('publishes the core first, then the adapters', () => {
  const { status, published } = publish({});
  expect(status).toBe(0);
  expect(published).toEqual([line('core'), line('express-mtls'), line('koa-mtls')]);
});

it('completes a release that broke off: what the registry has with the same content is skipped', () => {
  const { status, published } = publish({ '@mtls-bound/core': integrities['@mtls-bound/core'] });
  expect(status).toBe(0);
  expect(published).toEqual([line('express-mtls'), line('koa-mtls')]);
});

it('publishes none of them where the registry has one with another content', () => {
  const { status, stderr, published } = publish({ 'koa-mtls': 'sha512-other' });
  expect([status, published]).toEqual([1, []]);
  expect(stderr).toContain('koa-mtls@1.0.0 is published with another content');
});

it('publishes none of them while the registry does not answer', () => {
  const { status, stderr, published } = publish('down');
  expect([status, published]).toEqual([1, []]);
  expect(stderr).toContain("the registry can't be asked about @mtls-bound/core@1.0.0");
});

it('stops at the package that the registry refuses', () => {
  const { status, stderr, published } = publish({}, 'express-mtls.tgz');
  expect([status, published]).toEqual([1, [line('core'), line('express-mtls')]]);
  expect(stderr).toContain('express-mtls@1.0.0 was not published');
});

it('publishes none of them where a tarball is missing', () => {
  rmSync(join(folder, 'tarballs/koa-mtls.tgz'));
  const { status, stderr, published } = publish({});
  expect([status, published]).toEqual([1, []]);
  expect(stderr).toContain('expected one tarball each of');
});
