// An answer that a client stores must give it no nonce that is too old later (RFC 9449 §8.2).
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, createSecureServer } from 'node:http2';
import { createServer } from 'node:https';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express, { type ErrorRequestHandler } from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks, type Listener, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
let kit: TestKit;
const client = dpopClient();
const nonce = { secret: 'n'.repeat(32), maxAge: 300 };

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  kit = await createTestKit();
});
afterEach(() => {
  vi.useRealTimers();
});

const failure = (headers: Record<string, string> = {}) =>
  Object.assign(new Error('gone'), { status: 410, headers });
const stored = { 'Cache-Control': 'private, max-age=600' };

/** An API whose handlers answer each path in another way. */
function createApi(framework: (typeof frameworks)[number], demandsNonce: boolean): Listener {
  const options = { ...kit.options, dpop: { origin: proofOrigin, ...(demandsNonce && { nonce }) } };
  if (framework === 'Express') {
    const app = express();
    app.use(expressMtls.mtlsBound(options));
    app.get('/plain', (_req, res) => void res.json({ some: 'data' }));
    app.get('/own', (_req, res) => void res.set(stored).json({ some: 'data' }));
    app.get('/without', (_req, res) => {
      res.removeHeader('DPoP-Nonce');
      res.set(stored).json({ some: 'data' });
    });
    app.get('/error', () => {
      throw failure();
    });
    app.get('/own-error', () => {
      throw failure(stored);
    });
    app.get('/scope', expressMtls.requireScopes('more'), (_req, res) => void res.json({}));
    const quiet: ErrorRequestHandler = (error, _req, res, next) => {
      error.stack = undefined;
      res.locals.failed = true;
      next(error);
    };
    return app.use(quiet);
  }
  const app = new Koa();
  app.silent = true;
  app.use(async (ctx, next) => {
    await next();
    if (ctx.status === 200) {
      ctx.etag = 'the-data';
      ctx.status = ctx.fresh ? 304 : 200;
    }
  });
  app.use(koaMtls.mtlsBound(options));
  app.use(async (ctx, next) => {
    if (ctx.path === '/scope') {
      return koaMtls.requireScopes('more')(ctx as never, next);
    }
    if (ctx.path === '/error' || ctx.path === '/own-error') {
      throw failure(ctx.path === '/error' ? {} : stored);
    }
    if (ctx.path !== '/plain') {
      ctx.set(stored);
    }
    if (ctx.path === '/without') {
      ctx.remove('DPoP-Nonce');
    }
    ctx.body = { some: 'data' };
  });
  return app.callback();
}

const token = (): string => kit.boundToken({ expiresIn: 3_600, claims: { cnf: { jkt: client.jkt } } });
const headersFor = (path: string, bound: string, used: string | undefined, more: object) => ({
  authorization: `DPoP ${bound}`,
  dpop: client.proof(bound, { claims: { htu: `${proofOrigin}${path}`, nonce: used } }),
  ...more,
});

describe.each(frameworks)('%s', (framework) => {
  async function withApi(
    use: (send: (path: string, used?: string, more?: object) => Promise<Reply>) => Promise<void>,
    demandsNonce = true,
  ): Promise<void> {
    const api: TestApi = await serve(
      createServer(mutualTls(pki), createApi(framework, demandsNonce)),
      () => 0,
    );
    const bound = token();
    try {
      await use(async (path, used, more = {}) => {
        const { status, headers } = await call(pki, api, path).set(headersFor(path, bound, used, more));
        return { status, nonce: headers['dpop-nonce'], cache: headers['cache-control'], etag: headers.etag };
      });
    } finally {
      await api.close();
    }
  }
  interface Reply {
    readonly status: number;
    readonly nonce: string | undefined;
    readonly cache: string | undefined;
    readonly etag: string | undefined;
  }
  const isNonce = expect.stringMatching(/^[\w-]{28}$/);

  it.each([
    ['an answer', '/plain', 200, isNonce, 'no-store'],
    ['an answer with a Cache-Control of its own', '/own', 200, isNonce, 'private, max-age=600'],
    ['an answer that gives no nonce', '/without', 200, undefined, 'private, max-age=600'],
    ['an error', '/error', 410, isNonce, 'no-store'],
    ['an error with a Cache-Control of its own', '/own-error', 410, isNonce, 'private, max-age=600'],
    ['a refusal by a guard', '/scope', 403, isNonce, 'no-store'],
  ])('%s has the nonce that it should have, and may be stored or not', async (_, path, ...expected) => {
    await withApi(async (send) => {
      const first = await send(path);
      expect(first).toMatchObject({ status: 401, nonce: isNonce, cache: 'no-store' });
      const { status, nonce: given, cache } = await send(path, first.nonce);
      expect([status, given, cache]).toEqual(expected);
      // The latest one, though the client has it already: it takes the place of an older one.
      expect(given ?? first.nonce).toBe(first.nonce);
    });
  });

  it('an answer that says that nothing changed has the latest nonce', async () => {
    await withApi(async (send) => {
      const { nonce: first } = await send('/own');
      const { etag } = await send('/own', first);
      expect(etag).toBeDefined();
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 101_000 });
      const { nonce: second } = await send('/plain', first);
      expect(second).not.toBe(first);
      expect(await send('/plain', second, { 'if-none-match': etag })).toMatchObject({
        status: 304,
        nonce: second,
        cache: 'no-store',
      });
    });
  });

  it('without nonces an answer is stored as ever', async () => {
    await withApi(async (send) => {
      expect(await send('/plain')).toMatchObject({ status: 200, nonce: undefined, cache: undefined });
    }, false);
  });
});

it('Koa over HTTP/2: an answer and an error have nonce and Cache-Control', async () => {
  const listener = createApi('Koa', true) as unknown as (req: unknown, res: unknown) => void;
  const server = createSecureServer({ ...mutualTls(pki) }, (req, res) =>
    listener(req as unknown as IncomingMessage, res as unknown as ServerResponse),
  );
  const session = connect(`https://127.0.0.1:${await listen(server)}`, { ca: pki.ca.cert });
  const bound = token();
  const send = async (path: string, used?: string) => {
    const stream = session.request({ ':path': path, ...headersFor(path, bound, used, {}) });
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    stream.resume();
    await once(stream, 'close');
    return [headers[':status'], headers['dpop-nonce'], headers['cache-control']];
  };
  try {
    const [, first] = await send('/plain');
    const used = String(first);
    expect(await send('/plain', used)).toEqual([200, used, 'no-store']);
    expect(await send('/error', used)).toEqual([410, used, 'no-store']);
    expect(await send('/own-error', used)).toEqual([410, used, 'private, max-age=600']);
  } finally {
    session.close();
    await close(server);
  }
});
