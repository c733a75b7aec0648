import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { root, textOf } from '../../docs/pages.js';

const manifestOf = (name: string) =>
  JSON.parse(readFileSync(`${root}packages/${name}/package.json`, 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
const page = textOf('docs/architecture.md');
const [, section = ''] = page.split('## Runtime dependencies');

describe.each(['core', 'express-mtls', 'koa-mtls'])('packages/%s', (name) => {
  it('depends on one exact version of each, and on our own of the same release', () => {
    for (const [dependency, version] of Object.entries(manifestOf(name).dependencies)) {
      expect([dependency, version]).toEqual([
        dependency,
        expect.stringMatching(dependency.startsWith('@mtls-bound/') ? /^workspace:\*$/ : /^\d+\.\d+\.\d+$/),
      ]);
    }
  });
});

it('the page gives a reason for each dependency, and for no other', () => {
  const named = [...section.matchAll(/^\| (?!package|---)([^|]+) \|/gm)].flatMap(([, cell = '']) => [
    ...cell.replace(/, which it needs,/, '').matchAll(/@?[\w.-]+(?:\/[\w.-]+)?/g),
  ]);
  const names = named.map(([name]) => name).filter((name) => name !== 'with' && name !== 'and');
  expect(names.toSorted()).toEqual(Object.keys(manifestOf('core').dependencies).toSorted());
});
