// A page that names an option by its path, as `cache.maxAge`, names one that exists.
import { expect, it } from 'vitest';
import { documentedOptions } from './option-table.js';
import { ofFunctions, ofResourceServer } from './option-takers.js';
import { pages, textOf } from './pages.js';

const paths = [ofResourceServer, ...ofFunctions].flatMap(documentedOptions).map(({ path }) => path);
/** A page may leave out the function or the group that it is about: `poll.wait`, `san.ip`. */
const isOption = (path: string): boolean => paths.some((one) => one === path || one.endsWith(`.${path}`));

/**
 * The names of groups of options, and of the functions that take options. `claims` alone are those of a token, as
 * `claims.acr`.
 */
const groups = new Set(
  paths.flatMap((path) => path.split('.').slice(0, -1)).filter((name) => name !== 'claims'),
);

const read = pages.filter((path) => path.endsWith('README.md') || /^docs\/(?!reference\/api\.md)/.test(path));

/** The paths in code of one line, also in front of a value: `cache.maxAge: 0`. */
function pathsIn(text: string): string[] {
  const prose = text.replaceAll(/^ *```[\s\S]*?^ *```/gm, '');
  return [...prose.matchAll(/`((?:\w+(?:\(\))?\.)+\w+)(?::[^`]*)?`/g)].map(([, path = '']) => path);
}

it.each(read)('each path of an option in %s exists', (page) => {
  const named = pathsIn(textOf(page)).filter((path) => groups.has(path.split('.')[0] ?? ''));
  expect(named.filter((path) => !isOption(path))).toEqual([]);
});

it('the paths are found', () => {
  expect(
    pathsIn('Set `cache.maxAge: 0` or\n`sharedSignals().poll.wait`.\n```js\n`cache.age`\n```\n'),
  ).toEqual(['cache.maxAge', 'sharedSignals().poll.wait']);
  const found = read.flatMap((page) => pathsIn(textOf(page))).filter(isOption);
  expect(new Set(found).size).toBeGreaterThan(60);
});
