// Where mtlsBound() stands among other middleware, as docs/guides/getting-started.md has it.
import { text } from 'node:stream/consumers';
import Router from '@koa/router';
import { createTestKit } from '@mtls-bound/core/testing';
import express, { type ErrorRequestHandler } from 'express';
import * as expressMtls from 'express-mtls';
import Koa, { type Middleware } from 'koa';
import mount from 'koa-mount';
import * as koaMtls from 'koa-mtls';
import supertest from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import type { Listener } from '../../support/apis.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

/** What stands in an app, in its order. `routes` are `/guarded` and `/open`, which has no guard. */
type Part = 'mtlsBound' | 'body parsers' | 'limit' | 'routes';

const apps: Readonly<Record<string, (...parts: Part[]) => Listener>> = {
  Express(...parts) {
    const app = express();
    const answer: express.RequestHandler = (req, res) => void res.json(req.auth?.clientId ?? 'anonymous');
    const all: Record<Part, () => unknown> = {
      mtlsBound: () => app.use(expressMtls.mtlsBound(kit.options)),
      'body parsers': () => app.use(express.json(), express.urlencoded()),
      limit: () => app.use('/limited', (_req, res) => void res.sendStatus(429)),
      routes: () => app.all('/guarded', expressMtls.guarded(answer as never) as never).all('/open', answer),
    };
    for (const part of parts) {
      all[part]();
    }
    const onError: ErrorRequestHandler = (error, _req, res, _next) =>
      void res.sendStatus(error.status ?? 500);
    return app.use(onError);
  },
  Koa(...parts) {
    const app = new Koa();
    app.silent = true;
    const answer: Middleware = (ctx) => {
      ctx.body = JSON.stringify(
        (ctx.state.auth as koaMtls.Authorization | undefined)?.clientId ?? 'anonymous',
      );
    };
    const at =
      (path: string, ...middleware: Middleware[]): Middleware =>
      (ctx, next) =>
        ctx.path === path ? middleware[0]?.(ctx, next) : next();
    const all: Record<Part, () => unknown> = {
      mtlsBound: () => app.use(koaMtls.mtlsBound(kit.options)),
      'body parsers': () =>
        app.use(async (ctx, next) => {
          const body = await text(ctx.req);
          const parse = ctx.is('json')
            ? JSON.parse
            : (form: string) => Object.fromEntries(new URLSearchParams(form));
          try {
            Object.assign(ctx.request, { body: body === '' ? {} : parse(body) });
          } catch {
            ctx.throw(400);
          }
          await next();
        }),
      limit: () =>
        app.use(
          at('/limited', (ctx) => {
            ctx.status = 429;
          }),
        ),
      routes: () => {
        const router = new Router();
        router.all('/guarded', koaMtls.guarded(answer as never) as never);
        router.all('/open', answer as never);
        app.use(router.routes() as never);
      },
    };
    for (const part of parts) {
      all[part]();
    }
    return app.callback();
  },
};

const token = kit.boundToken({ clientId: 'partner' });
const good = (request: supertest.Test) => kit.withCertificate(request).auth(token, { type: 'bearer' });

describe.each(Object.entries(apps))('%s', (_name, appOf) => {
  const inForm = (listener: Listener) =>
    good(supertest(listener).post('/guarded')).type('form').send({ access_token: 'a' });

  it('a token in a form is refused by mtlsBound() behind the body parsers, and not seen before them', async () => {
    const behind = await inForm(appOf('body parsers', 'mtlsBound', 'routes'));
    expect([behind.status, behind.body.error]).toEqual([400, 'invalid_request']);
    expect(behind.body.error_description).toContain('not in the body');
    const before = await inForm(appOf('mtlsBound', 'body parsers', 'routes'));
    expect([before.status, before.text]).toEqual([200, '"partner"']);
  });

  it('malformed JSON without a token fails in a parser before mtlsBound(), and gets 401 behind it', async () => {
    const malformed = (listener: Listener) => supertest(listener).post('/guarded').type('json').send('{"a":');
    const behind = await malformed(appOf('body parsers', 'mtlsBound', 'routes'));
    expect([behind.status, behind.headers['www-authenticate']]).toEqual([400, undefined]);
    const before = await malformed(appOf('mtlsBound', 'body parsers', 'routes'));
    expect(before.status).toBe(401);
  });

  it('behind the routes it does nothing: a guarded one answers 503, one without a guard lets all in', async () => {
    const listener = appOf('routes', 'mtlsBound');
    expect((await good(supertest(listener).get('/guarded'))).status).toBe(503);
    expect((await supertest(listener).get('/guarded')).status).toBe(503);
    const open = await supertest(listener).get('/open');
    expect([open.status, open.text]).toEqual([200, '"anonymous"']);
  });

  it('what answers before it needs no token; behind it each request has one', async () => {
    expect((await supertest(appOf('limit', 'mtlsBound', 'routes')).get('/limited')).status).toBe(429);
    const listener = appOf('mtlsBound', 'limit', 'routes');
    expect((await supertest(listener).get('/limited')).status).toBe(401);
    expect((await good(supertest(listener).get('/limited'))).status).toBe(429);
    expect((await supertest(listener).get('/open')).status).toBe(401);
  });
});

describe('Koa at a path: a route without a guard lets all in by another letter case', () => {
  const answer: Middleware = (ctx) => {
    ctx.body = 'in';
  };
  const prefixed = (before: (app: Koa, router: Router) => void): Listener => {
    const app = new Koa();
    const router = new Router({ prefix: '/api' });
    before(app, router);
    router.get('/open', answer as never);
    return app.use(router.routes() as never).callback();
  };

  it.each<[string, (app: Koa, router: Router) => void, number]>([
    ['mount()', (app) => app.use(mount('/api', koaMtls.mtlsBound(kit.options))), 200],
    ['a router with a prefix', (_app, router) => router.use(koaMtls.mtlsBound(kit.options) as never), 200],
    ['app.use() has no such gap', (app) => app.use(koaMtls.mtlsBound(kit.options)), 401],
  ])('%s', async (_title, before, status) => {
    const listener = prefixed(before);
    expect((await supertest(listener).get('/api/open')).status).toBe(401);
    expect((await supertest(listener).get('/API/open')).status).toBe(status);
  });
});

describe('two mtlsBound() in an app', () => {
  it('guards at a path go by the one that accepted the request', async () => {
    const other = await createTestKit();
    const app = express();
    app.use('/ours', expressMtls.mtlsBound(kit.options));
    app.use('/others', expressMtls.mtlsBound(other.options));
    for (const path of ['/ours', '/others']) {
      app.get(
        path,
        expressMtls.requireActive(),
        expressMtls.requireScopes('r'),
        (_req, res) => void res.end(),
      );
    }
    const statusOf = async (by: typeof kit, path: string) =>
      (
        await by
          .withCertificate(supertest(app).get(path))
          .auth(by.boundToken({ scopes: ['r'] }), { type: 'bearer' })
      ).status;
    expect([await statusOf(kit, '/ours'), await statusOf(other, '/others')]).toEqual([200, 200]);
    expect([await statusOf(other, '/ours'), await statusOf(kit, '/others')]).toEqual([401, 401]);
  });

  it('one behind the other: each must accept the request', async () => {
    const strict = expressMtls.mtlsBound(kit.options);
    const lax = expressMtls.mtlsBound({ ...kit.options, binding: 'when-bound' });
    const app = express();
    app.get('/lax', lax, (_req, res) => void res.end());
    app.get('/lax-strict', lax, strict, (_req, res) => void res.end());
    app.get('/strict-lax', strict, lax, (_req, res) => void res.end());
    const unbound = kit.unboundToken();
    const statuses = [];
    for (const path of ['/lax', '/lax-strict', '/strict-lax']) {
      statuses.push((await supertest(app).get(path).auth(unbound, { type: 'bearer' })).status);
    }
    expect(statuses).toEqual([200, 401, 401]);
  });
});
