// dist/cjs, which loaders get that can't require ES modules.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { root } from '../../docs/pages.js';

const require = createRequire(import.meta.url);
const packages = join(root, 'packages');

describe.each([
  ['core', 'index.js'],
  ['core', 'testing/index.js'],
  ['core', 'observe/opentelemetry.js'],
  ['express-mtls', 'index.js'],
  ['express-mtls', 'testing.js'],
  ['express-mtls', 'opentelemetry.js'],
  ['koa-mtls', 'index.js'],
  ['koa-mtls', 'testing.js'],
  ['koa-mtls', 'opentelemetry.js'],
])('packages/%s, %s', (name, entry) => {
  const esm = join(packages, name, 'dist', entry);
  const cjs = join(packages, name, 'dist/cjs', entry);

  it('has the exports of the ES module', async () => {
    const expected = Object.keys((await import(pathToFileURL(esm).href)) as object).sort();
    expect(expected).not.toEqual([]);
    expect(Object.keys(require(cjs) as object).sort()).toEqual(expected);
  });

  it('has its types', () => {
    const types = (file: string) => readFileSync(file.replace(/\.js$/, '.d.ts'), 'utf8');
    expect(types(cjs)).toBe(types(esm));
  });
});

it('requires no ES module but the copies in vendor, each with its licence', () => {
  const folder = join(packages, 'core/dist/cjs');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const code = files
    .filter((file) => file.endsWith('.js'))
    .map((file) => readFileSync(join(folder, file), 'utf8'));
  // Nothing is imported: Jest can't.
  expect(code.filter((text) => /\bimport\(/.test(text))).toEqual([]);
  const vendored = readdirSync(join(folder, 'vendor')).filter((file) => file.endsWith('.js'));
  expect(vendored).toEqual(['jose.js', 'node-fetch.js', 'oauth4webapi.js']);
  const licences = readFileSync(join(folder, 'vendor/LICENSES.txt'), 'utf8');
  for (const name of vendored.map((file) => file.replace('.js', ''))) {
    const required = new RegExp(`require\\([^)]*"${name}"`);
    expect(code.filter((text) => required.test(text))).toEqual([]);
    expect(licences).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\([\\w.-]+\\)\\n\\n\\S`, 'm'));
  }
});
