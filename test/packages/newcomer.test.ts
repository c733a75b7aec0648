import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
// @ts-expect-error: a script without types
import { emptyProject, pack } from '../../scripts/pack.mjs';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../support/authorization-server.js';
import { call } from '../support/calls.js';
import { close, listen } from '../support/loopback.js';
import { createPki, type Pki } from '../support/pki.js';

let pki: Pki;
let server: TestAuthorizationServer;
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-newcomer-'));
const project = join(folder, 'project');

beforeAll(async () => {
  pki = await createPki();
  server = await startAuthorizationServer(pki);
  emptyProject(project, pack(join(folder, 'tarballs')), ['express']);
}, 180_000);
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

async function freePort(): Promise<number> {
  const probe = createServer();
  const port = await listen(probe);
  await close(probe);
  return port;
}

it('from an empty folder and the tarballs to a guarded route, by the README alone', async () => {
  const [, program = ''] = /`server\.mjs`:\n\n```js\n([\s\S]*?)```/.exec(readme) ?? [];
  const port = await freePort();
  expect(program).toContain('.listen(8443)');
  // A test may not listen to the world, nor on a port that may be taken.
  writeFileSync(
    join(project, 'server.mjs'),
    program.replace('.listen(8443)', `.listen(${port}, '127.0.0.1')`),
  );
  writeFileSync(join(project, 'server.pem'), pki.server.cert);
  writeFileSync(join(project, 'server.key'), pki.server.key);
  writeFileSync(join(project, 'ca.pem'), pki.ca.cert);
  const environment: Record<string, string> = {
    MTLS_BOUND_ISSUER: server.issuer,
    MTLS_BOUND_AUDIENCE: audience,
    MTLS_BOUND_CLIENT_ID: 'api',
    MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
  };
  // What the README tells to set, and nothing else; but for the authority of this test's own server.
  expect([...readme.matchAll(/^export (\w+)=/gm)].map(([, name]) => name)).toEqual(Object.keys(environment));
  const env = { ...environment, MTLS_BOUND_CA_FILE: join(project, 'ca.pem') };
  const child = spawn(process.execPath, ['--no-warnings', 'server.mjs'], {
    cwd: project,
    env,
    stdio: 'inherit',
  });
  const ended = once(child, 'exit');
  try {
    const api = { url: `https://127.0.0.1:${port}` };
    const token = await server.token(testClients(pki).alice);
    const status = async (identity?: typeof pki.alice) =>
      call(pki, api, '/accounts', identity)
        .auth(token, { type: 'bearer' })
        .then(
          (answer) => answer.status,
          () => 0,
        );
    await expect.poll(() => status(pki.alice), { timeout: 20_000 }).toBe(200);
    expect(await status(pki.bob)).toBe(401);
    expect(await status()).toBe(401);
  } finally {
    child.kill();
    await ended;
  }
  // The authorization server is in this very process, which must not wait for the command.
  const { stdout } = await promisify(execFile)('npx', ['mtls-doctor', 'check'], {
    cwd: project,
    env: { ...process.env, ...env },
  });
  expect(stdout).toContain('answers our questions about tokens');
}, 120_000);
