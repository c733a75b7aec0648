// A guard believes what mtlsBound() let this request in with, and nothing that looks like it.
import { type Authorization, createResourceServer, type ResourceServerOptions } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import request from 'supertest';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Listener } from '../../support/apis.js';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

let kit: TestKit;
/** What other resource servers made: one of this copy of the packages, one of another. */
let ofAnotherServer: unknown;
let ofAnotherCopy: unknown;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
  ofAnotherServer = await createResourceServer(options()).authorize(requestWith('token'));
  vi.resetModules();
  const copy = await import('@mtls-bound/core');
  ofAnotherCopy = await copy.createResourceServer(options()).authorize(requestWith('token'));
  expect([ofAnotherServer, ofAnotherCopy]).toMatchObject([{ isBound: true }, { isBound: true }]);
});

const options = (more: ResourceServerOptions = {}) =>
  optionsOver(
    pretendServer(() => boundClaims(kit.certificate, { scope: 'payments:write' })),
    kit.certificate,
    more,
  );

type Forge = (auth: Authorization | undefined) => unknown;
type Guards = { readonly [Name in keyof ReturnType<typeof guardsOf>]: unknown };
const guardsOf = ({ requireScopes, guard, requireCertificate }: typeof expressMtls | typeof koaMtls) => ({
  requireScopes: requireScopes('payments:write'),
  requireCertificate: requireCertificate({ requireValidNow: true }),
  'guard() that waits': guard(async () => undefined),
  'guard() that passes all': guard(() => undefined),
});

/** Another middleware, between `mtlsBound()` and the guard, puts something in place of the authorization. */
const apps: Record<
  string,
  (options: expressMtls.ResourceServerOptions, forge: Forge, guard: keyof Guards) => Listener
> = {
  Express: (...of) => expressApp(express, ...of),
  'Express 4': (...of) => expressApp(express4, ...of),
  Koa: (...of) => koaApp(Koa, ...of),
  'Koa 2': (...of) => koaApp(Koa2, ...of),
};

function expressApp(
  framework: typeof express,
  options: expressMtls.ResourceServerOptions,
  forge: Forge,
  guard: keyof Guards,
): Listener {
  const app = framework();
  app.use(expressMtls.mtlsBound(options));
  app.use((req, _res, next) => {
    req.auth = forge(req.auth) as Authorization;
    next();
  });
  app.use(guardsOf(expressMtls)[guard] as express.RequestHandler);
  app.use((_req, res) => {
    res.send('handled');
  });
  return app as Listener;
}

function koaApp(
  Framework: typeof Koa,
  options: expressMtls.ResourceServerOptions,
  forge: Forge,
  guard: keyof Guards,
): Listener {
  const app = new Framework();
  app.use(koaMtls.mtlsBound(options) as Koa.Middleware);
  app.use((ctx, next) => {
    ctx.state.auth = forge(ctx.state.auth);
    return next();
  });
  app.use(guardsOf(koaMtls)[guard] as unknown as Koa.Middleware);
  app.use((ctx) => {
    ctx.body = 'handled';
  });
  return app.callback() as Listener;
}

const shape = () => ({
  issuer: 'https://as.example.com',
  subject: 'user-1',
  clientId: 'alice',
  scopes: ['payments:write'],
  claims: { scope: 'payments:write' },
  certificate: kit.certificate,
  isBound: true,
});

const inherited = { scopes: { value: ['payments:write'] } };
const withPrototype = (auth: unknown) =>
  Object.assign(Object.create(Object.getPrototypeOf(auth ?? {})), auth);

const forgeries: [string, Forge][] = [
  ['an object of the same shape', shape],
  ['a frozen object of the same shape', () => Object.freeze(shape())],
  ['a copy of the real one', (auth) => ({ ...auth, ...shape() })],
  ['the real one as JSON makes it', (auth) => JSON.parse(JSON.stringify({ ...auth, ...shape() }))],
  ['true', () => true],
  ['a text', () => 'alice'],
  ['null', () => null],
  ['a function', () => Object.assign(() => undefined, shape())],
  ['a promise', () => Promise.resolve(shape())],
  ['an object that inherits from the real one', (auth) => Object.create(auth ?? null, inherited)],
  ['a frozen copy with the prototype of the real one', (auth) => Object.freeze(withPrototype(auth))],
  ['a structured clone of the real one', (auth) => structuredClone({ ...auth, certificate: undefined })],
  ['a proxy around the real one', (auth) => new Proxy(auth ?? {}, {})],
  ['a promise of the real one', (auth) => Promise.resolve(auth)],
  ['that of another resource server', () => ofAnotherServer],
  ['that of another copy of the packages', () => ofAnotherCopy],
];

describe.each(Object.entries(apps))('%s', (_name, start) => {
  const guardNames = [
    'requireScopes',
    'requireCertificate',
    'guard() that waits',
    'guard() that passes all',
  ] as const;

  describe.each(guardNames)('%s', (guard) => {
    it.each(forgeries)(
      'does not believe %s, after a good request or after one without credentials',
      async (_title, forge) => {
        const strict = start(options(), forge, guard);
        const good = await request(strict).get('/').auth('token', { type: 'bearer' });
        expect([good.status >= 400, good.text.includes('handled')]).toEqual([true, false]);
        const open = start(options({ credentials: 'optional' }), forge, guard);
        for (const anonymous of [
          request(open).get('/'),
          request(open).get('/').auth('token', { type: 'bearer' }),
        ]) {
          const { status, text } = await anonymous;
          expect([status >= 400, text.includes('handled')]).toEqual([true, false]);
        }
      },
    );

    it('does not believe that of another request, to the same server with the same token', async () => {
      let first: unknown;
      const app = start(options(), (auth) => (first ??= auth), guard);
      const send = () => request(app).get('/').auth('token', { type: 'bearer' });
      expect((await send()).status).toBe(200);
      expect(first).toMatchObject({ subject: 'user-1' });
      const { status, text } = await send();
      expect([status, text.includes('handled')]).toEqual([503, false]);
    });

    it('believes the real one', async () => {
      const { status, text } = await request(start(options(), (auth) => auth, guard))
        .get('/')
        .auth('token', { type: 'bearer' });
      expect([status, text]).toEqual([200, 'handled']);
    });
  });
});
