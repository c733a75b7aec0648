// Node ends the process when the promise of an async listener rejects, or of an async handler of Express 4, and when a WebSocket emits
// `error` without a listener. Users copy what the pages and examples show, so each async listener and handler there begins with
// `try`, and each WebSocket has a listener first.
import { expect, it } from 'vitest';
import { filesUnder } from '../support/files-under.js';
import { blocks } from './blocks.js';
import { root, textOf } from './pages.js';

// The argument of `server.close()` is no listener of requests: the process ends after it in either case.
const asyncListener =
  /\b(createServer|createSecureServer|on|once|addListener|prependListener|setInterval|setTimeout)\([^\n]*?\basync\b[^\n]*?=> *\{?\n?\s*(\S+)/g;

// A block for Koa has handlers too, of which Koa catches the errors.
const asyncHandler =
  /\.(all|delete|get|head|options|patch|post|put|use)\([^;]*?\basync \((?:_?req|error)\b[^\n]*?=> *\{?\n?\s*(\S+)/g;

/** The callback of ws for a WebSocket that is open. */
const openWebSocket = /\b(handleUpgrade)\([^\n]*?=> *\{?\n?\s*(\S+)/g;

const matchesOf = (pattern: RegExp, text: string): string[] =>
  [...text.matchAll(pattern)].map(([, giver, first]) => `${giver}: ${first}`);

/** The listeners of a text, each by what it is given to and by its first word. */
const listenersIn = (text: string): string[] => matchesOf(asyncListener, text);

const foundBy = (find: (text: string) => string[]): string[] =>
  shown.flatMap(([name, code]) => find(code).map((found) => `${name}: ${found}`));

const examples = filesUnder(`${root}examples`)
  .filter((path) => /\.[jt]s$/.test(path))
  .map((path) => `examples/${path}`);
const shown = [
  ...blocks.map(({ name, code }) => [name, code] as const),
  ...examples.map((path) => [path, textOf(path)] as const),
];

it('each async listener that the pages and examples show catches its errors', () => {
  const found = foundBy(listenersIn);
  expect(found).toContain('docs-guides-getting-started-md-7: createServer: try');
  expect(found.filter((listener) => !listener.endsWith(': try'))).toEqual([]);
});

it('each async handler of Express that the pages and examples show catches its errors', () => {
  const found = foundBy((text) => matchesOf(asyncHandler, text));
  expect(found).toContain('docs-guides-streams-md-3: get: try');
  expect(found.filter((handler) => !handler.endsWith(': try'))).toEqual([]);
});

it('each WebSocket that the pages and examples show has a listener for errors first', () => {
  const found = foundBy((text) => matchesOf(openWebSocket, text));
  expect(found).toContain("docs-guides-streams-md-5: handleUpgrade: webSocket.on('error',");
  expect(found.filter((first) => !first.endsWith(": webSocket.on('error',"))).toEqual([]);
});

it.each([
  ["app.get('/a', async (req, res) => {\n  res.send(await b());\n});", ['get: res.send(await']],
  ["app.post('/a', requireScopes('b'), async (_req, res) => {\n  try {", ['post: try']],
  ["app.get(\n  '/a',\n  guarded(async (req, res) => res.send(await b())),\n);", ['get: res.send(await']],
  ['app.use(async (ctx, next) => {\n  await next();\n});', []],
])('reads the handlers of %j', (text, handlers) => {
  expect(matchesOf(asyncHandler, text)).toEqual(handlers);
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
