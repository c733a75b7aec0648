import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pages, root, textOf } from './pages.js';

/** As GitHub makes anchors of headings. */
const anchorsOf = (page: string): Set<string> =>
  new Set(
    [...textOf(page).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) =>
      heading
        .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );

const linksOf = (page: string): string[] =>
  [
    ...textOf(page)
      .replace(/```[\s\S]*?```/g, '')
      .matchAll(/\]\(([^)\s]+)\)/g),
  ].map(([, target = '']) => target);

describe.each(pages)('%s', (page) => {
  it('has no dead links to what is here', () => {
    const dead = linksOf(page).filter((target) => {
      if (/^[a-z]+:/.test(target)) {
        return !URL.canParse(target) || target.startsWith('http:');
      }
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : normalize(join(dirname(page), path));
      if (!existsSync(join(root, file))) {
        return true;
      }
      return anchor !== undefined && (!statSync(join(root, file)).isFile() || !anchorsOf(file).has(anchor));
    });
    expect(dead).toEqual([]);
  });
});
