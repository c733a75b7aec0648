import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { usage } from '../../packages/core/src/doctor/main.js';
import { remedies } from '../../packages/core/src/doctor/remedies.js';
import { RequestRefused, refusalCodes } from '../../packages/core/src/errors.js';
import { hintForStatus } from '../../packages/core/src/response/chain-hints.js';
import { root, textOf } from './pages.js';

/** The rows of the table under a heading, each as its cells. */
function tableUnder(page: string, heading: string): string[][] {
  const [, section = ''] = textOf(page).split(`\n## ${heading}\n`);
  const [own = ''] = section.split('\n## ');
  return own
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

const codesOf = (rows: readonly string[][]): string[] =>
  rows.flatMap(([first = '']) => [...first.matchAll(/`(\w+)`/g)].map(([, code = '']) => code));

/** The text of every source file of the core, but for those that `without` matches. */
function sources(folder: string, without: RegExp): string[] {
  return readdirSync(`${root}packages/core/src/${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !without.test(path))
    .map((path) => readFileSync(`${root}packages/core/src/${folder}${path}`, 'utf8'));
}

/** What functions of a name are called with first, in the whole of some sources. */
function firstArguments(name: RegExp, texts: readonly string[]): string[] {
  const call = new RegExp(
    `(?<!\\w|(?<!\\.\\.)\\.|function )${name.source}\\(\\s*((?:[^,()]|\\([^()]*\\))+?),`,
    'g',
  );
  return texts.flatMap((text) => [...text.matchAll(call)].map(([, first = '']) => first.trim()));
}

const literalsIn = (texts: readonly string[]): Set<string> =>
  new Set(texts.flatMap((text) => [...text.matchAll(/'(\w+)'/g)].map(([, code = '']) => code)));

describe('docs/reference/troubleshooting.md', () => {
  const refusals = tableUnder('docs/reference/troubleshooting.md', 'By code');
  const problems = tableUnder('docs/reference/troubleshooting.md', 'Problem codes');

  it('has a row for every code of a refusal, and for no other', () => {
    expect(codesOf(refusals)).toEqual(refusalCodes);
  });

  it.each([...refusals, ...problems])('%s: no cell is empty', (...cells) => {
    expect(cells.every((cell) => cell !== '')).toBe(true);
  });

  it('says what each refusal means, who fixes it and how, and what to do about each problem', () => {
    expect(new Set(refusals.map((cells) => cells.length))).toEqual(new Set([4]));
    expect(new Set(problems.map((cells) => cells.length))).toEqual(new Set([3]));
  });

  it('has a row for every code that is reported, and for no other', () => {
    const given = firstArguments(/(?:this\.#)?report/, sources('', /^doctor\//));
    const literals = literalsIn(given);
    // What has no code of its own: each 503, by the code of the refusal.
    expect(new Set(given.filter((first) => !first.includes("'")))).toEqual(new Set(['refusal.code']));
    expect(refusalCodes.filter((code) => new RequestRefused(code).status === 503).length).toBeGreaterThan(5);
    expect(codesOf(problems).toSorted()).toEqual([...literals].toSorted());
  });

  it.each(refusals)('the doctor says of %s what the page says', (...[code = '', , , how = '']) => {
    const plain = how.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '');
    expect(Object.entries(remedies)).toContainEqual([code.replaceAll('`', ''), plain]);
  });

  it('marks what is good news, and the page of metrics names the same', () => {
    const good = problems.filter(([, meaning]) => meaning?.startsWith('good news: ')).map(([code]) => code);
    expect(good).toEqual([
      '`authorization_server_resumed`',
      '`transmitter_resumed`',
      '`dpop_store_resumed`',
      '`shared_cache_resumed`',
      '`revocations_synced`',
      '`signal_poll_resumed`',
      '`signal_stream_set_up`',
      '`signal_stream_verified`',
    ]);
    const alert = textOf('docs/reference/observability.md')
      .split('\n')
      .find((line) => line.startsWith('| `mtls_bound_problems_total` rises'));
    expect(good.filter((code) => !alert?.includes(String(code)))).toEqual([]);
  });
});

describe('docs/reference/doctor.md', () => {
  const texts = sources('doctor/', /^$/);
  const isRefusal = (code: string) => refusalCodes.some((known) => known === code);
  // Some findings hand on the code of a problem that is compared with a text.
  const compared = texts.flatMap((text) => [...text.matchAll(/\bcode === '(\w+)'/g)].map(([, code]) => code));

  it('has every code of a problem or warning that the sources have, and no other', () => {
    const given = literalsIn(firstArguments(/(?:problem|warning|finding|brokenProof)/, texts));
    const isWell = (code: string) => literalsIn(firstArguments(/ok/, texts)).has(code);
    // The row of one hint stands for those of all statuses that are unknown.
    const ofStatus = hintForStatus('unreadable').code;
    const expected = [...new Set([...given, ...compared.map(String), ofStatus])].filter(
      (code) => !isRefusal(code) && !isWell(code),
    );
    const listed = codesOf(tableUnder('docs/reference/doctor.md', 'What it finds')).filter(
      (code) => !isRefusal(code),
    );
    expect(listed.toSorted()).toEqual(expected.toSorted());
  });

  it('has every code of what is well, and no other', () => {
    const [, line = ''] = /^What is well: (.*?)\.$/ms.exec(textOf('docs/reference/doctor.md')) ?? [];
    const listed = [...line.matchAll(/`(\w+)`/g)].map(([, code = '']) => code);
    expect(listed.toSorted()).toEqual([...literalsIn(firstArguments(/ok/, texts))].toSorted());
  });

  it('shows the usage as the command prints it', () => {
    expect(textOf('docs/reference/doctor.md')).toContain(`\`\`\`text\n${usage}\`\`\`\n`);
  });
});
