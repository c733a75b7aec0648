// A module that a bundler does not see is missing in its bundle, and then a good client is refused for it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { filesUnder } from '../../support/files-under.js';

const packages = fileURLToPath(new URL('../../../packages', import.meta.url));
const sources = filesUnder(packages).filter(
  (path) => /^[^/]+\/src\/.*\.ts$/.test(path) && !path.startsWith('core/src/doctor/'),
);

/** The modules that are loaded late, by the file that loads them. */
const late = {
  'core/src/authorization-server/lazy-modules.ts': ['node-fetch', 'jose'],
  'core/src/certificate/lazy-x509.ts': ['reflect-metadata', './x509-library.js'],
};
const textOf = (path: string) => readFileSync(join(packages, path), 'utf8');

it('packages load modules by static imports, and those that only some options need in the form that bundlers see', () => {
  expect(sources.length).toBeGreaterThan(100);
  const unseen = /\b(?:require\(['"`]|createRequire|import\.meta|getBuiltinModule|new Worker\()/;
  expect(sources.filter((path) => unseen.test(textOf(path)))).toEqual([]);
  const found = sources.flatMap((path) => {
    // Not in a type or in a comment.
    const calls = textOf(path).match(/(?<!typeof |`)\bimport\([^)]*\)/g) ?? [];
    return calls.length === 0 ? [] : [[path, calls] as const];
  });
  expect(Object.fromEntries(found)).toEqual(
    Object.fromEntries(
      Object.entries(late).map(([path, names]) => [
        path,
        names.map((name) => `import(/* webpackMode: "eager" */ '${name}')`),
      ]),
    ),
  );
});

it('no module that is loaded late is imported at start-up too', () => {
  // What x509-library.ts imports is loaded with it.
  const names = Object.values(late)
    .flat()
    .filter((name) => name !== 'reflect-metadata');
  const imported = sources.flatMap((path) =>
    [...textOf(path).matchAll(/^(?:import|export) (?!type )(?:[^;]*? from )?'([^']+)';/gm)].map(
      ([, name = '']) => [path, name.replace(/^.*\/(?=x509-library)/, './')] as const,
    ),
  );
  expect(imported.length).toBeGreaterThan(300);
  expect(imported.filter(([, name]) => names.includes(name))).toEqual([]);
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
