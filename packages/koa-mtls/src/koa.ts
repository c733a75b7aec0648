import {
  addVary,
  createAdapter,
  disconnectOnFailure,
  keepHeader,
  type MiddlewareTypes,
  returnPromise,
} from '@mtls-bound/core';
import type { Context, Middleware, Next } from 'koa';
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
      keepVaryOnErrors(ctx, name);
    },
    setHeader(ctx, name, value) {
      ctx.set(name, value);
      keepOnErrors(ctx, name, value);
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
    const handleRequest = returnPromise(handle);
    return (ctx: Context, next: Next) => handleRequest(ctx.req, ctx, next);
  },
);

/** The members that Koa writes to the error that it answers. */
const writtenMembers = ['status', 'headerSent'];

/** Koa removes every header before it answers an error. This keeps one of them. */
function keepOnErrors(ctx: Context, name: string, value: string): void {
  ctx.onerror = keepHeader(ctx.res, name, value, ctx.onerror.bind(ctx), writtenMembers);
}

type OnError = Context['onerror'];

/** The handler that keeps `Vary` for the requests of one application. */
let varyKeeper: { readonly name: string; readonly handler: OnError; readonly keeping: OnError } | undefined;

/** Keeps `Vary` by a handler that requests share, as each request that is accepted needs one. */
function keepVaryOnErrors(ctx: Context, name: string): void {
  if (Object.hasOwn(ctx, 'onerror')) {
    // A handler of this request alone, which no other request may use.
    keepOnErrors(ctx, 'Vary', name);
    return;
  }
  const { onerror: handler } = ctx;
  if (varyKeeper?.handler !== handler || varyKeeper.name !== name) {
    varyKeeper = { name, handler, keeping: createVaryKeeper(name, handler) };
  }
  ctx.onerror = varyKeeper.keeping;
}

function createVaryKeeper(name: string, handler: OnError): OnError {
  return function keeping(this: Context, error) {
    // Koa calls it at the end of each response.
    if (error === null || error === undefined) {
      handler.call(this, error);
      return;
    }
    keepHeader(this.res, 'Vary', name, handler.bind(this), writtenMembers)(error);
  };
}
