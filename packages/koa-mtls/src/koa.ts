import {
  addVary,
  createAdapter,
  createAsyncHandler,
  createHeaderKeeper,
  disconnectOnFailure,
  type MiddlewareTypes,
} from '@mtls-bound/core';
import type { Context, Middleware, Next } from 'koa';
import type { FapiState, Guard } from './types.js';

/** The middleware types of Koa. */
export interface KoaTypes extends MiddlewareTypes {
  readonly guard: Guard<this['granted']>;
  readonly middleware: Middleware;
  readonly fapiMiddleware: Middleware<FapiState>;
}

/** Koa removes every header before it answers an error, and writes two members to the error. */
const headerKeeper = createHeaderKeeper<Error, Context>(['status', 'headerSent']);

export const adapter = createAdapter<KoaTypes, Context, Next>(
  {
    stateOf: (_req, { state }) => state,
    responseOf: ({ res }) => res,
    // Body parsers for Koa put what they read at `ctx.request.body`.
    bodyOf: (_req, { request }) => ('body' in request ? request.body : undefined),
    urlOf: (_req, { originalUrl }) => originalUrl,
    addVary(ctx, name) {
      if (!ctx.res.headersSent) {
        addVary(ctx.res, name);
      }
      headerKeeper.keepVary(ctx, name);
    },
    setHeader(ctx, name, value) {
      ctx.set(name, value);
      headerKeeper.keep(ctx, name, value);
      ctx.res.sendDate = true;
    },
    pass: (next) => next(),
    write(ctx, { status, headers, body }) {
      ctx.status = status;
      ctx.body = body;
      ctx.remove('Content-Type');
      ctx.set(headers);
      // Koa sends the answer later. If that throws, because a package has wrapped `writeHead()`, Koa
      // answers the error, which may throw too.
      ctx.onerror = disconnectOnFailure(ctx.res, ctx.onerror.bind(ctx));
    },
    raise(refusal) {
      throw refusal;
    },
  },
  (handle) => {
    const handleRequest = createAsyncHandler(handle);
    return (ctx: Context, next: Next) => handleRequest(ctx.req, ctx, next);
  },
);
