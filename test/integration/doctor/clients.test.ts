// `mtls-doctor clients`, over the page of the guide of each framework, and over files.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createPlainServer } from 'node:http';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Listener, mutualTls } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { runDoctor } from '../../support/doctor-command.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import { useFaultyServer } from '../../support/suites.js';

const { pki, server } = await useFaultyServer();
const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-clients-'));
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const ca = write('ca.pem', pki.ca.cert);
const identity = ['--cert', write('alice.pem', pki.alice.cert), '--key', write('alice.key', pki.alice.key)];

const token = 'tok-3141592653';
server.introspection = (req, res, body) =>
  answer(
    200,
    goodClaims(server.issuer, pki.alice.thumbprint, {
      client_id: 'the-operator',
      scope: body.includes('no-right') ? 'accounts:read' : 'operations',
    }),
  )(req, res, body);

const options = () => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: 'a-secret',
  audience,
  http: { ca: pki.ca.cert },
});

const pages = {
  Express(): Listener {
    const app = express();
    const mtls = expressMtls.mtlsBound(options());
    app.use(mtls);
    app.get('/operations/clients', expressMtls.requireScopes('operations'), (_req, res) => {
      res.set('Cache-Control', 'no-store').json(mtls.resourceServer.clientCertificates());
    });
    return app as Listener;
  },
  Koa(): Listener {
    const app = new Koa();
    const mtls = koaMtls.mtlsBound(options());
    app.use(mtls as Koa.Middleware);
    app.use(koaMtls.requireScopes('operations') as Koa.Middleware);
    app.use((ctx) => {
      ctx.set('Cache-Control', 'no-store');
      ctx.body = mtls.resourceServer.clientCertificates();
    });
    return app.callback() as Listener;
  },
};

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(Object.entries(pages))('the page of %s', (_, page) => {
  let api: Server;
  let url: string;
  beforeAll(async () => {
    api = createServer(mutualTls(pki), page());
    url = `https://127.0.0.1:${await listen(api)}/operations/clients`;
  });
  afterAll(() => close(api));

  const run = (args: string[], input = `${token}\n`) =>
    runDoctor(['clients', url, '--ca', ca, '--token', '-', ...args], {}, input);

  it('is shown as a table, and fails for a certificate that expires within --days', async () => {
    const { code, stdout, stderr } = await run(identity);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^days left {2}expires/);
    expect(stdout).toContain(`the-operator  ${server.issuer}  ${pki.alice.thumbprint}`);
    expect(stdout).toContain('PROBLEM  client_certificate_expires: the certificate expires within 30 days');
    expect(stdout).not.toContain(token);
    expect(code).toBe(1);
    const later = await run([...identity, '--days', '7']);
    expect(later.stdout).toContain('ok       client_certificates: of 1 certificates none expires');
    expect(later.code).toBe(0);
  });

  it('is findings as JSON', async () => {
    const { code, stdout } = await run([...identity, '--json']);
    expect(JSON.parse(stdout)).toMatchObject([{ status: 'problem', code: 'client_certificate_expires' }]);
    expect(code).toBe(1);
  });

  it.each([
    ['without a certificate', [], token, '401'],
    ['with a token that lacks the scope', identity, 'no-right', '403'],
  ])('%s it is not to be had, and the exit code is 2', async (_title, args, sent, status) => {
    const { code, stdout, stderr } = await run(args, sent);
    expect(stderr).toContain(`expected the status 200, got ${status}`);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
});

describe('what can not be read has the exit code 2', () => {
  it.each<[string, string[], RegExp]>([
    ['no source', [], /clients needs a file or URL/],
    [
      'a file that is missing',
      [join(folder, 'none.json')],
      /none\.json", can't be read: no such file \(ENOENT\)/,
    ],
    ['a file that is no list', [ca], /expected the JSON of resourceServer\.clientCertificates\(\)/],
    ['a URL that is none', ['https://'], /clients: the value is no URL/],
    ['a server that is not there', ['http://127.0.0.1:1/clients'], /gives no answer: ECONNREFUSED/],
    ['days that are no number', ['x.json', '--days', '-1x'], /--days|an option lacks its value/],
    ['days beyond the limit', ['x.json', '--days', '3651'], /--days: the value is no whole number/],
  ])('%s', async (_, args, complaint) => {
    const { code, stdout, stderr } = await runDoctor(['clients', ...args]);
    expect(stderr).toMatch(complaint);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  it('an answer without end is not read to its end', async () => {
    const chunk = Buffer.alloc(1_048_576, ' ');
    const endless = createPlainServer((_req, res) => {
      const more = (): void => {
        while (!res.destroyed && res.write(chunk)) {
          // Until the client has enough for now.
        }
      };
      res.on('drain', more);
      more();
    });
    const port = await listen(endless);
    const { code, stderr } = await runDoctor(['clients', `http://127.0.0.1:${port}/`]);
    endless.closeAllConnections();
    await close(endless);
    expect(stderr).toMatch(/expected at most 67108864 bytes, got more/);
    expect(code).toBe(2);
  });
});

it('a page and a file make one table', async () => {
  const row = {
    issuer: server.issuer,
    clientId: 'another-client',
    thumbprint: 'A'.repeat(43),
    firstSeen: '2026-03-01T12:00:00Z',
    lastSeen: '2026-03-01T12:00:00Z',
  };
  const page = createPlainServer((_req, res) => res.end(JSON.stringify([row])));
  const url = `http://127.0.0.1:${await listen(page)}/`;
  const file = write('one.json', JSON.stringify([{ ...row, clientId: 'one-client' }]));
  const { code, stdout } = await runDoctor(['clients', url, file]);
  await close(page);
  expect(stdout).toMatch(/another-client {2}[\s\S]*one-client {2}/);
  expect(code).toBe(0);
});

it('a file: exit code 0 if none expires, and the password of a URL is not shown', async () => {
  const file = write('clients.json', '[]');
  expect(await runDoctor(['clients', file])).toMatchObject({ code: 0 });
  const { stderr } = await runDoctor(['clients', 'http://user:secret-2718281828@127.0.0.1:1/?key=161803']);
  expect(stderr).not.toMatch(/2718281828|161803/);
});
