import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import request from 'supertest';
import { describe, expect, it } from 'vitest';
import type { Listener } from '../../support/apis.js';

const kit = await createTestKit();

type Options = expressMtls.ResourceServerOptions;

/** `/accounts` behind two guards, `/open` behind none; without options there is no `mtlsBound()`. */
const apps: Readonly<Record<string, (options?: Options) => Listener>> = {
  Express: (options) => expressApp(express, options),
  'Express 4': (options) => expressApp(express4, options),
  Koa: (options) => koaApp(Koa, options),
  'Koa 2': (options) => koaApp(Koa2, options),
};

function expressApp(framework: typeof express, options?: Options): Listener {
  const { guarded, mtlsBound, requireCertificate, requireScopes } = expressMtls;
  const app = framework();
  if (options !== undefined) {
    app.use(mtlsBound(options));
  }
  app.get(
    '/accounts',
    guarded(requireScopes('read'), requireCertificate({ requireValidNow: true }), (req, res) => {
      res.json([req.auth.clientId, req.auth.certificate.thumbprint]);
    }),
  );
  app.get(
    '/open',
    guarded((req, res) => {
      res.json([req.auth.subject]);
    }),
  );
  return app;
}

function koaApp(Framework: typeof Koa, options?: Options): Listener {
  const { guarded, mtlsBound, requireCertificate, requireScopes } = koaMtls;
  const app = new Framework();
  if (options !== undefined) {
    app.use(mtlsBound(options));
  }
  const accounts = guarded(
    requireScopes('read'),
    requireCertificate({ requireValidNow: true }),
    async ({ state: { auth } }, next) => {
      await next();
      return auth.certificate.thumbprint;
    },
  );
  const open = guarded(async (_ctx, next) => next());
  app.use((ctx, next) => (ctx.path === '/open' ? open : accounts)(ctx, next));
  app.use((ctx) => {
    const { clientId, certificate, subject } = ctx.state.auth;
    ctx.body = ctx.path === '/open' ? [subject] : [clientId, certificate.thumbprint];
  });
  return app.callback();
}

describe.each(Object.entries(apps))('%s: guarded()', (_, appWith) => {
  const get = (path: string, token: string, app = appWith({ ...kit.options })) =>
    kit.withCertificate(request(app).get(path)).auth(token, { type: 'bearer' });

  it('runs the guards in their order, then the handler', async () => {
    const answer = await get('/accounts', kit.boundToken({ scopes: ['read'], clientId: 'c' }));
    expect([answer.status, answer.body]).toEqual([200, ['c', kit.certificate.thumbprint]]);
  });

  it('a guard that refuses keeps the handler from running', async () => {
    expect((await get('/accounts', kit.boundToken())).status).toBe(403);
  });

  it('guarded() with the handler alone calls it', async () => {
    const answer = await get('/open', kit.boundToken({ subject: 'alice' }));
    expect([answer.status, answer.body]).toEqual([200, ['alice']]);
  });

  it('a request that no mtlsBound() let in never reaches the handler, with guards or without', async () => {
    expect((await get('/accounts', kit.boundToken(), appWith())).status).toBe(503);
    expect((await get('/open', kit.boundToken(), appWith())).status).toBe(503);
  });

  it('nor does one without credentials, where these may pass', async () => {
    const answer = await request(appWith({ ...kit.options, credentials: 'optional' })).get('/open');
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer realm="api"']);
  });
});
