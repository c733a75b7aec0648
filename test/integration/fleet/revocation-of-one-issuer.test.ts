// `sub`, `client_id` and certificates are revoked for the tokens of one issuer, unless the API itself says otherwise.
import { randomUUID } from 'node:crypto';
import { type IssuerOptions, introspection, jwtAccessTokens, type ProblemEvent } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import { SignJWT } from 'jose';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import request from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import { hashOf } from '../../../packages/core/src/token/token-hash.js';
import { frameworks } from '../../support/apis.js';
import { generateP256 } from '../../support/key-pairs.js';
import { recordedEvents } from '../../support/recorded-events.js';

const red = 'https://red.example.com';
const blue = 'https://blue.example.com';
const audience = 'https://api.example.com';
const { publicKey, privateKey } = generateP256();
const key = { ...publicKey.export({ format: 'jwk' }), kid: 'k' };

const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

const issuerOptions = (issuer: string): IssuerOptions => ({
  issuer,
  tokens: jwtAccessTokens(),
  authorizationServerMetadata: { jwks_uri: `${issuer}/jwks` },
  http: { fetch: async () => Response.json({ keys: [key] }) },
});

/** A token of alice's app, issued a minute ago. */
function tokenOf(issuer: string, scope: string, subject = '1001'): Promise<string> {
  const issuedAt = Math.floor(Date.now() / 1000) - 60;
  const cnf = { 'x5t#S256': kit.certificate.thumbprint };
  return new SignJWT({ client_id: 'app', scope, cnf })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'k' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(subject)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + 600)
    .setJti(randomUUID())
    .sign(privateKey);
}

function start(framework: (typeof frameworks)[number]) {
  const options = {
    audience,
    issuers: [issuerOptions(red), issuerOptions(blue)],
    certificate: () => kit.certificate,
  };
  if (framework === 'Express') {
    const guard = expressMtls.mtlsBound(options);
    const app = express();
    app.use(guard);
    app.post('/revocations', expressMtls.revocationEndpoint('tokens:revoke'));
    app.get('/', (_req, res) => void res.json({}));
    return { app, server: guard.resourceServer };
  }
  const guard = koaMtls.mtlsBound(options);
  const app = new Koa();
  app.use(guard);
  app.use(async (ctx, next) =>
    ctx.path === '/revocations' ? koaMtls.revocationEndpoint('tokens:revoke')(ctx, next) : next(),
  );
  app.use(async (ctx) => {
    ctx.body = {};
  });
  return { app: app.callback(), server: guard.resourceServer };
}

describe.each(frameworks)('%s: a revocation by a client of one issuer', (framework) => {
  it.each([
    ['sub', () => '1001'],
    ['client_id', () => 'app'],
    ['x5t#S256', () => kit.certificate.thumbprint],
  ])('by %s ends the tokens of that issuer, and no token of another', async (name, value) => {
    const { app } = start(framework);
    const status = async (token: string) =>
      (await request(app).get('/').auth(token, { type: 'bearer' })).status;
    const [ofRed, ofBlue] = [await tokenOf(red, 'accounts'), await tokenOf(blue, 'accounts')];
    expect([await status(ofRed), await status(ofBlue)]).toEqual([200, 200]);
    const { status: answered } = await request(app)
      .post('/revocations')
      .auth(await tokenOf(red, 'tokens:revoke'), { type: 'bearer' })
      .type('form')
      .send({ [name]: value() });
    expect(answered).toBe(200);
    expect([await status(ofRed), await status(ofBlue)]).toEqual([401, 200]);
  });

  it.each([
    ['token', (token: string) => token],
    ['token_hash', (token: string) => hashOf(token.split('.').slice(0, 2).join('.'))],
  ])('by %s ends the token if it is of that issuer', async (name, value) => {
    const { app } = start(framework);
    const status = async (token: string) =>
      (await request(app).get('/').auth(token, { type: 'bearer' })).status;
    const [ofRed, ofBlue] = [await tokenOf(red, 'accounts'), await tokenOf(blue, 'accounts')];
    expect([await status(ofRed), await status(ofBlue)]).toEqual([200, 200]);
    for (const token of [ofRed, ofBlue]) {
      await request(app)
        .post('/revocations')
        .auth(await tokenOf(red, 'tokens:revoke'), { type: 'bearer' })
        .type('form')
        .send({ [name]: value(token) });
    }
    expect([await status(ofRed), await status(ofBlue)]).toEqual([401, 200]);
  });

  it('a flood of them forgets no revocation of another issuer, and accepts no token that was revoked', async () => {
    const { app, server } = start(framework);
    const status = async (token: string) =>
      (await request(app).get('/').auth(token, { type: 'bearer' })).status;
    const [ofRed, ofBlue, goodOfBlue] = [
      await tokenOf(red, 'accounts'),
      await tokenOf(blue, 'accounts'),
      await tokenOf(blue, 'accounts', '1002'),
    ];
    for (const [token, issuer] of [
      [ofRed, red],
      [ofBlue, blue],
    ] as const) {
      await server.revoke({ subject: '1001', issuer });
      expect(await status(token)).toBe(401);
    }
    for (let i = 0; i < 100_001; i += 1) {
      await server.revoke({ subject: `x${i}`, issuer: red });
    }
    expect([await status(ofRed), await status(ofBlue), await status(goodOfBlue)]).toEqual([401, 401, 200]);
    expect(problems.map(({ code }) => code)).toContain('revocations_forgotten');
  });

  it('revoke() of the API ends the tokens of every issuer, or of the one that it names', async () => {
    const { app, server } = start(framework);
    const status = async (token: string) =>
      (await request(app).get('/').auth(token, { type: 'bearer' })).status;
    const [ofRed, ofBlue] = [await tokenOf(red, 'accounts'), await tokenOf(blue, 'accounts')];
    await server.revoke({ subject: '1001', issuer: red });
    expect([await status(ofRed), await status(ofBlue)]).toEqual([401, 200]);
    await server.revoke({ subject: '1001' });
    expect([await status(ofRed), await status(ofBlue)]).toEqual([401, 401]);
  });
});

describe("selectIssuer: 'in-order', introspection next to JWTs", () => {
  const opaque = (issuer: string, ask: () => object): IssuerOptions => ({
    issuer,
    clientId: 'api',
    clientSecret: 'secret',
    tokens: introspection(),
    authorizationServerMetadata: { introspection_endpoint: `${issuer}/introspect` },
    http: { fetch: async () => Response.json(ask()) },
  });
  const active = () => ({
    active: true,
    sub: 'alice',
    aud: audience,
    exp: Math.floor(Date.now() / 1000) + 300,
    cnf: { 'x5t#S256': kit.certificate.thumbprint },
  });

  function api(ask: () => object, revocations?: expressMtls.RevocationOptions) {
    const guard = expressMtls.mtlsBound({
      audience,
      selectIssuer: 'in-order',
      issuers: [opaque(red, ask), issuerOptions(blue)],
      certificate: () => kit.certificate,
      cache: { maxAge: 60, rejectionMaxAge: 0 },
      floodGuard: false,
      ...(revocations && { revocations }),
    });
    const app = express();
    app.use(guard);
    app.get('/', (_req, res) => void res.json({}));
    return {
      server: guard.resourceServer,
      status: async () => (await request(app).get('/').auth('opaque', { type: 'bearer' })).status,
    };
  }

  it('a revocation that concerns another subject refuses no opaque token', async () => {
    const { server, status } = api(active);
    expect(await status()).toBe(200);
    await server.revoke({ subject: 'bob' });
    expect(await status()).toBe(200);
  });

  it('an opaque token is introspected again while the channel is interrupted, and when it is back', async () => {
    let isActive = true;
    const listeners: expressMtls.RevocationChannelListener[] = [];
    const { status } = api(() => (isActive ? active() : { active: false }), {
      secret: 'a secret of at least 32 characters',
      maxAgeWhileUnsynced: 0,
      channel: {
        publish: async () => undefined,
        subscribe: async (listener) => {
          listeners.push(listener);
          return async () => undefined;
        },
      },
    });
    await vi.waitFor(() => expect(listeners).toHaveLength(1));
    expect(await status()).toBe(200);
    isActive = false;
    expect(await status()).toBe(200);
    listeners[0]?.interrupted();
    await vi.waitFor(async () => expect(await status()).toBe(401));
  });
});
