import {
  type Answer,
  type Authorization,
  ConfigurationError,
  missingMiddleware,
  RequestRefused,
  type ResourceServer,
  type RoutePolicy,
  refuseUncalledMiddleware,
} from '@mtls-bound/core';
import type { Context, Middleware } from 'koa';

// On the context itself, so that the guards of routes answer as the mtlsBound() did that let the
// request in.
export const resourceServer: unique symbol = Symbol('mtls-bound');
export type GuardedContext = { [resourceServer]?: ResourceServer };

/**
 * What TypeScript has to know of your options. If you give `mtlsBound()` the option `property`,
 * declare it here, by `declare module 'koa-mtls' { interface MtlsBoundTypes { property: 'mtls' }
 * }`: `ctx.state.auth` is then left to other packages.
 */
// biome-ignore lint/suspicious/noEmptyInterface: applications declare its members.
export interface MtlsBoundTypes {}

/**
 * The property of `ctx.state` that has the `Authorization`: `auth`, or the one that
 * `MtlsBoundTypes` declares.
 */
export type AuthorizationProperty = MtlsBoundTypes extends { property: infer Name extends string }
  ? Name
  : 'auth';

/**
 * What `mtlsBound()` adds to `ctx.state`: the `Authorization` that the request was let in with.
 * `Granted` is what guards let pass.
 */
export type MtlsBoundState<Granted extends Authorization = Authorization> = {
  [Name in AuthorizationProperty]: Granted;
};

/** Returns what the request was let in with, by the property that the option `property` names. */
export function authorizationOf({ state }: Pick<Context, 'state'>, { property }: ResourceServer): unknown {
  return (state as Record<string, unknown>)[property];
}

export function setAuthorization(
  { state }: Pick<Context, 'state'>,
  { property }: ResourceServer,
  authorization: Authorization | undefined,
): void {
  (state as Record<string, unknown>)[property] = authorization;
}

/**
 * A middleware of this package that stands behind `mtlsBound()`. What stands behind it knows the
 * `Authorization` as `Granted`.
 */
export type Guard<Granted extends Authorization = Authorization> = Middleware<MtlsBoundState<Granted>>;

/**
 * The middleware for a policy of your own. The policy returns `undefined`, or a promise of
 * `undefined`, to accept a request, and throws `RequestRefused` to refuse it. Anything else that it
 * returns or throws is answered with 503, as is a policy that does not settle within 60 seconds.
 * Goes behind `mtlsBound()`. Throws `ConfigurationError` if `policy` is no function.
 */
export function guard<Granted extends Authorization = Authorization>(
  policy: RoutePolicy<Granted>,
): Guard<Granted> {
  refuseUncalledMiddleware('guard()', policy);
  if (typeof policy !== 'function') {
    throw new ConfigurationError('guard()', 'accepted is a route policy, a function');
  }
  return async (ctx, next) => {
    const server = (ctx as GuardedContext)[resourceServer] ?? missingMiddleware;
    let granted: Authorization | undefined;
    try {
      granted = server.confirm(ctx.req, await server.require(ctx.req, authorizationOf(ctx, server), policy));
    } catch (thrown) {
      refuse(ctx, server, thrown);
      return;
    }
    if (granted === undefined) {
      refuse(ctx, server, new RequestRefused('credentials_missing'));
      return;
    }
    setAuthorization(ctx, server, granted);
    await next();
  };
}

type AnsweredContext = Pick<Context, 'status' | 'body' | 'set' | 'remove' | 'res' | 'onerror'>;
type RefusedContext = AnsweredContext & Pick<Context, 'req' | 'state'>;

/**
 * Refuses a request: answers it, or, with the option `onRefused: 'next'`, throws the refusal for
 * the error handling of Koa.
 */
export function refuse(ctx: RefusedContext, server: ResourceServer, thrown: unknown): void {
  const error = server.errorFor(thrown, ctx.req);
  if (error !== undefined) {
    setAuthorization(ctx, server, undefined);
    throw error;
  }
  write(ctx, server.answer(thrown, ctx.req));
}

export function write(ctx: AnsweredContext, { status, headers, body }: Answer): void {
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
function endOnFailure(ctx: AnsweredContext): void {
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
