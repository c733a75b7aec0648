// An error of the application keeps its status, and its answer carries the interaction id and Vary.
import { createReadStream } from 'node:fs';
import { nginx, proxyHeader } from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import request from 'supertest';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Listener } from '../../support/apis.js';
import { createPki, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let pki: Pki;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});

const id = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const options = () =>
  optionsOver(
    pretendServer(() => boundClaims(pki.alice)),
    undefined,
    { certificate: proxyHeader(nginx(), { trust: 'loopback' }) },
  );
const get = (listener: Listener) =>
  request(listener)
    .get('/')
    .set('x-ssl-client-cert', encodeURIComponent(pki.alice.cert))
    .set('x-fapi-interaction-id', id)
    .auth('token', { type: 'bearer' });

const throwing = (error: unknown) => (): never => {
  throw error;
};
const headersByGetter = () =>
  Object.defineProperty(Object.assign(new Error('limited'), { status: 429 }), 'headers', {
    get: () => ({ 'x-of-the-error': 'stays' }),
  });
const gone = () => Object.assign(new Error('gone'), { status: 410, expose: true });

type Handler = (ctx: Koa.Context) => unknown;
type KoaRow = [title: string, handler: Handler, status: number, message: string];
const missingFile: KoaRow = [
  'a file that is not there, as a stream',
  (ctx) => {
    ctx.body = createReadStream('/nonexistent/file');
  },
  404,
  'ENOENT',
];
const koaRows: KoaRow[] = [
  ['an Error', throwing(new Error('plain')), 500, 'plain'],
  ['an Error with a status', throwing(gone()), 410, 'gone'],
  ['a frozen Error', throwing(Object.freeze(new Error('frozen'))), 500, 'frozen'],
  ['a frozen Error with a status', throwing(Object.freeze(gone())), 410, 'gone'],
  ['a sealed Error', throwing(Object.seal(new Error('sealed'))), 500, 'sealed'],
  ['an Error whose headers are a getter', throwing(headersByGetter()), 429, 'limited'],
  ['a text', throwing('text'), 500, 'text'],
  [
    'an Error with the status null',
    throwing(Object.assign(new Error('none'), { status: null })),
    500,
    'none',
  ],
  ['ctx.throw()', (ctx) => ctx.throw(404, 'no account'), 404, 'no account'],
  ['ctx.throw() with headers', (ctx) => ctx.throw(401, 'who', { headers: { vary: 'Origin' } }), 401, 'who'],
  [
    'a body that is no JSON',
    (ctx) => {
      ctx.body = { big: 1n };
    },
    500,
    'BigInt',
  ],
];

describe.each<[string, typeof Koa]>([
  ['Koa', Koa],
  ['Koa 2', Koa2],
])('%s', (name, Framework) => {
  // Koa 3 cuts the connection of such a stream.
  const rows = name === 'Koa 2' ? [...koaRows, missingFile] : koaRows;
  const start = (handler: Handler, errors: string[]) => {
    const app = new Framework();
    app.on('error', (error: Error) => errors.push(error.message));
    app.use(koaMtls.fapiHeaders() as Koa.Middleware).use(koaMtls.mtlsBound(options()) as Koa.Middleware);
    app.use(async (ctx) => {
      await handler(ctx);
    });
    return app.callback() as Listener;
  };

  it.each(rows)('%s', async (_title, handler, status, message) => {
    const errors: string[] = [];
    const { status: found, headers } = await get(start(handler, errors));
    expect([found, headers['x-fapi-interaction-id']]).toEqual([status, id]);
    expect(headers.vary?.toLowerCase()).toContain('x-ssl-client-cert');
    expect(errors).toEqual([expect.stringContaining(message)]);
  });

  it('what an error sets itself stays: headers, and its own Vary', async () => {
    const own = await get(start(throwing(headersByGetter()), []));
    expect(own.headers['x-of-the-error']).toBe('stays');
    const vary = throwing(Object.assign(gone(), { headers: { Vary: 'Origin' } }));
    expect((await get(start(vary, []))).headers.vary).toBe('Origin, x-ssl-client-cert');
  });
});

describe.each<[string, typeof express]>([
  ['Express', express],
  ['Express 4', express4],
])('%s', (_name, framework) => {
  const start = (handler: express.RequestHandler) => {
    const app = framework();
    app.set('env', 'test');
    app.use(expressMtls.fapiHeaders(), expressMtls.mtlsBound(options()), handler);
    return app as Listener;
  };

  it.each<[string, express.RequestHandler, number]>([
    ['an Error', throwing(new Error('plain')), 500],
    ['an Error with a status', throwing(gone()), 410],
    ['a frozen Error', throwing(Object.freeze(gone())), 410],
    ['a text', throwing('text'), 500],
    ['a body that is no JSON', (_req, res) => void res.json({ big: 1n }), 500],
    ['a file that is not there', (_req, res) => res.sendFile('/nonexistent/file'), 404],
  ])('%s', async (_title, handler, status) => {
    const { status: found, headers } = await get(start(handler));
    expect([found, headers['x-fapi-interaction-id']]).toEqual([status, id]);
    expect(headers.vary).toContain('x-ssl-client-cert');
  });

  it('a refusal is sent also where a package wraps writeHead() and returns nothing', async () => {
    const app = framework();
    app.use((_req, res, next) => {
      const { writeHead } = res;
      res.writeHead = ((...head: Parameters<typeof writeHead>) => {
        writeHead.apply(res, head);
      }) as never;
      next();
    });
    app.use(expressMtls.mtlsBound(options()));
    const { status, body } = await request(app).get('/').set('authorization', 'Bearer a b');
    expect([status, body.error]).toEqual([400, 'invalid_request']);
  });
});
