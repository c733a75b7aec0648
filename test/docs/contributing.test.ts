import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { filesUnder } from '../support/files-under.js';
import { root, textOf } from './pages.js';

const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
const textOfTest = (path: string) => readFileSync(`${root}test/${path}`, 'utf8');

it('npm run fuzz runs every file that has a property, and each can be tried more often', () => {
  const withProperties = filesUnder(`${root}test`).filter(
    (path) => path.endsWith('.test.ts') && /^import fc from 'fast-check'/m.test(textOfTest(path)),
  );
  const fuzzed = [...(scripts.fuzz ?? '').matchAll(/test\/(\S+\.test\.ts)/g)].map(([, path]) => path);
  expect(fuzzed.toSorted()).toEqual(withProperties);
  expect(withProperties.filter((path) => textOfTest(path).includes('numRuns'))).toEqual([]);
});

it('the page names scripts that there are', () => {
  const named = [...textOf('CONTRIBUTING.md').matchAll(/`npm run ([\w:-]+)/g)].map(([, name]) => name);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((name) => scripts[name ?? ''] === undefined)).toEqual([]);
});

it('each test is in one of the suites', () => {
  const tests = filesUnder(`${root}test`).filter((path) => path.endsWith('.test.ts'));
  expect(tests.length).toBeGreaterThan(200);
  expect(tests.filter((path) => !/^(?:unit|integration)\/[\w-]+\/|^docs\//.test(path))).toEqual([]);
});
