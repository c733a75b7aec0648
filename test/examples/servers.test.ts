import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../support/authorization-server.js';
import { call } from '../support/calls.js';
import { createPki, type Pki } from '../support/pki.js';

let pki: Pki;
let server: TestAuthorizationServer;
let folder: string;

beforeAll(async () => {
  pki = await createPki();
  server = await startAuthorizationServer(pki);
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
  writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
  writeFileSync(join(folder, 'server.pem'), pki.server.cert);
  writeFileSync(join(folder, 'server.key'), pki.server.key);
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await server?.stop();
});

// As users run them: by plain Node, from the built packages, set up by the environment alone.
describe.each(['examples/express/server.js', 'examples/koa/server.js', 'test/packages/commonjs-app.cjs'])(
  '%s',
  (path) => {
    it('guards its routes', async () => {
      const program = spawn(process.execPath, [fileURLToPath(new URL(`../../${path}`, import.meta.url))], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          PATH: process.env.PATH,
          PORT: '0',
          MTLS_BOUND_ISSUER: server.issuer,
          MTLS_BOUND_CLIENT_ID: 'api',
          MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
          MTLS_BOUND_AUDIENCE: audience,
          MTLS_BOUND_CA_FILE: join(folder, 'ca.pem'),
          TLS_CERT_FILE: join(folder, 'server.pem'),
          TLS_KEY_FILE: join(folder, 'server.key'),
        },
      });
      try {
        const [line] = (await once(program.stdout, 'data')) as [Buffer];
        const api = { url: line.toString().trim() };
        const { alice } = testClients(pki);
        const token = await server.token(alice);
        expect((await call(pki, api, '/health')).status).toBe(200);
        const response = await call(pki, api, '/accounts', pki.alice).auth(token, { type: 'bearer' });
        expect(response.status).toBe(200);
        expect(response.body).toEqual({ client: 'alice', certificate: pki.alice.thumbprint });
        expect((await call(pki, api, '/accounts', pki.bob).auth(token, { type: 'bearer' })).status).toBe(401);
        const weak = await server.token({ ...alice, scope: 'payments:write' });
        expect((await call(pki, api, '/accounts', pki.alice).auth(weak, { type: 'bearer' })).status).toBe(
          403,
        );
      } finally {
        program.kill();
        await once(program, 'exit');
      }
    });
  },
);
