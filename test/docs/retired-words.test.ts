import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { root, textOf } from './pages.js';

/** Words that a reader whose first language is not English has to look up, or has to read twice. */
const retired = new RegExp(
  [
    String.raw`\b(?:[Mm]end(?:s|ed)?|[Aa]new|[Ww]hoever|[Nn]obody|[Ss]omebody|beside which)\b`,
    // A comment or a paragraph that can be understood only together with the one before it.
    String.raw`(?:/\*\*|^ *\*|//) The same\b`,
    String.raw`^The same\b`,
    String.raw`\. The same\b`,
  ].join('|'),
);

/** The words themselves are data here. */
const exceptions = ['test/docs/retired-words.test.ts'];

const texts = /\.(?:[cm]?[jt]sx?|md|json|ya?ml|tf|conf|html|sh)$/;
const folders = ['packages', 'docs', 'examples', 'test', 'bench', 'scripts'];
const files = folders
  .flatMap((folder) =>
    readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' }).map((path) => `${folder}/${path}`),
  )
  .filter((path) => texts.test(path) && !/(?:^|\/)(?:node_modules|dist|build|\.[^/]+)\//.test(path))
  .filter((path) => !exceptions.includes(path));

it('no page, comment, message or test title uses a retired word', () => {
  const found = [...files, 'README.md', 'SECURITY.md', 'CONTRIBUTING.md'].flatMap((path) =>
    textOf(path)
      .split('\n')
      .flatMap((line, index) => (retired.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
  expect(files.length).toBeGreaterThan(400);
  expect(found).toEqual([]);
});
