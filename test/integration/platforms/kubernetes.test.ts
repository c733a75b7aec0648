// What docs/reference/kubernetes.md shows, as it is shown: its manifest, and the server that renews its TLS files.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { blocks } from '../../docs/blocks.js';
import { root, textOf } from '../../docs/pages.js';
import { frameworks } from '../../support/apis.js';
import { revocationList } from '../../support/crl.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';

const page = 'docs/reference/kubernetes.md';

let pki: Pki;
let kit: TestKit;
let folder: string;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  [pki, kit] = await Promise.all([createPki(), createTestKit()]);
  folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the manifest', () => {
  const [, yaml = ''] = /^```yaml\n([\s\S]*?)^```/m.exec(textOf(page)) ?? [];
  const [deployment, configMap] = parseAllDocuments(yaml).map((one) => one.toJS());
  const { initContainers, containers, terminationGracePeriodSeconds } = deployment.spec.template.spec;

  it('runs the doctor first, with the same settings, and a command that the package has', () => {
    const [doctor] = initContainers;
    const [program, ...given] = doctor.command;
    expect(doctor.envFrom).toEqual(containers[0].envFrom);
    const { status } = spawnSync(join(root, program), [...given], {
      env: {
        ...process.env,
        ...configMap.data,
        MTLS_BOUND_ISSUER: 'https://127.0.0.1:1',
        MTLS_BOUND_CLIENT_SECRET: 'wrong',
      },
    });
    expect(status).toBe(1);
  });

  it('asks ready() at the start alone, and leaves more time to end than the page of the end takes', () => {
    const [{ startupProbe, readinessProbe, livenessProbe }] = containers;
    expect([startupProbe, readinessProbe, livenessProbe].map(({ httpGet }) => httpGet.path)).toEqual([
      '/ready',
      '/alive',
      '/alive',
    ]);
    expect(terminationGracePeriodSeconds).toBeGreaterThan(10);
  });
});

/** The server of the page, with its files in `folder` and renewed each 50 milliseconds. */
async function shownServer(framework: (typeof frameworks)[number], more: () => TlsOptions = () => ({})) {
  const { code = '' } =
    blocks.find((block) => block.page === page && block.code.includes('setSecureContext')) ?? {};
  const ours = framework === 'Express' ? expressMtls : koaMtls;
  const app = framework === 'Express' ? express() : new Koa();
  const intervals: NodeJS.Timeout[] = [];
  const body = code
    .replaceAll(/^import .*$/gm, '')
    .replace('server.listen(8443)', "server.listen(0, '127.0.0.1')")
    .replace('}, app);', '}, listener);')
    .replace('const tls = () => ({', 'const tls = () => ({ ...more(),');
  const run = new Function(
    'readFileSync',
    'createServer',
    'app',
    'listener',
    'mtlsBound',
    'process',
    'setInterval',
    'more',
    `${body}\nreturn server;`,
  );
  const [{ readFileSync }, { createServer }] = await Promise.all([import('node:fs'), import('node:https')]);
  const listener = (req: never, res: never) =>
    (framework === 'Express' ? (app as express.Express) : (app as Koa).callback())(req, res);
  const server = run(
    readFileSync,
    createServer,
    app,
    listener,
    (options: object) => ours.mtlsBound({ ...options, ...kit.options, certificate: ours.tlsSocket() }),
    { env: { TLS_FOLDER: folder } },
    (renew: () => void) => {
      intervals.push(setInterval(renew, 50));
      return intervals[0];
    },
    more,
  ) as import('node:https').Server;
  if (framework === 'Express') {
    (app as express.Express).use((_req, res) => void res.sendStatus(204));
  } else {
    (app as Koa).use((ctx) => {
      ctx.status = 204;
    });
  }
  await vi.waitFor(() => expect(server.listening).toBe(true));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      intervals.forEach(clearInterval);
      server.close();
    },
  };
}

async function statusOf(port: number, { cert, key, thumbprint }: Identity, session?: Buffer) {
  const token = kit.boundToken({ claims: { cnf: { 'x5t#S256': thumbprint } } });
  const options: RequestOptions & Pick<ConnectionOptions, 'session'> = {
    host: '127.0.0.1',
    port,
    cert,
    key,
    ca: pki.ca.cert,
    agent: false,
    headers: { authorization: `Bearer ${token}` },
    session,
  };
  return new Promise<{ status: number | undefined; session: Buffer | undefined }>((resolve, reject) => {
    let kept: Buffer | undefined;
    httpsRequest(options, (response) => {
      response.resume().on('end', () => resolve({ status: response.statusCode, session: kept }));
    })
      .on('socket', (socket) =>
        (socket as TLSSocket).on('session', (given) => {
          kept = given;
        }),
      )
      .on('error', reject)
      .end();
  });
}

describe.each(frameworks)('%s: a server that renews its TLS files', (framework) => {
  const write = async (revoked: readonly Identity[]) => {
    writeFileSync(join(folder, 'clients-crl.pem'), await revocationList(pki.ca, revoked));
  };

  it('refuses a certificate once a new list names it, also for a session from before', async () => {
    writeFileSync(join(folder, 'server.pem'), pki.server.cert);
    writeFileSync(join(folder, 'server.key'), pki.server.key);
    writeFileSync(join(folder, 'clients-ca.pem'), pki.ca.cert);
    await write([pki.bob]);
    const { port, close } = await shownServer(framework);
    try {
      const { status, session } = await statusOf(port, pki.alice);
      expect([status, (await statusOf(port, pki.bob)).status]).toEqual([204, 403]);
      await write([pki.alice]);
      await vi.waitFor(async () => expect((await statusOf(port, pki.alice)).status).toBe(403), 10_000);
      expect(session).toBeInstanceOf(Buffer);
      expect((await statusOf(port, pki.alice, session)).status).toBe(403);
      expect((await statusOf(port, pki.bob)).status).toBe(204);
    } finally {
      close();
    }
  });

  it('resumes a session from before with ticketKeys, until they change', async () => {
    await write([pki.bob]);
    let ticketKeys = randomBytes(48);
    const { port, close } = await shownServer(framework, () => ({ ticketKeys }));
    try {
      const { session } = await statusOf(port, pki.alice);
      await write([pki.alice]);
      await vi.waitFor(async () => expect((await statusOf(port, pki.alice)).status).toBe(403), 10_000);
      expect((await statusOf(port, pki.alice, session)).status).toBe(204);
      ticketKeys = randomBytes(48);
      await vi.waitFor(
        async () => expect((await statusOf(port, pki.alice, session)).status).toBe(403),
        10_000,
      );
    } finally {
      close();
    }
  });

  it('keeps the old files in use where a new one can not be read', async () => {
    await write([]);
    const { port, close } = await shownServer(framework);
    const said = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    try {
      rmSync(join(folder, 'clients-crl.pem'));
      await vi.waitFor(
        () =>
          expect(said).toHaveBeenCalledWith(
            'the TLS files were not renewed',
            expect.objectContaining({ code: 'ENOENT' }),
          ),
        10_000,
      );
      await sleep(60);
      expect((await statusOf(port, pki.alice)).status).toBe(204);
    } finally {
      close();
      said.mockRestore();
    }
  });
});
