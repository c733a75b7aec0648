// The program that the page shows, over TLS: main.ts runs in a process of its own.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { Test } from '@nestjs/testing';
import supertest from 'supertest';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { AppModule } from './app.module.js';
import { ca, identity, listening, startAuthorizationServer } from './authorization-server.js';
import { MTLS } from './mtls.token.js';
import { mtlsFromConfig } from './mtls-from-config.js';
import { protect } from './protect.js';

const main = fileURLToPath(new URL('main.js', import.meta.url));
const pem = (name: string): string => `${process.env.PEM_FOLDER}/${name}`;
// A deadline of ten seconds is over at once.
const hasteOfTimers =
  'const{setTimeout:s}=globalThis;globalThis.setTimeout=(f,ms,...a)=>s(f,ms===1e4?300:ms,...a)';
const { NODE_ENV: _environment, VITEST: _isTest, ...inherited } = process.env;

let port: number;
let child: ChildProcessWithoutNullStreams;
let settings: Record<string, string>;

function start(more: Record<string, string | undefined>): ChildProcessWithoutNullStreams {
  const env = { ...inherited, ...settings, PORT: String(port), ...more };
  const args = ['--import', `data:text/javascript,${encodeURIComponent(hasteOfTimers)}`, main];
  return spawn(process.execPath, args, { cwd: process.env.PEM_FOLDER, env });
}

interface Answer {
  status: number | undefined;
  challenge: string | undefined;
  body: string;
}

function ask(path: string, client?: 'good' | 'other', token?: string, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const certificate = client === undefined ? {} : identity(client);
    request({ host: 'localhost', port, path, method, ca, headers, agent: false, ...certificate })
      .on('error', reject)
      .on('response', async (res) => {
        const challenge = res.headers['www-authenticate'];
        resolve({ status: res.statusCode, challenge, body: await text(res) });
      })
      .end();
  });
}

beforeAll(async () => {
  copyFileSync(pem('localhost.pem'), pem('server.pem'));
  copyFileSync(pem('localhost-key.pem'), pem('server.key'));
  const { options } = await startAuthorizationServer();
  settings = {
    MTLS_BOUND_ISSUER: options.issuer,
    MTLS_BOUND_AUDIENCE: options.audience,
    MTLS_BOUND_CLIENT_ID: options.clientId,
    MTLS_BOUND_CLIENT_SECRET: options.clientSecret,
    MTLS_BOUND_CA_FILE: pem('localhost.pem'),
  };
  const server = createServer();
  port = await listening(server);
  server.close();
  child = start({});
  while ((await ask('/health').catch(() => true)) === true) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});
afterAll(() => child.kill('SIGKILL'));

it('answers the client that the token is bound to', async () => {
  expect(await ask('/accounts', 'good', 'reader')).toMatchObject({
    status: 200,
    body: '{"client":"client"}',
  });
});

it('refuses another client, with the challenge of the middleware', async () => {
  const { status, challenge, body } = await ask('/accounts', 'other', 'reader');
  expect(status).toBe(401);
  expect(challenge).toMatch(/^Bearer realm="api", error="invalid_token"/);
  expect(JSON.parse(body)).toEqual({
    error: 'invalid_token',
    error_description: 'The access token is bound to another client certificate',
  });
});

it('refuses a token without the scope, in a guard of Nest and in a middleware of a module', async () => {
  for (const [path, method, scope] of [
    ['/accounts', 'GET', 'accounts:read'],
    ['/accounts', 'HEAD', 'accounts:read'],
    ['/accounts/payments', 'POST', 'payments:write'],
    ['/reports', 'GET', 'reports:read'],
    ['/REPORTS/', 'HEAD', 'reports:read'],
  ] as const) {
    const { status, challenge, body } = await ask(path, 'good', 'token', method);
    expect(status).toBe(403);
    expect(challenge).toMatch(new RegExp(`error="insufficient_scope".*, scope="${scope}"$`));
    expect(body.slice(0, 29)).toBe(method === 'HEAD' ? '' : '{"error":"insufficient_scope"');
  }
});

it('refuses a request without a token on each path but one', async () => {
  for (const path of ['/accounts', '/none', '/health/', '/HEALTH', '//health']) {
    expect(await ask(path, 'good')).toEqual({ status: 401, challenge: 'Bearer realm="api"', body: '' });
  }
  expect(await ask('/health')).toEqual({ status: 200, challenge: undefined, body: 'ok' });
});

it('takes the certificate from the header of a proxy, by the options of ConfigService', async () => {
  const variables = {
    AS_ISSUER: settings.MTLS_BOUND_ISSUER,
    API_AUDIENCE: settings.MTLS_BOUND_AUDIENCE,
    API_CLIENT_ID: settings.MTLS_BOUND_CLIENT_ID,
    API_CLIENT_SECRET: settings.MTLS_BOUND_CLIENT_SECRET,
    MTLS_BOUND_CA_FILE: settings.MTLS_BOUND_CA_FILE,
    PROXY_SECRET: 'at-least-16-characters',
  };
  for (const [name, value] of Object.entries(variables)) {
    vi.stubEnv(name, value);
  }
  const imports = [ConfigModule.forRoot({ isGlobal: true, ignoreEnvFile: true }), AppModule];
  const testingModule = await Test.createTestingModule({ imports })
    .overrideProvider(MTLS)
    .useFactory({ factory: mtlsFromConfig.useFactory, inject: [ConfigService] })
    .compile();
  vi.unstubAllEnvs();
  const app = testingModule.createNestApplication({ logger: false });
  protect(app);
  await app.init();
  const get = (client: 'good' | 'other', secret: string) =>
    supertest(app.getHttpServer())
      .get('/accounts')
      .set('X-SSL-Client-Cert', encodeURIComponent(identity(client).cert))
      .set('X-Proxy-Secret', secret)
      .auth('reader', { type: 'bearer' });
  await get('good', variables.PROXY_SECRET).expect(200, { client: 'client' });
  await get('other', variables.PROXY_SECRET).expect(401, /another client certificate/);
  await get('good', 'of-another-program').expect(401, /A client certificate is required/);
  await app.close();
});

it('does not start with a wrong option, and names it', async () => {
  const failing = start({ MTLS_BOUND_ISSUER: undefined });
  const said = Promise.all([text(failing.stdout), text(failing.stderr)]);
  expect((await once(failing, 'exit'))[0]).toBe(1);
  expect((await said).join('')).toMatch(/ConfigurationError.*issuer/);
});

it('ends at its deadline after SIGTERM, though a client never completes its request', async () => {
  const socket = connect({ host: 'localhost', port, ca });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  socket.write('GET /health HTTP/1.1\r\n');
  await new Promise((resolve) => setTimeout(resolve, 100));
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});
