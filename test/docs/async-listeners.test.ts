// Node ends the process when the promise of an async listener rejects. Users copy what the pages and examples show, so
// each async listener there begins with `try`.
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { blocks } from './blocks.js';
import { root, textOf } from './pages.js';

// The argument of `server.close()` is no listener of requests: the process ends after it in either case.
const asyncListener =
  /\b(createServer|createSecureServer|on|once|addListener|prependListener|setInterval|setTimeout)\([^\n]*?\basync\b[^\n]*?=> *\{?\n?\s*(\S+)/g;

/** The listeners of a text, each by what it is given to and by its first word. */
const listenersIn = (text: string): string[] =>
  [...text.matchAll(asyncListener)].map(([, giver, first]) => `${giver}: ${first}`);

const examples = readdirSync(`${root}examples`, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.[jt]s$/.test(path))
  .map((path) => `examples/${path}`);
const shown = [
  ...blocks.map(({ name, code }) => [name, code] as const),
  ...examples.map((path) => [path, textOf(path)] as const),
];

it('each async listener that the pages and examples show catches its errors', () => {
  const found = shown.flatMap(([name, code]) => listenersIn(code).map((listener) => `${name}: ${listener}`));
  expect(found).toContain('packages-core-README-md-1: createServer: try');
  expect(found.filter((listener) => !listener.endsWith(': try'))).toEqual([]);
});

it.each([
  [
    'createServer(tls, async (req, res) => {\n  res.end(await answer(req));\n});',
    ['createServer: res.end(await'],
  ],
  ["stream.on('data', async (chunk) => {\n  try {\n", ['on: try']],
  ['setInterval(async () => {\n  await read();\n}, 1_000);', ['setInterval: await']],
  ["process.once('SIGTERM', () => {\n  server.close(async () => {\n", []],
])('reads %j', (text, listeners) => {
  expect(listenersIn(text)).toEqual(listeners);
});
