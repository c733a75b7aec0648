// What the site has on its left: docs/README.md leads there as it does in the repository.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

interface Item {
  readonly text: string;
  readonly link: string;
  readonly items?: Item[];
  readonly collapsed?: boolean;
}
interface Group {
  readonly text: string;
  readonly items: Item[];
}

/** Returns where the site has a page of the repository: the README first, the pages of docs below it. */
export function sitePathOf(page: string): string {
  return page === 'docs/README.md'
    ? 'docs.md'
    : page.replace(/^docs\//, '').replace(/(^|\/)README\.md$/, '$1index.md');
}

/** Returns the link of the site to a page of the repository. */
export function siteLinkTo(page: string): string {
  return `/${sitePathOf(page)
    .replace(/(^|\/)index\.md$/, '$1')
    .replace(/\.md$/, '')}`;
}

const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');

/** The folder of a README in docs has pages of its own. */
function pagesNextTo(page: string): Item[] {
  const folder = dirname(page);
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md') && name !== 'README.md')
    .toSorted()
    .map((name) => {
      const [, title = name] = /^# (.+)$/m.exec(textOf(`${folder}/${name}`)) ?? [];
      return { text: title.replaceAll('`', ''), link: siteLinkTo(`${folder}/${name}`) };
    });
}

function itemOf(text: string, target: string): Item {
  const page = posix.join('docs', target);
  const item = { text, link: siteLinkTo(page) };
  return /^docs\/.+\/README\.md$/.test(page) ? { ...item, items: pagesNextTo(page), collapsed: true } : item;
}

/** The sections of docs/README.md, each with the pages that it links to first in a row or line of its own. */
export const navigation: Group[] = textOf('docs/README.md')
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    text: section.slice(0, section.indexOf('\n')),
    items: [...section.matchAll(/^(?:\| |- )\[([^\]]+)\]\(([^)#]+\.md)\)/gm)].map(
      ([, text = '', target = '']) => itemOf(text.replaceAll('`', ''), target),
    ),
  }));
