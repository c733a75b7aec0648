import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { usage } from '../../packages/core/src/doctor/main.js';
import { documentedOptions } from './option-table.js';
import { ofResourceServer } from './option-takers.js';
import { pages, root, textOf } from './pages.js';

interface Command {
  readonly page: string;
  /** A program and what it is given, without the values of variables before it. */
  readonly words: readonly string[];
}

const { scripts, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Lines that end in a backslash go on, a here-document is text. */
const linesOf = (block: string): string[] =>
  block
    .replaceAll(/\\\n\s*/g, ' ')
    .replaceAll(/<<(\w+)\n[\s\S]*?\n\1$/gm, '')
    .split('\n');

const wordsOf = (line: string): string[] => {
  // What stands in $(...) is a text within the word, and may hold quotes with parentheses.
  const word = /(?:'[^']*'|"[^"]*"|\$\((?:'[^']*'|"[^"]*"|[^)'"])*\)|[^\s'"])+/g;
  const words = line.match(word) ?? [];
  const start = words.findIndex((word) => !/^[A-Z_]+=/.test(word) && word !== '...');
  return start < 0 ? [] : words.slice(start);
};

const shellBlocksOf = (text: string): string[] =>
  [...text.matchAll(/^```(?:sh|bash|shell|console|zsh)\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);

const commands: readonly Command[] = pages.flatMap((page) => {
  const text = textOf(page);
  const inText = text
    .replaceAll(/^```[\s\S]*?^```/gm, '')
    .matchAll(/`((?:npx mtls-doctor|mtls-doctor|npm run|npm start) ?[^`]*)`/g);
  const lines = [...shellBlocksOf(text).flatMap(linesOf), ...[...inText].map(([, line = '']) => line)];
  return lines.map((line) => ({ page, words: wordsOf(line) })).filter(({ words }) => words.length > 0);
});

const ofProgram = (...names: string[]): { name: string; page: string; words: readonly string[] }[] =>
  commands
    .filter(({ words: [program = ''] }) => names.includes(program))
    .map(({ page, words }) => ({ name: `${page}: ${words.join(' ')}`, page, words }));

// Other people's, which their manuals are for; the proxies' are shown as the files that tests read.
const foreign = [
  ...['curl', 'az', 'gcloud', 'cat', 'openssl', 'install', 'nginx', 'sed'],
  ...['.', 'cd', 'chmod', 'cp', 'git', 'mkdir', 'printf', 'redis-server'],
];

it('every command is one that is looked at here, or not ours', () => {
  const known = ['npm', 'npx', 'mtls-doctor', 'node', 'bash', 'export', 'kc.sh', ...foreign];
  expect(commands.filter(({ words: [program = ''] }) => !known.includes(program))).toEqual([]);
  expect(commands.length).toBeGreaterThan(90);
});

// An interactive zsh, the shell of macOS, takes # for a command or an argument.
it('no block for a shell has a comment', () => {
  const withComment = pages.flatMap((page) =>
    shellBlocksOf(textOf(page))
      .flatMap((block) => block.split('\n'))
      .filter((line) => /(?:^|\s)#/.test(line))
      .map((line) => `${page}: ${line}`),
  );
  expect(withComment).toEqual([]);
});

describe('npm', () => {
  it.each(ofProgram('npm'))('$name', ({ words: [, command = '', ...rest] }) => {
    if (command === 'install') {
      const packed = ['express-mtls', 'mtls-bound-core'].map((name) => `~/mtls-bound-packed/${name}-*.tgz`);
      const ours = ['express-mtls', 'koa-mtls', ...packed];
      expect(rest.filter((name) => !ours.includes(name) && !(name in devDependencies))).toEqual([]);
      return;
    }
    const script = command === 'run' ? rest[0] : command;
    expect(scripts).toHaveProperty([String(script)]);
    if (script === 'bench') {
      const scenarios = rest.slice(1).filter((word) => !word.startsWith('-'));
      expect(scenarios.filter((name) => !existsSync(join(root, 'bench', `${name}.ts`)))).toEqual([]);
    }
  });
});

describe('mtls-doctor', () => {
  /** The usage, command by command. */
  const known = new Map(
    [...usage.matchAll(/^ {2}mtls-doctor (\w+)([\s\S]*?)(?=^ {2}mtls-doctor|\n\n)/gm)].map(
      ([, command, rest = '']) => [command, [...rest.matchAll(/--[a-z-]+/g)].map(([option]) => option)],
    ),
  );
  const always = ['--json', '--help'];

  it('says what its commands are', () => {
    expect([...known.keys()]).toEqual(expect.arrayContaining(['check', 'listen', 'probe']));
    expect(known.get('probe')).toEqual(expect.arrayContaining(['--url', '--direct']));
  });

  const doctors = ofProgram('npx', 'mtls-doctor').filter(({ words }) => words[1] !== 'vitest');
  it.each(doctors)('$name', ({ words }) => {
    const [command = 'check', ...rest] = words.slice(words.indexOf('mtls-doctor') + 1);
    expect(words).toContain('mtls-doctor');
    expect([...known.keys()]).toContain(command);
    const options = rest.filter((word) => word.startsWith('--'));
    expect([...always, ...(known.get(command) ?? [])]).toEqual(expect.arrayContaining(options));
  });
});

it.each(ofProgram('npx').filter(({ words }) => words[1] === 'vitest'))('$name', ({ words }) => {
  const [, , run, path = '', , title = ''] = words;
  expect([run, existsSync(join(root, path))]).toEqual(['run', true]);
  if (title !== '') {
    expect(readFileSync(join(root, path, 'binding.test.ts'), 'utf8')).toContain(title.slice(1, -1));
  }
});

describe('a file that is run', () => {
  it.each(ofProgram('node', 'bash'))('$name', ({ page, words: [, ...given] }) => {
    const [file = ''] = given[0] === '--import' ? given.slice(2) : given;
    const guides = ['docs/guides/getting-started.md', 'docs/guides/tls.md', 'docs/guides/fleet.md'];
    const ofReader =
      (guides.includes(page) && file === 'server.mjs') ||
      (page === 'docs/guides/fleet.md' && file === 'revoke.mjs');
    const places = [root, join(root, dirname(page))];
    expect(ofReader || places.some((place) => existsSync(join(place, file)))).toBe(true);
  });
});

describe('kc.sh', () => {
  const started = readFileSync(join(root, 'test/support/keycloak.ts'), 'utf8');

  it.each(ofProgram('kc.sh'))('$name: the tests of Keycloak run it so', ({ words }) => {
    const options = words.flatMap((word) => word.match(/^--[a-z-]+(?==)/) ?? []);
    expect(options).not.toHaveLength(0);
    expect(options.filter((option) => !started.includes(`${option}=`))).toEqual([]);
  });
});

it('every variable of ours that a page names is read', () => {
  const read = documentedOptions(ofResourceServer).map(({ variable }) => variable);
  const named = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\bMTLS_BOUND_[A-Z_]*[A-Z]\b/g)].map(([name]) => name),
  );
  expect(new Set(named)).toEqual(new Set(read.filter((variable) => variable !== undefined)));
});
