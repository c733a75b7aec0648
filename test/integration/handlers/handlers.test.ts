// What an application does behind our middleware stays the application's: its errors, its headers, its answers.
import { createServer, type ServerResponse } from 'node:http';
import { nginx, proxyHeader, RequestRefused } from '@mtls-bound/core';
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
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let kit: TestKit;
let pki: Pki;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  [kit, pki] = await Promise.all([createTestKit(), createPki()]);
});

/** An application with one route: what runs before our middleware, our middleware, and the handler. */
interface Application {
  readonly options?: expressMtls.ResourceServerOptions;
  readonly before?: (res: ServerResponse) => void;
  /** Sets this `Vary` in the framework's own way before our middleware runs. */
  readonly vary?: string;
  readonly handler: () => unknown;
  /** A policy that gives a promise, so that the guard is asynchronous. */
  readonly policy?: expressMtls.RoutePolicy;
}

interface Started {
  readonly listener: Listener;
  /** What reached the application's own error handling. */
  readonly errors: unknown[];
  handled(): number;
}

const apps: Record<string, (application: Application) => Started> = {
  Express: (application) => expressApp(express, application),
  'Express 4': (application) => expressApp(express4, application),
  Koa: (application) => koaApp(Koa, application),
  'Koa 2': (application) => koaApp(Koa2, application),
};

function expressApp(framework: typeof express, { options, before, vary, handler, policy }: Application) {
  const app = framework();
  const errors: unknown[] = [];
  let handled = 0;
  app.use((_req, res, next) => {
    if (vary !== undefined) {
      res.vary(vary);
    }
    before?.(res);
    next();
  });
  app.use(expressMtls.mtlsBound(options));
  if (policy !== undefined) {
    app.use(expressMtls.guard(policy));
  }
  app.use((_req, res, next) => {
    handled += 1;
    const outcome = handler();
    if (outcome instanceof Promise && framework === express4) {
      // Express 4 knows no promises: its applications hand errors to next().
      outcome.then((value) => res.send(value), next);
      return;
    }
    return outcome instanceof Promise
      ? outcome.then((value) => void res.send(value))
      : void res.send(outcome);
  });
  const onError: express.ErrorRequestHandler = (error, _req, res, _next) => {
    errors.push(error);
    if (!res.headersSent) {
      res.status(500).send('of the application');
    }
  };
  app.use(onError);
  return { listener: app as Listener, errors, handled: () => handled };
}

function koaApp(Framework: typeof Koa, { options, before, vary, handler, policy }: Application): Started {
  const app = new Framework();
  const errors: unknown[] = [];
  let handled = 0;
  app.use(async (ctx, next) => {
    try {
      if (vary !== undefined) {
        ctx.vary(vary);
      }
      before?.(ctx.res);
      await next();
    } catch (error) {
      errors.push(error);
      ctx.status = 500;
      ctx.body = 'of the application';
    }
  });
  app.use(koaMtls.mtlsBound(options) as Koa.Middleware);
  if (policy !== undefined) {
    app.use(koaMtls.guard(policy) as Koa.Middleware);
  }
  app.use(async (ctx) => {
    handled += 1;
    ctx.body = await handler();
  });
  app.on('error', (error) => errors.push(error));
  return { listener: app.callback() as Listener, errors, handled: () => handled };
}

const slow: expressMtls.RoutePolicy = async () => undefined;
const quick: expressMtls.RoutePolicy = () => undefined;

describe.each(Object.entries(apps))('%s', (name, start) => {
  const good = () => pretendServer(() => boundClaims(kit.certificate));
  const options = (more: expressMtls.ResourceServerOptions = {}) =>
    optionsOver(good(), kit.certificate, more);
  const get = (listener: Listener) => request(listener).get('/').auth('token', { type: 'bearer' });

  const thrown: [string, unknown][] = [
    ['an Error', new Error('of the handler')],
    ['an error with a status', Object.assign(new Error('gone'), { status: 410 })],
    ['a refusal of this package', new RequestRefused('token_inactive')],
    ['an error that looks like a refusal', { name: 'RequestRefused', code: 'token_inactive', status: 401 }],
  ];
  const manners: [string, (error: unknown) => () => unknown][] = [
    [
      'at once',
      (error) => () => {
        throw error;
      },
    ],
    ['later', (error) => async () => Promise.reject(error)],
  ];
  const guards: [string, expressMtls.RoutePolicy | undefined][] = [
    ['mtlsBound() alone', undefined],
    ['a guard', quick],
    ['a guard that waits', slow],
  ];
  describe.each(guards)('behind %s', (_guard, policy) => {
    it.each(
      thrown.flatMap(([what, error]) =>
        manners.map(([when, throwing]) => [`${what}, ${when}`, error, throwing(error)] as const),
      ),
    )(
      'a handler throws %s: the application sees that very error, once, and answers',
      async (_title, error, handler) => {
        const { listener, errors, handled } = start({
          options: options(),
          handler,
          ...(policy !== undefined && { policy }),
        });
        // The first request is asked about, the second is known: mtlsBound() waits for the one and not for the other.
        for (let i = 1; i <= 2; i += 1) {
          const response = await get(listener);
          expect([response.status, response.text]).toEqual([500, 'of the application']);
          expect(response.headers['www-authenticate']).toBeUndefined();
          expect(errors).toHaveLength(i);
          expect(errors.at(-1)).toBe(error);
          expect(handled()).toBe(i);
        }
      },
    );
  });

  const refusing: [string, expressMtls.RoutePolicy | undefined, () => object][] = [
    ['mtlsBound() refuses', undefined, () => ({ active: false })],
    [
      'a guard refuses',
      () => {
        throw new RequestRefused('scope_insufficient');
      },
      () => boundClaims(kit.certificate),
    ],
    [
      'a guard that waits refuses',
      async () => {
        throw new RequestRefused('scope_insufficient');
      },
      () => boundClaims(kit.certificate),
    ],
  ];
  it.each(refusing)(
    '%s when the head of an answer has been sent: nothing breaks, and the handler does not run',
    async (_title, policy, claims) => {
      const unhandled = vi.fn();
      process.on('unhandledRejection', unhandled);
      const answers: ServerResponse[] = [];
      const { listener, errors, handled } = start({
        options: optionsOver(pretendServer(claims), kit.certificate),
        before: (res) => {
          answers.push(res);
          res.writeHead(200, { 'content-type': 'text/plain' });
          res.write('begun');
          // The application ends what it has begun.
          setTimeout(() => res.end(), 200);
        },
        handler: () => 'handled',
        ...(policy !== undefined && { policy }),
      });
      const server = createServer(listener);
      const url = `http://127.0.0.1:${await listen(server)}`;
      try {
        for (let i = 0; i < 2; i += 1) {
          // Koa ends it or cuts it off, which says nothing of what is guarded.
          const text = await fetch(url, { headers: { authorization: 'Bearer token' } })
            .then((response) => response.text())
            .catch(() => '');
          expect(text).not.toContain('handled');
          if (name.startsWith('Express')) {
            expect(text).toBe('begun');
          }
        }
        expect([handled(), errors]).toEqual([0, []]);
        expect(unhandled).not.toHaveBeenCalled();
      } finally {
        process.off('unhandledRejection', unhandled);
        await close(server);
      }
    },
  );

  describe('Vary', () => {
    const behindProxy = () => {
      const certificate = proxyHeader(nginx(), { trust: 'loopback' });
      const server = pretendServer(() => boundClaims(pki.alice));
      return optionsOver(server, undefined, { certificate });
    };
    const getThroughProxy = (listener: Listener) =>
      get(listener).set('x-ssl-client-cert', encodeURIComponent(pki.alice.cert));
    const namesIn = (vary: string | undefined) =>
      (vary ?? '').split(',').map((name) => name.trim().toLowerCase());

    it.each<[string, string | undefined, string[]]>([
      ['nothing was there', undefined, ['x-ssl-client-cert']],
      ['another name was there', 'Origin', ['origin', 'x-ssl-client-cert']],
      ['several were there', 'Origin, Accept', ['accept', 'origin', 'x-ssl-client-cert']],
      ['it was there', 'X-SSL-Client-Cert', ['x-ssl-client-cert']],
    ])(
      'the header of the certificate is added, and what was there stays: %s',
      async (_title, vary, expected) => {
        const { listener } = start({
          options: behindProxy(),
          handler: () => 'ok',
          ...(vary !== undefined && { vary }),
        });
        for (let i = 0; i < 2; i += 1) {
          const { status, headers } = await getThroughProxy(listener);
          expect([status, namesIn(headers.vary).toSorted()]).toEqual([200, expected]);
        }
      },
    );

    it('the star says all', async () => {
      const { listener } = start({ options: behindProxy(), vary: '*', handler: () => 'ok' });
      expect(namesIn((await getThroughProxy(listener)).headers.vary)).toContain('*');
    });
  });

  it.each([
    ['of two bytes', 'Zugriff nicht möglich'],
    ['of three bytes', 'アクセスできません'],
    ['of four bytes', '🔒🔒🔒'],
  ])('the body of a refusal with characters %s has its length in bytes', async (_title, text) => {
    const errorBody = () => ({ text });
    const server = pretendServer(() => ({ active: false }));
    const { listener } = start({
      options: optionsOver(server, kit.certificate, { errorBody }),
      handler: () => 'ok',
    });
    for (let i = 0; i < 2; i += 1) {
      const { status, headers, body } = await get(listener);
      expect([status, body]).toEqual([401, { text }]);
      expect(headers['content-length']).toBe(String(Buffer.byteLength(JSON.stringify({ text }))));
    }
  });

  it('what the handler answers goes out as it is', async () => {
    const { listener } = start({ options: options(), handler: () => 'möglich' });
    for (let i = 0; i < 2; i += 1) {
      const { status, text, headers } = await get(listener);
      expect([status, text, headers['cache-control'], headers['www-authenticate']]).toEqual([
        200,
        'möglich',
        undefined,
        undefined,
      ]);
    }
  });

  it('a refusal keeps no content type and no length of what the application had in mind', async () => {
    const { listener, handled } = start({
      options: options(),
      before: (res) => {
        res.setHeader('Content-Type', 'text/csv');
        res.setHeader('X-Of-The-Application', 'stays');
      },
      handler: () => 'ok',
    });
    const response = await request(listener).get('/');
    expect([response.status, response.headers['x-of-the-application'], handled()]).toEqual([401, 'stays', 0]);
    const refused = await request(listener).get('/').set('authorization', 'Bearer a b');
    expect([refused.status, refused.headers['content-type']]).toEqual([
      400,
      'application/json; charset=utf-8',
    ]);
  });
});
