// A listener of SIGTERM replaces the default, which ends the process. `server.close()` waits without limit for half a request and for
// a WebSocket, and `closeAllConnections()` does not reach a WebSocket: only `process.exit()` ends whatever is open. `mtls.close()`
// comes last: from then on the process receives no revocations, so it must not answer requests.
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
  [
    ...code.matchAll(/^( *)process\.(?:on|once)\('SIGTERM', (?:async )?\(\) =>(.*\n(?:(?:\1 +.*)?\n)*)/gm),
  ].map(([, , body = '']) => ({ name, body })),
);

/**
 * Accepts no more, waits up to a deadline, ends the connections, leaves the fleet within a limit, and exits even if that fails.
 * Nothing else waits.
 */
const steps = new RegExp(
  [
    String.raw`^ \{\n\s*try \{\n`,
    String.raw`await Promise\.race\(\[new Promise\(\(resolve\) => server\.close\(resolve\)\), wait\((?:endWithin|10_000)\)\]\);`,
    String.raw`server\.closeAllConnections(?:\?\.)?\(\);`,
    String.raw`await Promise\.race\(\[mtls\.close\(\), wait\(5_000\)\]\);`,
    String.raw`\} finally \{`,
    String.raw`process\.exit\(\);\s*\}\s*$`,
  ].join(String.raw`(?:\s|//.*\n)*`),
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
  const wrong = listeners.filter(({ body }) => !steps.test(body));
  expect(wrong).toEqual([]);
});
