import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { authority, client, type Node } from '../../support/chains.js';
import { revocationList } from '../../support/crl.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { mesh, named, proxyId } from '../../support/named-proxy-cases.js';
import { beginRequest } from '../../support/requests-under-way.js';
import { useFaultyServer, useFolder } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();
const folder = useFolder();
const path = fileURLToPath(new URL('../../../examples/express-pki/server.js', import.meta.url));

const root = await authority('CN=Root, O=Directory');
const issuing = await authority('CN=Issuing, O=Directory', root);
const revokedIssuing = await authority('CN=Former, O=Directory', root);
const impostor = await authority('CN=Issuing, O=Directory', await authority('CN=Root, O=Directory'));
const good = await client('CN=tpp', issuing);
const revoked = await client('CN=former tpp', issuing);
const proxy = await client('CN=proxy', mesh, named(['url', proxyId]));
const cart = await client('CN=proxy', mesh, named(['url', 'spiffe://mesh.example/ns/shop/sa/cart']));

const thumbprint = ({ der }: Node): string => createHash('sha256').update(der).digest('base64url');
const item = ({ der }: Node): string => `:${Buffer.from(der).toString('base64')}:`;

// A token is the thumbprint that it is bound to.
server.introspection = (req, res, body) => {
  const token = new URLSearchParams(body).get('token') ?? '';
  answer(200, goodClaims(server.issuer, token))(req, res, body);
};

function write(name: string, content: string): string {
  const file = join(folder, name);
  // As a job that downloads lists does: the API never sees half a file.
  writeFileSync(`${file}.new`, content);
  renameSync(`${file}.new`, file);
  return file;
}

describe('examples/express-pki', () => {
  let program: ReturnType<typeof spawn>;
  let port: number;

  beforeAll(async () => {
    const lists = [
      write('root.crl', await revocationList(root, [revokedIssuing])),
      write('issuing.crl', await revocationList(issuing, [revoked])),
    ];
    program = spawn(process.execPath, [path], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env.PATH,
        PORT: '0',
        MTLS_BOUND_ISSUER: server.issuer,
        MTLS_BOUND_CLIENT_ID: 'api',
        MTLS_BOUND_CLIENT_SECRET: 's',
        MTLS_BOUND_AUDIENCE: audience,
        MTLS_BOUND_CA_FILE: write('ca.pem', pki.ca.cert),
        TLS_CERT_FILE: write('server.pem', pki.server.cert),
        TLS_KEY_FILE: write('server.key', pki.server.key),
        MESH_CA_FILE: write('mesh.pem', mesh.cert),
        PROXY_ID: proxyId,
        CLIENTS_CA_FILE: write('clients.pem', root.cert),
        CRL_FILES: lists.join(),
        END_WITHIN: '500',
      },
    });
    const [line] = (await once(program.stdout as never, 'data')) as [Buffer];
    port = Number(new URL(line.toString().trim()).port);
  }, 30_000);
  afterAll(() => program?.kill('SIGKILL'));

  /** What a proxy sends for a client that has shown this chain. */
  const send = (chain: readonly Node[], by: Node = proxy, target = '/accounts') =>
    new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
      const [leaf, ...between] = chain;
      request(
        {
          host: '127.0.0.1',
          port,
          path: target,
          ca: pki.ca.cert,
          servername: 'localhost',
          cert: by.cert,
          key: by.key,
          agent: false,
          headers: {
            ...(leaf && { authorization: `Bearer ${thumbprint(leaf)}`, 'client-cert': item(leaf) }),
            ...(between.length > 0 && { 'client-cert-chain': between.map(item).join(', ') }),
          },
        },
        async (response) => {
          const body = Buffer.concat(await response.toArray()).toString();
          resolve({ status: response.statusCode, body });
        },
      )
        .on('error', reject)
        .end();
    });

  it('accepts a client with a chain to the authority', async () => {
    const { status, body } = await send([good, issuing]);
    expect([status, JSON.parse(body)]).toEqual([200, { client: 'alice', isVerified: true }]);
  });

  it.each<[string, () => Promise<Node[]>, number]>([
    ['a revoked certificate', async () => [revoked, issuing], 403],
    [
      'a certificate below a revoked authority',
      async () => [await client('CN=tpp', revokedIssuing), revokedIssuing],
      403,
    ],
    [
      'a certificate of another authority with the same name',
      async () => [await client('CN=tpp', impostor), impostor],
      403,
    ],
    ['a certificate without its chain', async () => [await client('CN=tpp', issuing)], 403],
    ['no certificate', async () => [], 401],
  ])('refuses a client with %s', async (_title, make, expected) => {
    expect((await send(await make())).status).toBe(expected);
  });

  it('trusts a renewed certificate of the proxy, and no other workload of the mesh', async () => {
    const renewed = await client('CN=proxy', mesh, named(['url', proxyId]));
    expect((await send([good, issuing], renewed)).status).toBe(200);
    expect((await send([good, issuing], cart)).status).toBe(401);
  });

  it('refuses a client that a new list revokes while the API runs', async () => {
    const later = await client('CN=later', issuing);
    expect((await send([later, issuing])).status).toBe(200);
    write('issuing.crl', await revocationList(issuing, [revoked, later]));
    await vi.waitFor(async () => expect((await send([later, issuing])).status).toBe(403), {
      timeout: 20_000,
      interval: 500,
    });
    expect((await send([good, issuing])).status).toBe(200);
  }, 30_000);

  it('answers the health check, and exits with 0 at SIGTERM although a client sends half a request', async () => {
    expect((await send([], proxy, '/health')).status).toBe(200);
    const half = await beginRequest(pki, `https://127.0.0.1:${port}`, 'a');
    const exited = once(program, 'exit');
    process.kill(Number(program.pid), 'SIGTERM');
    expect(await exited).toEqual([0, null]);
    half.destroy();
  });
});
