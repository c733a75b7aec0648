// Refusals in the error format of an application: the option `errorBody`, or the framework's own error handling.
import { createServer, type IncomingMessage } from 'node:http';
import { inspect } from 'node:util';
import { HttpRefusal, RequestRefused } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import supertest from 'supertest';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Listener } from '../../support/apis.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

type Options = expressMtls.ResourceServerOptions;
type Onward = (error?: unknown) => unknown;

/** What the application does with an error; without it the framework's own answer is given. */
interface ErrorHandling {
  /** Answers by itself, or calls `onward` to go on. */
  handle?(
    error: unknown,
    answer: (status: number, headers: object, body: unknown) => void,
    onward: Onward,
  ): unknown;
}

interface Application extends ErrorHandling {
  readonly options: Options;
  readonly policy?: expressMtls.RoutePolicy;
  readonly fapi?: expressMtls.FapiHeadersOptions;
}

interface Started {
  readonly listener: Listener;
  /** What each handler behind the middleware found at `auth`. */
  readonly handled: unknown[];
}

const apps: Record<string, (application: Application) => Started> = {
  Express: (application) => expressApp(express, application),
  'Express 4': (application) => expressApp(express4, application),
  Koa: (application) => koaApp(Koa, application),
  'Koa 2': (application) => koaApp(Koa2, application),
};

function expressApp(framework: typeof express, { options, policy, fapi, handle }: Application): Started {
  const app = framework();
  const handled: unknown[] = [];
  const onError: express.ErrorRequestHandler = (error, _req, res, next) =>
    handle === undefined
      ? next(error)
      : handle(error, (status, headers, body) => void res.status(status).set(headers).json(body), next);
  app.use((req, _res, next) => {
    Object.assign(req, { id: 'request-7' });
    next();
  });
  if (fapi !== undefined) {
    app.use(expressMtls.fapiHeaders(fapi));
  }
  app.use(expressMtls.mtlsBound(options), onError);
  if (policy !== undefined) {
    app.use(expressMtls.guard(policy), onError);
  }
  app.get('/again', expressMtls.requireScopes('accounts'), (_req, res) => void res.send('let in'));
  app.use((req, res) => {
    handled.push(req.auth);
    res.send('ok');
  });
  app.use(onError);
  return { listener: app as Listener, handled };
}

function koaApp(Framework: typeof Koa, { options, policy, fapi, handle }: Application): Started {
  const app = new Framework({ env: 'development' });
  app.silent = true;
  const handled: unknown[] = [];
  app.use(async (ctx, next) => {
    Object.assign(ctx.req, { id: 'request-7' });
    try {
      await next();
    } catch (error) {
      if (handle === undefined) {
        throw error;
      }
      const answer = (status: number, headers: object, body: unknown) => {
        ctx.status = status;
        ctx.body = body;
        ctx.set(headers as Record<string, string>);
      };
      await handle(error, answer, (again) => {
        throw again;
      });
    }
  });
  if (fapi !== undefined) {
    app.use(koaMtls.fapiHeaders(fapi) as Koa.Middleware);
  }
  app.use(koaMtls.mtlsBound(options) as Koa.Middleware);
  if (policy !== undefined) {
    app.use(koaMtls.guard(policy) as Koa.Middleware);
  }
  app.use((ctx) => {
    handled.push(ctx.state.auth);
    ctx.body = 'ok';
  });
  return { listener: app.callback() as Listener, handled };
}

let kit: TestKit;
const unhandled = vi.fn();
beforeAll(async () => {
  kit = await createTestKit();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  // Express prints what reaches its own error handling.
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  process.on('unhandledRejection', unhandled);
});
afterEach(() => {
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

const description = 'The access token is bound to another client certificate';
const secretDetail = 'detail-of-the-operator';

/** Tokens of another certificate's, so that `mtlsBound()` refuses; of this one's if `isGood`. */
function options(more: Partial<Options> = {}, isGood = false): Options {
  const server = pretendServer(() => ({
    ...boundClaims(kit.certificate),
    ...(!isGood && { cnf: { 'x5t#S256': 'A'.repeat(43) } }),
  }));
  return optionsOver(server, kit.certificate, more);
}

async function get(listener: Listener, path = '/accounts?page=2') {
  const server = createServer(listener);
  try {
    return await supertest(server).get(path).set('Authorization', 'Bearer opaque');
  } finally {
    server.close();
  }
}

describe.each(Object.entries(apps))('%s', (_framework, app) => {
  it('errorBody gets the request, and errorContentType names RFC 9457', async () => {
    const errorBody = ({ status, body }: expressMtls.RefusalSummary, req: expressMtls.NodeRequest) => ({
      status,
      title: body?.error_description,
      instance: req.url,
      traceId: (req as IncomingMessage & { id: string }).id,
    });
    const { listener, handled } = app({
      options: options({ errorBody, errorContentType: 'application/problem+json' }),
    });
    const response = await get(listener);
    expect(response.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(response.text)).toEqual({
      status: 401,
      title: description,
      instance: '/accounts?page=2',
      traceId: 'request-7',
    });
    expect(response.headers['www-authenticate']).toContain('error="invalid_token"');
    expect(handled).toEqual([]);
  });

  it('a refusal without a body has no content type', async () => {
    const { listener } = app({
      options: options({ errorBody: () => undefined, errorContentType: 'application/problem+json' }),
    });
    const response = await get(listener);
    expect([response.status, response.text, response.headers['content-type']]).toEqual([401, '', undefined]);
  });

  describe("onRefused: 'next'", () => {
    const next = { onRefused: 'next' } as const;
    const problemJson: NonNullable<ErrorHandling['handle']> = (error, answer, onward) =>
      HttpRefusal.isHttpRefusal(error)
        ? answer(
            error.status,
            { ...error.headers, 'Content-Type': 'application/problem+json' },
            { title: error.message, ...(error.body as object) },
          )
        : onward(error);

    it('the error handling of the application answers', async () => {
      const errors: unknown[] = [];
      const { listener, handled } = app({
        options: options(next),
        handle: (error, ...rest) => {
          errors.push(error);
          return problemJson(error, ...rest);
        },
      });
      const response = await get(listener);
      expect([response.status, JSON.parse(response.text), handled]).toEqual([
        401,
        { title: description, error: 'invalid_token', error_description: description },
        [],
      ]);
      expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
      expect(response.headers['cache-control']).toBe('no-store');
      expect(response.headers['www-authenticate']).toBe(
        `Bearer realm="api", error="invalid_token", error_description="${description}"`,
      );
      expect(errors).toMatchObject([{ status: 401, statusCode: 401, expose: true }]);
      expect(errors.map((error) => (error as HttpRefusal).code)).toEqual(['certificate_mismatch']);
    });

    it('the framework alone answers with the status and the challenge, and tells no detail', async () => {
      const { listener, handled } = app({ options: options(next) });
      const response = await get(listener);
      expect([response.status, handled]).toEqual([401, []]);
      expect(response.headers['www-authenticate']).toContain('error="invalid_token"');
      expect(response.text).toContain(description);
      expect(response.text).not.toMatch(/certificate_mismatch|node_modules|\.[jt]s:/);
    });

    const scopeMissing: expressMtls.RoutePolicy = () => {
      throw new RequestRefused('scope_insufficient', { scope: 'payments', detail: secretDetail });
    };
    it.each([
      ['at once', scopeMissing],
      ['later', async (...given: Parameters<typeof scopeMissing>) => scopeMissing(...given)],
    ] as const)('a guard that refuses %s hands its refusal on too', async (_when, policy) => {
      const { listener, handled } = app({
        options: options(next, true),
        policy: policy as typeof scopeMissing,
        handle: problemJson,
      });
      const response = await get(listener);
      expect([response.status, JSON.parse(response.text).error, handled]).toEqual([
        403,
        'insufficient_scope',
        [],
      ]);
      expect(response.headers['www-authenticate']).toContain('scope="payments"');
    });

    it('a guard whose policy fails is a 503 without its reason', async () => {
      const policy = () => {
        throw new Error(secretDetail);
      };
      const { listener } = app({ options: options(next, true), policy });
      const response = await get(listener);
      expect(response.status).toBe(503);
      expect(response.text).not.toContain(secretDetail);
    });

    it('fapiHeaders() hands its refusal on by an option of its own', async () => {
      const fapi = { interactionId: 'required', onRefused: 'next' } as const;
      const { listener, handled } = app({ options: options({}, true), fapi, handle: problemJson });
      const response = await get(listener);
      expect([response.status, JSON.parse(response.text).error, handled]).toEqual([
        400,
        'invalid_request',
        [],
      ]);
      expect(response.headers['x-fapi-interaction-id']).toMatch(/^[\da-f-]{36}$/);
    });

    it('errorBody shapes what the error carries', async () => {
      const { listener } = app({
        options: options({ ...next, errorBody: (_refusal, { url }) => ({ url }) }),
        handle: (error, answer) => answer(418, {}, (error as HttpRefusal).body),
      });
      const response = await get(listener);
      expect([response.status, JSON.parse(response.text)]).toEqual([418, { url: '/accounts?page=2' }]);
    });

    it('an error handling that throws gets no handler run', async () => {
      const { listener, handled } = app({
        options: options(next),
        handle: () => {
          throw new Error('of the application');
        },
      });
      const { status } = await get(listener);
      expect([status, handled]).toEqual([500, []]);
    });

    it('a good request passes', async () => {
      const { listener, handled } = app({ options: options(next, true) });
      expect((await get(listener)).status).toBe(200);
      expect(handled).toMatchObject([{ clientId: 'alice' }]);
    });
  });
});

describe.each([
  ['Express', express],
  ['Express 4', express4],
])('%s: an error handling that calls next() without the error', (_name, framework) => {
  it('leads to a request without auth, which guards refuse', async () => {
    const { listener, handled } = expressApp(framework, {
      options: options({ onRefused: 'next' }),
      handle: (_error, _answer, onward) => onward(),
    });
    await get(listener);
    expect(handled).toEqual([undefined]);
    expect((await get(listener, '/again')).status).toBe(503);
  });
});

describe('HttpRefusal', () => {
  const refusal = new RequestRefused('token_expired', { detail: secretDetail });
  const error = new HttpRefusal(refusal, { status: 401, headers: {}, body: undefined });

  it('tells the operator code and detail', () => {
    expect([error.code, error.detail]).toEqual(['token_expired', secretDetail]);
  });

  it.each([
    ['JSON', JSON.stringify(error)],
    ['its stack', error.stack],
    ['a spread of it', JSON.stringify({ ...error })],
    ['what a log shows', inspect(error, { depth: 9 })],
  ])('%s tells neither', (_title, text) => {
    expect(text).not.toMatch(/token_expired|detail-of/);
  });

  it('is told from what only looks like it', () => {
    const inherited = Object.create(error);
    expect([error, inherited, { ...error }, undefined].map(HttpRefusal.isHttpRefusal)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  it('names the status where the client is told no more', () => {
    const missing = new RequestRefused('credentials_missing');
    expect(new HttpRefusal(missing, { status: 401, headers: {}, body: undefined }).message).toBe(
      'Unauthorized',
    );
  });
});
