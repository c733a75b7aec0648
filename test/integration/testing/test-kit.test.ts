import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import supertest from 'supertest';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { close, listen } from '../../support/loopback.js';

let kit: TestKit;
beforeEach(async () => {
  kit = await createTestKit();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

// As a user writes it: the API's own options, and the kit's over them.
const apis = {
  Express: (more: expressMtls.ResourceServerOptions = {}) => {
    const app = express();
    app.use(expressMtls.mtlsBound({ ...more, ...kit.options }));
    app.get('/payments', expressMtls.requireScopes('payments:write'), (req, res) => {
      res.json({ subject: req.auth?.subject });
    });
    app.get('/active', expressMtls.requireActive(), (_req, res) => {
      res.json({});
    });
    return app;
  },
  Koa: (more: koaMtls.ResourceServerOptions = {}) => {
    const app = new Koa();
    app.use(koaMtls.mtlsBound({ ...more, ...kit.options }));
    const guards: Record<string, Koa.Middleware> = {
      '/payments': koaMtls.requireScopes('payments:write') as Koa.Middleware,
      '/active': koaMtls.requireActive() as Koa.Middleware,
    };
    app.use((ctx, next) => guards[ctx.path]?.(ctx, next));
    app.use((ctx) => {
      ctx.body = { subject: (ctx.state.auth as koaMtls.Authorization).subject };
    });
    return app.callback();
  },
};

describe.each(['Express', 'Koa'] as const)('%s', (framework) => {
  const get = (path: string, token: string, more?: expressMtls.ResourceServerOptions) =>
    supertest(apis[framework](more) as never)
      .get(path)
      .auth(token, { type: 'bearer' });

  it('lets a bound token in with its certificate, and with no other', async () => {
    const token = kit.boundToken({ scopes: ['payments:write'], subject: 'alice' });
    await kit.withCertificate(get('/payments', token)).expect(200, { subject: 'alice' });
    await get('/payments', token).expect(401, /A client certificate is required/);
    await kit
      .withCertificate(get('/payments', token), kit.otherCertificate)
      .expect(401, /bound to another client certificate/);
  });

  it.each<[string, (wanted: { scopes: string[] }) => string, number, RegExp]>([
    ['an unbound token', (wanted) => kit.unboundToken(wanted), 401, /not bound/],
    ['an expired token', (wanted) => kit.boundToken({ ...wanted, expiresIn: -60 }), 401, /expired/],
    ['an unknown token', () => 'made-up', 401, /expired, revoked/],
    [
      'a token for another API',
      (wanted) => kit.boundToken({ ...wanted, claims: { aud: 'x' } }),
      401,
      /not meant/,
    ],
    ['a token without the scope', () => kit.boundToken({ scopes: ['accounts:read'] }), 403, /lacks a scope/],
  ])('refuses %s', async (_, token, status, description) => {
    await kit
      .withCertificate(get('/payments', token({ scopes: ['payments:write'] })))
      .expect(status, description);
  });

  it('knows at once of a revocation', async () => {
    const token = kit.boundToken();
    await kit.withCertificate(get('/active', token)).expect(200);
    kit.revoke(token);
    await kit.withCertificate(get('/active', token)).expect(401);
  });

  it('plays an outage, and the end of it', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const token = kit.boundToken({ scopes: ['payments:write'] });
    kit.outage();
    await kit.withCertificate(get('/payments', token)).expect(503).expect('Retry-After', '5');
    kit.outage(false);
    await kit.withCertificate(get('/payments', token)).expect(200);
  });

  it('makes certificates that policies look at', async () => {
    const bank = await kit.createCertificate({ dnsNames: ['bank.example.com'] });
    const policy = { certificatePolicy: { san: { dns: 'bank.example.com' } } };
    const token = kit.boundToken({ scopes: ['payments:write'], certificate: bank });
    await kit.withCertificate(get('/payments', token, policy), bank).expect(200);
    const other = kit.boundToken({ scopes: ['payments:write'] });
    await kit.withCertificate(get('/payments', other, policy)).expect(403);
  });

  it('makes authorities, and lists of the certificates that they revoked', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const folder = mkdtempSync(join(tmpdir(), 'test-kit-'));
    try {
      const [authority, namesake] = await Promise.all(
        ['CN=one', 'CN=one'].map(kit.createCertificateAuthority),
      );
      const good = await authority?.createCertificate({ subject: 'CN=good' });
      const revoked = await authority?.createCertificate();
      const foreign = await namesake?.createCertificate();
      const unlisted = await namesake?.createCertificate();
      const crlFiles = join(folder, 'clients.crl');
      writeFileSync(crlFiles, `${await authority?.revocationList([revoked as never])}`);
      const policyOf = (authorities: string) => ({
        certificatePolicy: { authorities, revocationCheck: { by: 'crl', crlFiles } } as const,
      });
      const send = (certificate = kit.certificate, authorities = `${authority?.certificate}`) => {
        const token = kit.boundToken({ scopes: ['payments:write'], certificate });
        return kit.withCertificate(get('/payments', token, policyOf(authorities)), certificate);
      };
      await send(good).expect(200);
      await send(revoked).expect(403);
      await send(foreign).expect(403);
      await send(kit.certificate).expect(403);
      // The list of another authority of that name says nothing about it.
      await send(unlisted, `${namesake?.certificate}`).expect(503);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses a name that no authority can have, and what is no certificate', async () => {
    await expect(kit.createCertificateAuthority('no name')).rejects.toThrow(
      'createCertificateAuthority(): expected a subject as CN=authority',
    );
    const authority = await kit.createCertificateAuthority();
    await expect(authority.revocationList(['a.pem' as never])).rejects.toThrow(
      'a list of client certificates',
    );
  });
});

describe.each(['Express', 'Koa'] as const)('%s with DPoP', (framework) => {
  const dpop = { dpop: { origin: 'https://api.example.com' } };
  const get = (more: expressMtls.ResourceServerOptions = dpop) =>
    supertest(apis[framework](more) as never).get('/payments?page=1');
  const scopes = ['payments:write'];

  it('lets a token that is bound to a key in with a proof by that key, and by no other', async () => {
    const token = kit.boundToken({ scopes, subject: 'alice', key: kit.key });
    await kit.withProof(get(), token).expect(200, { subject: 'alice' });
    await kit
      .withProof(get(), token, { key: kit.otherKey })
      .expect(401, /bound to another key/)
      .expect('WWW-Authenticate', /^DPoP realm="api", error="invalid_token"/);
    await get().auth(token, { type: 'bearer' }).expect(401);
    await get()
      .set('Authorization', `DPoP ${token}`)
      .expect(401, /no header DPoP/);
  });

  it('lets a token that is bound to both in with both', async () => {
    const token = kit.boundToken({ scopes, certificate: kit.certificate, key: kit.key });
    await kit.withCertificate(kit.withProof(get(), token)).expect(200);
    await kit.withProof(get(), token).expect(401, /client certificate is required/);
    await kit
      .withCertificate(kit.withProof(get(), token), kit.otherCertificate)
      .expect(401, /another client certificate/);
    await kit.withCertificate(kit.withProof(get(), token, { key: kit.otherKey })).expect(401, /another key/);
  });

  it('sends another proof with each request', async () => {
    const token = kit.boundToken({ scopes, key: kit.key });
    const app = supertest(apis[framework](dpop) as never);
    for (let i = 0; i < 2; i += 1) {
      await kit.withProof(app.get('/payments'), token).expect(200);
    }
    const again = { claims: { jti: 'one' } };
    await kit.withProof(app.get('/payments'), token, again).expect(200);
    await kit.withProof(app.get('/payments'), token, again).expect(401, /used before/);
  });

  it.each<[string, object, RegExp]>([
    ['without ath', { claims: { ath: undefined } }, /another method, URL or access token/],
    ['for another method', { claims: { htm: 'POST' } }, /another method, URL or access token/],
    ['of another type', { header: { typ: 'JWT' } }, /not of the form of RFC 9449/],
    ['of an hour ago', { claims: { iat: Date.now() / 1000 - 3_600 } }, /too old/],
  ])('refuses a proof %s', async (_, wanted, description) => {
    const token = kit.boundToken({ scopes, key: kit.key });
    await kit.withProof(get(), token, wanted).expect(401, description);
  });

  it.each(['ES256', 'PS256', 'RS256', 'EdDSA', 'Ed25519'] as const)('has keys for %s', async (algorithm) => {
    const key = kit.createKey(algorithm);
    const token = kit.boundToken({ scopes, key });
    const more = { dpop: { ...dpop.dpop, algorithms: [algorithm] } };
    await kit.withProof(get(more), token, { key }).expect(200);
  });

  it('answers with a nonce where the API demands one, and takes it in a proof', async () => {
    const app = supertest(
      apis[framework]({ dpop: { ...dpop.dpop, nonce: { secret: 'n'.repeat(32) } } }) as never,
    );
    const token = kit.boundToken({ scopes, key: kit.key });
    const { headers } = await kit.withProof(app.get('/payments'), token).expect(401, /use_dpop_nonce/);
    const claims = { nonce: headers['dpop-nonce'] };
    await kit.withProof(app.get('/payments'), token, { claims }).expect(200);
  });

  it.each<[string, { url?: string; audience?: string }, object]>([
    [
      'the option url',
      { url: 'https://bank.example/v1' },
      { origin: 'https://bank.example', pathPrefix: '/v1' },
    ],
    [
      'the origin of the audience',
      { audience: 'https://bank.example/accounts' },
      { origin: 'https://bank.example' },
    ],
    ['a fixed one without it', { audience: 'accounts' }, { origin: 'https://api.example.com' }],
  ])('proofs are for the URL of %s', async (_, options, own) => {
    kit = await createTestKit(options);
    const token = kit.boundToken({ scopes, key: kit.key });
    await kit.withProof(get({ dpop: own as never }), token).expect(200);
    await kit.withProof(get({ dpop: { origin: 'https://other.example' } }), token).expect(401);
  });

  it('an API without dpop refuses what it would accept with it', async () => {
    const token = kit.boundToken({ scopes, key: kit.key });
    await kit.withProof(get({}), token).expect(401);
  });
});

it.each<[string, () => unknown, RegExp]>([
  [
    'a misspelt option',
    () => kit.withProof(supertest('').get('/'), 't', { keys: 1 } as never),
    /withProof\(\)/,
  ],
  [
    'a key that it did not make',
    () => kit.withProof(supertest('').get('/'), 't', { key: {} as never }),
    /createKey\(\)/,
  ],
  ['an unknown algorithm', () => kit.createKey('HS256' as never), /createKey\(\)/],
  ['a key for an unbound token', () => kit.unboundToken({ key: kit.key } as never), /unboundToken\(\)/],
])('refuses %s', (_, act, message) => {
  expect(act).toThrow(message);
});

it('an agent presents the certificate with each request', async () => {
  const agent = kit.withCertificate(supertest.agent(apis.Express()));
  const token = kit.boundToken({ scopes: ['payments:write'] });
  for (let i = 0; i < 2; i += 1) {
    await agent.get('/payments').auth(token, { type: 'bearer' }).expect(200);
  }
});

it('is not to be had in production', async () => {
  for (const value of ['production', 'Production', 'prod']) {
    vi.stubEnv('NODE_ENV', value);
    await expect(createTestKit()).rejects.toThrow(
      'createTestKit(): expected another NODE_ENV, got production',
    );
  }
});

it('over a port, a client presents a certificate by the header x-test-client-certificate', async () => {
  const server = createServer(apis.Express());
  const url = `http://127.0.0.1:${await listen(server)}/payments`;
  const authorization = `Bearer ${kit.boundToken({ scopes: ['payments:write'], subject: 'alice' })}`;
  const statusBy = async (thumbprint: string) =>
    (await fetch(url, { headers: { authorization, 'x-test-client-certificate': thumbprint } })).status;
  expect(await statusBy(kit.certificate.thumbprint)).toBe(200);
  expect(await statusBy(kit.otherCertificate.thumbprint)).toBe(401);
  expect((await fetch(url, { headers: { authorization } })).status).toBe(401);
  await close(server);
});
