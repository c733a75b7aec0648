import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { answer, type FaultyServer, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';

const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-environment-'));
const authority = join(folder, 'ca.pem');
let pki: Pki;
let server: FaultyServer;
beforeAll(async () => {
  pki = await createPki();
  server = await startFaultyServer(pki);
  server.introspection = answer(200, { active: false });
});
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true });
});

const core = new URL('../../../packages/core/dist/index.js', import.meta.url).href;

/** What becomes of a token in a process with this environment, which does not know the server's authority. */
async function outcome(environment: NodeJS.ProcessEnv): Promise<string> {
  const program = `
    const { createResourceServer } = await import(${JSON.stringify(core)});
    const server = createResourceServer({ issuer: ${JSON.stringify(server.issuer)}, audience: 'api',
      clientId: 'api', clientSecret: 'a-secret', binding: 'when-bound', certificate: () => undefined });
    const rawHeaders = ['Authorization', 'Bearer a-token'];
    const req = { url: '/', method: 'GET', headers: {}, rawHeaders, socket: {} };
    try { await server.authorize(req); } catch (error) { console.log(error.code); }
    await server.close();`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    env: { ...process.env, NODE_ENV: 'test', ...environment },
  });
  const [told] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return told.trim();
}

it('NODE_TLS_REJECT_UNAUTHORIZED=0 has no certificate of an authorization server believed', async () => {
  expect(await outcome({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toBe('authorization_server_unreachable');
});

it('the same process believes a certificate whose authority it knows', async () => {
  writeFileSync(authority, pki.ca.cert);
  const environment = { NODE_TLS_REJECT_UNAUTHORIZED: '0', MTLS_BOUND_CA_FILE: authority };
  expect(await outcome(environment)).toBe('token_inactive');
});
