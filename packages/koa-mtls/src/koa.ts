import { type Answer, addVary, createAdapter, type MiddlewareTypes } from '@mtls-bound/core';
import type { Context, Middleware, Next } from 'koa';
import { keepHeaderOnErrors } from './error-headers.js';
import type { FapiState, Guard } from './types.js';

/** The middleware types of Koa. */
export interface KoaTypes extends MiddlewareTypes {
  readonly guard: Guard<this['granted']>;
  readonly middleware: Middleware;
  readonly fapiMiddleware: Middleware<FapiState>;
}

export const adapter = createAdapter<KoaTypes, Context, Next>(
  {
    stateOf: (_req, { state }) => state,
    // Body parsers for Koa put what they read at `ctx.request.body`.
    bodyOf: (_req, { request }) => ('body' in request ? request.body : undefined),
    urlOf: (_req, { originalUrl }) => originalUrl,
    addVary(ctx, name) {
      if (!ctx.res.headersSent) {
        addVary(ctx.res, name);
      }
      keepHeaderOnErrors(ctx, 'Vary', name);
    },
    setHeader(ctx, name, value) {
      ctx.set(name, value);
      keepHeaderOnErrors(ctx, name, value);
      ctx.res.sendDate = true;
    },
    pass: (next) => next(),
    write,
    raise(refusal) {
      throw refusal;
    },
  },
  // A known token makes no promise here: what the next middleware returns is returned.
  (handle) => (ctx: Context, next: Next) => {
    try {
      return handle(ctx.req, ctx, next) ?? done();
    } catch (thrown) {
      return fail(thrown);
    }
  },
);

async function done(): Promise<void> {}

async function fail(thrown: unknown): Promise<never> {
  throw thrown;
}

function write(ctx: Context, { status, headers, body }: Answer): void {
  ctx.status = status;
  ctx.body = body;
  ctx.remove('Content-Type');
  ctx.set(headers);
  endOnFailure(ctx);
}

/**
 * Koa sends the answer later. If that throws, because a package has wrapped `writeHead()`, Koa
 * answers the error. If that throws too, no caller handles it: the request would hang and the
 * process could end. The connection ends instead.
 */
function endOnFailure(ctx: Context): void {
  const { onerror } = ctx;
  ctx.onerror = (error) => {
    try {
      onerror.call(ctx, error);
    } catch (failure) {
      if (ctx.res.writableEnded) {
        throw failure;
      }
      ctx.res.destroy();
    }
  };
}
