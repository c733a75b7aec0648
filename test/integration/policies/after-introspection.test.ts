// requireActive() asks the authorization server, and what it says then is what the rest of the request is judged by.
import { RequestRefused, type RoutePolicy } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import request from 'supertest';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Listener } from '../../support/apis.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let kit: TestKit;
let claims: object;
const good = (changes = {}) => boundClaims(kit.certificate, { scope: 'payments:write', ...changes });
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});
beforeEach(() => {
  claims = good();
});

const options = () =>
  optionsOver(
    pretendServer(() => claims),
    kit.certificate,
  );

type Library = typeof expressMtls | typeof koaMtls;
type Guards = (library: Library) => unknown[];

const apps: Record<string, (guards: Guards) => Listener> = {
  Express: (guards) => expressApp(express, guards),
  'Express 4': (guards) => expressApp(express4, guards),
  Koa: (guards) => koaApp(Koa, guards),
  'Koa 2': (guards) => koaApp(Koa2, guards),
};

function expressApp(framework: typeof express, guards: Guards): Listener {
  const app = framework();
  app.use(expressMtls.mtlsBound(options()));
  app.get('/open', (_req, res) => {
    res.send('open');
  });
  app.use(...(guards(expressMtls) as express.RequestHandler[]));
  app.use((req, res) => {
    res.json(req.auth?.scopes);
  });
  return app as Listener;
}

function koaApp(Framework: typeof Koa, guards: Guards): Listener {
  const app = new Framework();
  app.use(koaMtls.mtlsBound(options()) as Koa.Middleware);
  app.use(async (ctx, next) => {
    if (ctx.path === '/open') {
      ctx.body = 'open';
    } else {
      await next();
    }
  });
  for (const guard of guards(koaMtls)) {
    app.use(guard as Koa.Middleware);
  }
  app.use((ctx) => {
    ctx.body = ctx.state.auth.scopes;
  });
  return app.callback() as Listener;
}

/** A policy that has the token introspected without waiting for it. */
const impatient: RoutePolicy = ({ introspect }) => {
  introspect();
};
const failing: RoutePolicy = ({ introspect }) => {
  introspect();
  throw new RequestRefused('claims_insufficient');
};

describe.each(Object.entries(apps))('%s', (_name, start) => {
  /** The token is cached with the scope; then the authorization server says something else. */
  async function outcome(guards: Guards, said: object) {
    const app = start(guards);
    const get = (path: string) => request(app).get(path).auth('token', { type: 'bearer' });
    expect((await get('/open')).status).toBe(200);
    claims = said;
    const { status, body } = await get('/');
    return { status, body: status === 200 ? body : body.error };
  }

  it.each<[string, Guards]>([
    [
      'requireScopes()',
      ({ requireActive, requireScopes }) => [requireActive(), requireScopes('payments:write')],
    ],
    [
      'requireAnyScope()',
      ({ requireActive, requireAnyScope }) => [requireActive(), requireAnyScope('payments:write', 'x')],
    ],
    [
      'a policy of your own that waits',
      ({ requireActive, requireScopes, guard }) => [
        requireActive(),
        guard(async () => undefined),
        requireScopes('payments:write'),
      ],
    ],
    [
      'a policy that does not wait for the introspection',
      ({ guard, requireScopes }) => [guard(impatient), requireScopes('payments:write')],
    ],
  ])('a scope that is gone is gone for what stands behind requireActive(): %s', async (_title, guards) => {
    expect(await outcome(guards, good({ scope: 'accounts:read' }))).toEqual({
      status: 403,
      body: 'insufficient_scope',
    });
  });

  it('the handler sees the scopes of now', async () => {
    const said = good({ scope: 'payments:write now' });
    expect(await outcome(({ requireActive }) => [requireActive()], said)).toEqual({
      status: 200,
      body: ['payments:write', 'now'],
    });
  });

  it('before requireActive() the scopes of the cached answer count', async () => {
    const guards: Guards = ({ requireActive, requireScopes }) => [
      requireScopes('payments:write'),
      requireActive(),
    ];
    expect(await outcome(guards, good({ scope: 'accounts:read' }))).toEqual({
      status: 200,
      body: ['accounts:read'],
    });
  });

  it('a policy that does not wait for the introspection is refused by it, no rejection is unhandled', async () => {
    expect(await outcome(({ guard }) => [guard(impatient)], { active: false })).toEqual({
      status: 401,
      body: 'invalid_token',
    });
  });

  it('a policy that throws while the introspection is under way leaves no rejection unhandled', async () => {
    expect(await outcome(({ guard }) => [guard(failing)], { active: false })).toEqual({
      status: 403,
      body: 'insufficient_scope',
    });
    await new Promise(setImmediate);
  });
});
