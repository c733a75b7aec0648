// What an access log reads when the response has ended, as morgan does: the code of the refusal.
import { type ResourceServerOptions, refusalOf } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import request from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import type { Listener } from '../../support/apis.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

type Options = ResourceServerOptions | undefined;
type Lines = unknown[];

/** Without options no `mtlsBound()` runs. */
const apps: Readonly<Record<string, (options: Options, lines: Lines) => Listener>> = {
  Express: (options, lines) => expressApp(express, options, lines),
  'Express 4': (options, lines) => expressApp(express4, options, lines),
  Koa: (options, lines) => koaApp(Koa, options, lines),
  'Koa 2': (options, lines) => koaApp(Koa2, options, lines),
};

function expressApp(framework: typeof express, options: Options, lines: Lines): Listener {
  const app = framework();
  app.use((req, res, next) => {
    res.on('finish', () =>
      lines.push([req.method, res.statusCode, refusalOf(req)?.code, refusalOf(res)?.code]),
    );
    next();
  });
  app.use(
    expressMtls.fapiHeaders({ interactionId: 'required', ...(options?.onRefused && { onRefused: 'next' }) }),
  );
  if (options !== undefined) {
    app.use(expressMtls.mtlsBound(options));
  }
  app.use(expressMtls.requireScopes('read'), (_req, res) => {
    res.end();
  });
  app.use(((error, _req, res, _next) => {
    res.status(error.status).end();
  }) as express.ErrorRequestHandler);
  return app as Listener;
}

function koaApp(Framework: typeof Koa, options: Options, lines: Lines): Listener {
  const app = new Framework();
  app.silent = true;
  app.use(async (ctx, next) => {
    ctx.res.on('finish', () =>
      lines.push([ctx.method, ctx.res.statusCode, refusalOf(ctx.req)?.code, refusalOf(ctx)?.code]),
    );
    await next();
  });
  app.use(
    koaMtls.fapiHeaders({
      interactionId: 'required',
      ...(options?.onRefused && { onRefused: 'next' }),
    }) as Koa.Middleware,
  );
  if (options !== undefined) {
    app.use(koaMtls.mtlsBound(options) as Koa.Middleware);
  }
  app.use(koaMtls.requireScopes('read') as Koa.Middleware).use((ctx) => {
    ctx.body = '';
  });
  return app.callback() as Listener;
}

const interaction = 'c770aef3-6784-41f7-8e0e-ff5f97bddb3a';

describe.each(Object.entries(apps))('%s: an access log', (_framework, start) => {
  it.each([['answer'], ['next']] as const)(
    'shows the code of each refusal with onRefused: %j',
    async (onRefused) => {
      const lines: Lines = [];
      const listener = start({ ...kit.options, ...(onRefused === 'next' && { onRefused }) }, lines);
      const get = () => kit.withCertificate(request(listener).get('/'));
      const send = (token: string) =>
        get().set('x-fapi-interaction-id', interaction).auth(token, { type: 'bearer' });
      await send(kit.boundToken({ scopes: ['read'] }));
      await send(kit.boundToken({ certificate: kit.otherCertificate }));
      await send(kit.boundToken());
      await get();
      expect(lines).toEqual([
        ['GET', 200, undefined, undefined],
        ['GET', 401, 'certificate_mismatch', 'certificate_mismatch'],
        ['GET', 403, 'scope_insufficient', 'scope_insufficient'],
        ['GET', 400, 'interaction_id_malformed', 'interaction_id_malformed'],
      ]);
    },
  );

  it('shows that a guard ran without mtlsBound()', async () => {
    const lines: Lines = [];
    await request(start(undefined, lines)).get('/').set('x-fapi-interaction-id', interaction);
    expect(lines).toEqual([['GET', 503, 'internal_error', 'internal_error']]);
  });
});
