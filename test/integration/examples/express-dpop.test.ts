import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { audience, testClients } from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { dpopClient, type ProofChanges } from '../../support/dpop-client.js';
import { useAuthorizationServer, useFolder } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
const folder = useFolder();
const path = fileURLToPath(new URL('../../../examples/express-dpop/server.js', import.meta.url));

function start(): ReturnType<typeof spawn> {
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  return spawn(process.execPath, [path], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      PUBLIC_ORIGIN: audience,
      MTLS_BOUND_ISSUER: server.issuer,
      MTLS_BOUND_CLIENT_ID: 'api',
      MTLS_BOUND_CLIENT_SECRET: server.secrets.api,
      MTLS_BOUND_AUDIENCE: audience,
      MTLS_BOUND_CA_FILE: file('ca.pem', pki.ca.cert),
      TLS_CERT_FILE: file('server.pem', pki.server.cert),
      TLS_KEY_FILE: file('server.key', pki.server.key),
    },
  });
}

describe('examples/express-dpop', () => {
  const phone = dpopClient();
  let program: ReturnType<typeof spawn>;
  let api: { url: string };
  let token: string;

  beforeAll(async () => {
    program = start();
    const [line] = (await once(program.stdout as never, 'data')) as [Buffer];
    api = { url: line.toString().trim() };
    const claims = { htm: 'POST', htu: `${server.issuer}/token`, ath: undefined };
    token = await server.token({
      clientId: 'phone',
      secret: 'the-secret-of-the-phone',
      scope: 'accounts:read',
      proof: phone.proof('', { claims }),
    });
  }, 30_000);
  afterAll(() => program?.kill('SIGKILL'));

  const proofBy = (client: typeof phone, claims: ProofChanges['claims'] = {}): string =>
    client.proof(token, { claims: { htu: `${audience}/accounts`, ...claims } });
  const send = (proof: string, scheme = 'DPoP') =>
    call(pki, api, '/accounts').set('Authorization', `${scheme} ${token}`).set('DPoP', proof);

  it('accepts the token of a phone with a proof by its key, once', async () => {
    const proof = proofBy(phone);
    const { status, body } = await send(proof);
    expect([status, body]).toEqual([200, { client: 'phone', key: phone.jkt }]);
    const replayed = await send(proof);
    expect([replayed.status, replayed.body.error]).toEqual([401, 'invalid_dpop_proof']);
  });

  it('refuses a proof by another key or for another URL, and the token under Bearer', async () => {
    expect((await send(proofBy(dpopClient()))).status).toBe(401);
    expect((await send(proofBy(phone, { htu: `${audience}/payments` }))).status).toBe(401);
    expect((await send(proofBy(phone), 'Bearer')).status).toBe(401);
  });

  it('accepts the token of another client with its certificate, and answers the health check', async () => {
    const bound = await server.token(testClients(pki).alice);
    const request = (identity?: typeof pki.alice) =>
      call(pki, api, '/accounts', identity).auth(bound, { type: 'bearer' });
    expect((await request(pki.alice)).body).toEqual({ client: 'alice', certificate: pki.alice.thumbprint });
    expect((await request()).status).toBe(401);
    expect((await call(pki, api, '/health')).status).toBe(200);
  });

  it('exits with 0 at SIGTERM', async () => {
    const exited = once(program, 'exit');
    process.kill(Number(program.pid), 'SIGTERM');
    expect(await exited).toEqual([0, null]);
  });
});
