import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as express from 'express-mtls';
import * as koa from 'koa-mtls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Framework, frameworks, startApi } from '../../support/apis.js';
import { audience, startAuthorizationServer, testClients } from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Pki } from '../../support/pki.js';

const adapters = { Express: express, Koa: koa };

const variables = Object.keys(process.env).filter((name) => name.startsWith('MTLS_BOUND_'));

beforeEach(() => {
  for (const name of variables) {
    vi.stubEnv(name, undefined);
  }
});
afterEach(() => {
  vi.unstubAllEnvs();
});

// What each option accepts is tested once, in test/unit/options.
describe.each(frameworks)('%s throws the errors of the core', (framework: Framework) => {
  const { mtlsBound, ConfigurationError, requireScopes } = adapters[framework as keyof typeof adapters];

  it.each<[string, () => unknown, string | RegExp]>([
    [
      'mtlsBound() with an unknown option',
      () => mtlsBound({ isuer: 'x' } as never),
      mismatch('isuer', 'an unknown one'),
    ],
    ['requireScopes() without a scope', () => requireScopes(), mismatch('requireScopes()', 'none')],
    [
      'requireScopes() with two in one',
      () => requireScopes('a b'),
      mismatch('requireScopes()', 'a string of 3 characters'),
    ],
    [
      'requireScopes() with a list',
      () => requireScopes(['a'] as never),
      mismatch('requireScopes()', 'a list'),
    ],
    [
      'requireScopes() with a quote',
      () => requireScopes('a"'),
      mismatch('requireScopes()', 'a string of 2 characters'),
    ],
  ])('for %s', (_title, make, message) => {
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(message);
  });
});

describe('mtlsBound() without arguments reads the environment', () => {
  let pki: Pki;
  let folder: string;
  beforeAll(async () => {
    pki = await createPki();
    folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
    writeFileSync(join(folder, 'ca.pem'), pki.ca.cert);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(frameworks)('%s', async (framework) => {
    const server = await startAuthorizationServer(pki);
    vi.stubEnv('MTLS_BOUND_ISSUER', server.issuer);
    vi.stubEnv('MTLS_BOUND_CLIENT_ID', 'api-post');
    vi.stubEnv('MTLS_BOUND_CLIENT_SECRET', server.secrets['api-post']);
    vi.stubEnv('MTLS_BOUND_CLIENT_AUTHENTICATION', 'client_secret_post');
    vi.stubEnv('MTLS_BOUND_AUDIENCE', `https://x.example.com ${audience}`);
    vi.stubEnv('MTLS_BOUND_BINDING', 'when-bound');
    vi.stubEnv('MTLS_BOUND_REALM', 'my api');
    vi.stubEnv('MTLS_BOUND_CA_FILE', join(folder, 'ca.pem'));
    const api = await startApi(framework, pki, undefined);
    try {
      const { alice, unbound } = testClients(pki);
      const [bound, plain] = await Promise.all([server.token(alice), server.token(unbound)]);
      expect((await call(pki, api, '/', pki.alice).auth(bound, { type: 'bearer' })).status).toBe(200);
      expect((await call(pki, api, '/').auth(plain, { type: 'bearer' })).status).toBe(200);
      const stolen = await call(pki, api, '/', pki.bob).auth(bound, { type: 'bearer' });
      expect(stolen.status).toBe(401);
      expect(stolen.headers['www-authenticate']).toContain('realm="my api"');
    } finally {
      await api.close();
      await server.stop();
    }
  });
});
