// credentials: 'optional' lets a request without credentials pass, and never one whose credentials failed.
import { createServer } from 'node:http';
import { createResourceServer } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import request from 'supertest';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework, type Listener } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import {
  boundClaims,
  optionsOver,
  type PretendServer,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const frameworks: Framework[] = ['Express', 'Express 4', 'Koa', 'Koa 2'];
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();
afterAll(() => {
  vi.restoreAllMocks();
});

const now = () => Math.floor(Date.now() / 1000);
/** What the authorization server says of a token, and the status of a request with it. */
const failures: [string, () => object, number][] = [
  ['inactive', () => ({ active: false }), 401],
  ['expired', () => boundClaims(kit.certificate, { exp: now() - 120 }), 401],
  ['not yet valid', () => boundClaims(kit.certificate, { nbf: now() + 120 }), 401],
  ['for another audience', () => boundClaims(kit.certificate, { aud: 'https://other.example.com' }), 401],
  ['of another issuer', () => boundClaims(kit.certificate, { iss: 'https://other.example.com' }), 401],
  ['bound to another certificate', () => boundClaims(kit.otherCertificate), 401],
  ['bound to nothing', () => boundClaims(kit.certificate, { cnf: undefined }), 401],
  ['bound by another method', () => boundClaims(kit.certificate, { cnf: { jkt: 'x' } }), 401],
  ['of another type', () => boundClaims(kit.certificate, { token_type: 'refresh_token' }), 401],
  ['with malformed claims', () => boundClaims(kit.certificate, { sub: 7 }), 401],
  ['that the server fails at', () => new Response('', { status: 500 }), 503],
  ['that the server refuses us for', () => new Response('', { status: 401 }), 503],
];

describe.each(frameworks)('%s', (framework) => {
  let server: PretendServer;
  let claims: () => object;
  let api: ReturnType<typeof createApi>;
  let listening: ReturnType<typeof createServer>;
  let url: string;
  beforeEach(async () => {
    server = pretendServer(() => claims());
    api = createApi(framework, optionsOver(server, kit.certificate, { credentials: 'optional' }));
    listening = createServer(api.listener);
    url = `http://127.0.0.1:${await listen(listening)}`;
  });
  afterEach(() => close(listening));

  const get = (path = '/') => request(url).get(path);

  it.each(failures)(
    'a token %s never passes as no token: asked about, and known',
    async (_title, answer, status) => {
      claims = answer;
      for (let i = 0; i < 3; i += 1) {
        expect((await get().auth('token', { type: 'bearer' })).status).toBe(status);
      }
      expect(api.handled()).toBe(0);
      // The server was really asked: what refuses is its answer.
      expect(server.asked[0]).toBe('token');
    },
  );

  it.each([
    ['malformed', { authorization: 'Bearer a b' }, '/'],
    ['empty', { authorization: 'Bearer' }, '/'],
    ['in the query', {}, '/?access_token=token'],
  ])('credentials that are %s never pass as none', async (_title, headers, path) => {
    claims = () => boundClaims(kit.certificate);
    expect((await get(path).set(headers)).status).toBe(400);
    expect([api.handled(), server.asked]).toEqual([0, []]);
  });

  it('no credentials pass, without an authorization, and only where no guard stands', async () => {
    const open = await get();
    expect([open.status, open.body]).toEqual([200, { frozen: true }]);
    expect((await get('/payments')).status).toBe(401);
    expect((await get('/active')).status).toBe(401);
    expect(api.handled()).toBe(1);
  });

  it('a good token passes with its authorization', async () => {
    claims = () => boundClaims(kit.certificate);
    for (let i = 0; i < 2; i += 1) {
      const { status, body } = await get().auth('token', { type: 'bearer' });
      expect([status, body.clientId]).toEqual([200, 'alice']);
    }
  });
});

/** Another middleware, before `mtlsBound()`, puts something where the authorization goes. */
const behind: Record<string, (of: expressMtls.ResourceServerOptions, left: unknown) => Listener> = {
  Express: (...of) => expressBehind(express, ...of),
  'Express 4': (...of) => expressBehind(express4, ...of),
  Koa: (...of) => koaBehind(Koa, ...of),
  'Koa 2': (...of) => koaBehind(Koa2, ...of),
};

function expressBehind(
  framework: typeof express,
  options: expressMtls.ResourceServerOptions,
  left: unknown,
): Listener {
  const app = framework();
  app.use((req, _res, next) => {
    Object.assign(req, { auth: left });
    next();
  });
  app.use(expressMtls.mtlsBound(options));
  app.get('/scopes', expressMtls.requireScopes('accounts:read'));
  app.use((req, res) => {
    res.json({ auth: req.auth?.subject ?? String(req.auth) });
  });
  return app as Listener;
}

function koaBehind(
  Framework: typeof Koa,
  options: expressMtls.ResourceServerOptions,
  left: unknown,
): Listener {
  const app = new Framework();
  app.use((ctx, next) => {
    ctx.state.auth = left;
    return next();
  });
  app.use(koaMtls.mtlsBound(options) as Koa.Middleware);
  const scopes = koaMtls.requireScopes('accounts:read') as Koa.Middleware;
  app.use((ctx, next) => (ctx.path === '/scopes' ? scopes(ctx, next) : next()));
  app.use((ctx) => {
    ctx.body = { auth: ctx.state.auth?.subject ?? String(ctx.state.auth) };
  });
  return app.callback() as Listener;
}

describe.each(Object.entries(behind))('%s, behind another middleware', (_name, start) => {
  it.each<[string, () => unknown]>([
    ['a user', () => ({ user: 'admin', subject: 'admin', scopes: ['accounts:read'] })],
    ['true', () => true],
    [
      'the authorization of another resource server',
      () => createResourceServer(accepting()).authorize(requestWith('token')),
    ],
  ])('%s that it left is gone', async (_title, leave) => {
    const app = start(accepting({ credentials: 'optional' }), await leave());
    const open = await request(app).get('/');
    expect([open.status, open.body]).toEqual([200, { auth: 'undefined' }]);
    expect((await request(app).get('/scopes')).status).toBe(401);
    // Asked about, and known.
    for (let i = 0; i < 2; i += 1) {
      const known = await request(app).get('/scopes').auth('token', { type: 'bearer' });
      expect([known.status, known.body]).toEqual([200, { auth: 'user-1' }]);
    }
  });
});

const accepting = (more: expressMtls.ResourceServerOptions = {}) =>
  optionsOver(
    pretendServer(() => boundClaims(kit.certificate)),
    kit.certificate,
    more,
  );
