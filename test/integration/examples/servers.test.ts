import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fetch from 'node-fetch';
import { describe, expect, it, vi } from 'vitest';
import { audience, testClients } from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { beginRequest, endRequest, refusesConnections } from '../../support/requests-under-way.js';
import { useAuthorizationServer, useFolder } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
const folder = useFolder();
writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
writeFileSync(join(folder, 'server.pem'), pki.server.cert);
writeFileSync(join(folder, 'server.key'), pki.server.key);

// As users run them: by plain Node, from the built packages, set up by the environment alone.
function start(path: string, environment: Record<string, string> = {}) {
  return spawn(process.execPath, [fileURLToPath(new URL(`../../../${path}`, import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      MTLS_BOUND_ISSUER: server.issuer,
      MTLS_BOUND_CLIENT_ID: 'api',
      MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
      MTLS_BOUND_AUDIENCE: audience,
      PUBLIC_ORIGIN: audience,
      MTLS_BOUND_CA_FILE: join(folder, 'ca.pem'),
      TLS_CERT_FILE: join(folder, 'server.pem'),
      TLS_KEY_FILE: join(folder, 'server.key'),
      ...environment,
    },
  });
}

async function urlOf(program: ReturnType<typeof start>): Promise<string> {
  const [line] = (await once(program.stdout, 'data')) as [Buffer];
  return line.toString().trim();
}

const servers = ['examples/express/server.js', 'examples/koa/server.js'];

describe.each([...servers, 'test/integration/packages/commonjs-app.cjs'])('%s', (path) => {
  it('guards its routes', async () => {
    const program = start(path);
    try {
      const api = { url: await urlOf(program) };
      const { alice } = testClients(pki);
      const token = await server.token(alice);
      expect((await call(pki, api, '/health')).status).toBe(200);
      const response = await call(pki, api, '/accounts', pki.alice).auth(token, { type: 'bearer' });
      expect(response.status).toBe(200);
      expect(response.body).toEqual({ client: 'alice', certificate: pki.alice.thumbprint });
      expect((await call(pki, api, '/accounts', pki.bob).auth(token, { type: 'bearer' })).status).toBe(401);
      const weak = await server.token({ ...alice, scope: 'payments:write' });
      expect((await call(pki, api, '/accounts', pki.alice).auth(weak, { type: 'bearer' })).status).toBe(403);
    } finally {
      program.kill('SIGKILL');
      await once(program, 'exit');
    }
  });
});

describe.each([...servers, 'examples/express-dpop/server.js'])('%s, at SIGTERM', (path) => {
  it('refuses connections, answers the request under way, closes an idle connection, and exits with 0', async () => {
    const program = start(path);
    const exited = once(program, 'exit');
    const { ca, alice } = pki;
    const agent = new Agent({ ca: ca.cert, cert: alice.cert, key: alice.key, keepAlive: true });
    try {
      const url = await urlOf(program);
      const token = await server.token(testClients(pki).alice);
      const idle = await fetch(`${url}/health`, { agent });
      expect(await idle.text()).toBe('ok');
      const underWay = await beginRequest(pki, url, token);
      // The API has read the half request when it has answered a later one.
      expect((await fetch(`${url}/health`, { agent })).status).toBe(200);
      process.kill(Number(program.pid), 'SIGTERM');
      await vi.waitFor(async () => expect(await refusesConnections(url)).toBe(true), { timeout: 10_000 });
      expect(await endRequest(underWay)).toMatch(/^HTTP\/1\.1 200 [\s\S]*"client":"alice"/);
      expect(await exited).toEqual([0, null]);
    } finally {
      agent.destroy();
      program.kill('SIGKILL');
    }
  });

  it('closes a connection whose request never ends, after the deadline, and exits with 0', async () => {
    const program = start(path, { END_WITHIN: '500' });
    const exited = once(program, 'exit');
    try {
      const half = await beginRequest(pki, await urlOf(program), 'a');
      const closed = once(half, 'close');
      process.kill(Number(program.pid), 'SIGTERM');
      expect(await exited).toEqual([0, null]);
      await closed;
    } finally {
      program.kill('SIGKILL');
    }
  });
});
