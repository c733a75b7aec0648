import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import supertest from 'supertest';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

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
});

it('an agent presents the certificate with each request', async () => {
  const agent = kit.withCertificate(supertest.agent(apis.Express()));
  const token = kit.boundToken({ scopes: ['payments:write'] });
  for (let i = 0; i < 2; i += 1) {
    await agent.get('/payments').auth(token, { type: 'bearer' }).expect(200);
  }
});

it('is not to be had in production', async () => {
  vi.stubEnv('NODE_ENV', 'production');
  await expect(createTestKit()).rejects.toThrow('createTestKit(): expected another NODE_ENV, got production');
});
