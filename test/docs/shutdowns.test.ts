// A listener of SIGTERM replaces the default, which ends the process. `server.close()` waits without limit for half a request and for
// a WebSocket, and `closeAllConnections()` does not reach a WebSocket. A server of `node:http2` has none.
import { expect, it } from 'vitest';
import { filesUnder } from '../support/files-under.js';
import { blocks } from './blocks.js';
import { root, textOf } from './pages.js';

const shown = [
  ...blocks.map(({ name, code }) => [name, code] as const),
  ...filesUnder(`${root}examples`)
    .filter((path) => /\.m?[jt]s$/.test(path))
    .map((path) => [`examples/${path}`, textOf(`examples/${path}`)] as const),
];

/** What each listener of SIGTERM does, with the place that shows it. */
const listeners = shown.flatMap(([name, code]) =>
  [...code.matchAll(/^( *)process\.(?:on|once)\('SIGTERM', \(\) =>(.*\n(?:(?:\1 +.*)?\n)*)/gm)].map(
    ([, , body = '']) => ({ name, body }),
  ),
);

it('each end that the pages and examples show has a deadline, and ends the process whatever is open', () => {
  expect(listeners.map(({ name }) => name)).toEqual([
    expect.stringMatching(/^docs-guides-fleet-md-/),
    'examples/cluster/server.js',
    'examples/express-dpop/server.js',
    'examples/express-pki/server.js',
    'examples/express/server.js',
    'examples/koa/server.js',
  ]);
  const wrong = listeners.filter(
    ({ body }) =>
      !/await mtls\.close\(\);[\s\S]*process\.exit\(\);[\s\S]*server\.close\(end\);[\s\S]*setTimeout\(end,/.test(
        body,
      ) || body.includes('Connections('),
  );
  expect(wrong).toEqual([]);
});
