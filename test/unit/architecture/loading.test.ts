// A module that is loaded late is missing in a bundle, and then a good client is refused for it. All are imported at start-up.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const packages = fileURLToPath(new URL('../../../packages', import.meta.url));
const sources = readdirSync(packages, { recursive: true, encoding: 'utf8' }).filter(
  (path) => /^[^/]+\/src\/.*\.ts$/.test(path) && !path.startsWith('core/src/doctor/'),
);

it('packages load all modules by static imports, but for the file that mtls-doctor is given', () => {
  expect(sources.length).toBeGreaterThan(100);
  const late = /\b(?:import\(|require\(['"`]|createRequire|import\.meta|getBuiltinModule|new Worker\()/;
  expect(sources.filter((path) => late.test(readFileSync(join(packages, path), 'utf8')))).toEqual([]);
});

it('one module alone imports @peculiar/x509, behind what that needs, and bundlers keep it', () => {
  const importing = sources.filter((path) => {
    const text = readFileSync(join(packages, path), 'utf8');
    return /from '@peculiar\/x509'|import 'reflect-metadata'/.test(text);
  });
  expect(importing).toEqual(['core/src/certificate/x509-library.ts']);
  const text = readFileSync(join(packages, 'core/src/certificate/x509-library.ts'), 'utf8');
  expect(text.indexOf("import 'reflect-metadata'")).toBeLessThan(text.indexOf("from '@peculiar/x509'"));
  const { sideEffects } = JSON.parse(readFileSync(join(packages, 'core/package.json'), 'utf8')) as {
    sideEffects: string[];
  };
  expect(sideEffects).toEqual([
    './dist/certificate/x509-library.js',
    './dist/cjs/certificate/x509-library.js',
  ]);
});
