import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { filesUnder } from '../support/files-under.js';
import { root, textOf } from './pages.js';

/** Words that a reader whose first language is not English has to look up, or has to read twice. */
const retired = new RegExp(
  [
    String.raw`\b(?:[Mm]end(?:s|ed|ing)?|[Aa]new|[Ww]hoever|[Nn]obody|[Ss]omebody|beside which)\b`,
    // A sentence that can be understood only together with the one before it, also at the start of
    // a list item, a table cell, a heading or a text in code.
    String.raw`(?:^|/\*\*|\*|//|[-|#>.!?:'"${'`'}])\s*The same\b`,
  ].join('|'),
);

/** Comments and messages name their actor: the client, this API, another process. */
const withoutActor = /(?<![\w'-])(?:[Ww]e|[Oo]urs?|us)(?![\w'-])/;

/** The words themselves are data here. */
const exceptions = ['test/docs/retired-words.test.ts'];

const folders = ['packages', 'docs', 'examples', 'test', 'bench', 'scripts', '.github'];
const files = [
  ...readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('pnpm-lock'))
    .map(({ name }) => name),
  ...folders.flatMap((folder) => filesUnder(`${root}${folder}`).map((path) => `${folder}/${path}`)),
]
  .filter((path) => !/\/(?:results|recorded)\//.test(path))
  .filter((path) => !exceptions.includes(path));

/** Whether a file is text, whatever its ending. */
const isText = (path: string): boolean => !readFileSync(`${root}${path}`).subarray(0, 8_000).includes(0);

function linesWith(words: RegExp, paths: readonly string[]): string[] {
  return paths.filter(isText).flatMap((path) =>
    textOf(path)
      .split('\n')
      .flatMap((line, index) => (words.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

it('every text of the repository is read', () => {
  expect(files.length).toBeGreaterThan(800);
  expect(files).toEqual(
    expect.arrayContaining([
      'README.md',
      'packages/core/src/index.ts',
      'packages/express-mtls/README.md',
      'docs/guides/fapi.md',
      'docs/reference/proxies/nginx.md',
      'examples/proxies/nginx/nginx.conf',
      'test/unit/binding/binding.test.ts',
    ]),
  );
});

it('no page, comment, message or test title uses a retired word', () => {
  expect(linesWith(retired, files)).toEqual([]);
});

it('each comment and message of the packages names its actor', () => {
  const sources = files.filter((path) => /^packages\/[^/]+\/(?:src|bin)\//.test(path));
  expect(sources.length).toBeGreaterThan(100);
  expect(linesWith(withoutActor, sources)).toEqual([]);
});

describe('the check', () => {
  it.each([
    'Nobody is asked.',
    'It mends what it can.',
    'Whoever has the key may call.',
    'The token is asked about anew.',
    'The same, but for one scope.',
    '/** The same for one of the scopes. */',
    '   * The same in Koa.',
    '// The same again.',
    '| The same as above |',
    '- The same with Redis.',
    'It is cached. The same goes for keys.',
    "it('The same over HTTP/2', () => {})",
  ])('finds %j', (line) => {
    expect(retired.test(line)).toBe(true);
  });

  it.each([
    'One of the amended texts is renewed.',
    'Both get the same answer. At the same time a third one waits.',
  ])('accepts %j', (line) => {
    expect(retired.test(line)).toBe(false);
  });

  it.each(['a key of ours', '// We ask again.', 'our own certificate', 'it asks us'])(
    'finds no actor in %j',
    (line) => {
      expect(withoutActor.test(line)).toBe(true);
    },
  );

  it.each(["'revocation_log_not_ours'", 'your own policy', 'within 500 us-east', 'hours'])(
    'accepts %j in a source',
    (line) => {
      expect(withoutActor.test(line)).toBe(false);
    },
  );
});
