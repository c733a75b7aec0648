import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { audience, testClients } from '../../support/authorization-server.js';
import { freePort } from '../../support/background-program.js';
import { call } from '../../support/calls.js';
import { describeReal } from '../../support/programs.js';
import { type RealProxy, startProxy } from '../../support/real-proxies.js';
import { useAuthorizationServer, useFolder } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
const folder = useFolder();
writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
const secret = 'the-secret-of-nginx-and-the-api';
const path = fileURLToPath(new URL('../../../examples/express-behind-nginx/server.mjs', import.meta.url));

// As a user runs it: plain Node, from the built packages, set up by the environment and options.mjs alone.
async function start(port: number): Promise<ReturnType<typeof spawn>> {
  const program = spawn(process.execPath, [path], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      PORT: String(port),
      PROXY_SECRET: secret,
      MTLS_BOUND_ISSUER: server.issuer,
      MTLS_BOUND_CLIENT_ID: 'api',
      MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
      MTLS_BOUND_AUDIENCE: audience,
      MTLS_BOUND_CA_FILE: join(folder, 'ca.pem'),
    },
  });
  await once(program.stdout, 'data');
  return program;
}

describeReal('nginx', 'examples/express-behind-nginx', () => {
  let program: ReturnType<typeof spawn>;
  let proxy: RealProxy;
  let past: { url: string };
  let through: { url: string };

  beforeAll(async () => {
    const port = await freePort();
    program = await start(port);
    proxy = await startProxy({ program: 'nginx', config: 'nginx/nginx.conf', pki, upstream: port, secret });
    past = { url: `http://127.0.0.1:${port}` };
    through = { url: `https://127.0.0.1:${proxy.port}` };
  }, 30_000);
  afterAll(async () => {
    await proxy?.close();
    program?.kill('SIGKILL');
  });

  it('accepts a token through NGINX with its certificate, and no other certificate', async () => {
    const token = await server.token(testClients(pki).alice);
    const status = async (identity?: typeof pki.alice) =>
      (await call(pki, through, '/accounts', identity).auth(token, { type: 'bearer' })).status;
    expect([await status(pki.alice), await status(pki.bob), await status()]).toEqual([200, 401, 401]);
  });

  it('answers the health check without a token and without a certificate', async () => {
    expect((await call(pki, through, '/health')).status).toBe(200);
  });

  it('does not believe the header of a client, through NGINX or past it', async () => {
    const token = await server.token(testClients(pki).alice);
    const header = encodeURIComponent(pki.alice.cert);
    const forged = (api: { url: string }) =>
      call(pki, api, '/accounts').auth(token, { type: 'bearer' }).set('X-SSL-Client-Cert', header);
    expect((await forged(through)).status).toBe(401);
    expect((await forged(past)).status).toBe(401);
    // With the secret of NGINX the same request is believed: it is the secret that stops the client.
    expect((await forged(past).set('X-Proxy-Secret', secret)).status).toBe(200);
  });
});
