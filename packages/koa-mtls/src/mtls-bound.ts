import {
  createResourceServer,
  type ResourceServer,
  type ResourceServerOptions,
  refuseUncalledMiddleware,
} from '@mtls-bound/core';
import type { Context, Middleware } from 'koa';
import { keepHeaderOnErrors } from './error-headers.js';
import {
  type GuardedContext,
  type MtlsBoundState,
  refuse,
  resourceServer,
  setAuthorization,
} from './guard.js';

/** The middleware that `mtlsBound()` returns. */
export type MtlsBound<State = MtlsBoundState> = Middleware<State> &
  Pick<ResourceServer, 'revoke' | 'close' | 'reported'> & {
    /** Decides about requests without Koa: for upgrades, readiness checks and tests. */
    readonly resourceServer: ResourceServer;
  };

/**
 * Accepts a request only if its access token is bound to the client certificate of its connection
 * (RFC 8705 §3), and puts the frozen `Authorization` at `ctx.state.auth`, or at the property of
 * `ctx.state` that the option `property` names. Answers other requests with 400, 401, 403
 * (`certificatePolicy`), 429 (`floodGuard`) or 503. An option that you do not give is read from the
 * environment. Throws `ConfigurationError` for a wrong option.
 *
 * @example
 * app.use(mtlsBound({ issuer: 'https://as.example.com', clientId: 'api', clientSecret, audience: 'https://api.example.com' }));
 */
export function mtlsBound(
  options: ResourceServerOptions & { readonly credentials: 'optional' },
): MtlsBound<Partial<MtlsBoundState>>;
export function mtlsBound(options?: ResourceServerOptions): MtlsBound;
export function mtlsBound(options?: ResourceServerOptions): MtlsBound {
  refuseUncalledMiddleware('mtlsBound()', options);
  const server = createResourceServer(options);
  const { revoke, close, reported } = server;
  const middleware: Middleware<MtlsBoundState> = async (ctx, next) => {
    try {
      keepOriginalUrl(ctx);
      // Set for a request without credentials too: what another middleware put there says nothing
      // of this request.
      setAuthorization(
        ctx,
        server,
        server.confirm(ctx.req, await server.authorize(ctx.req, parsedBody(ctx))),
      );
    } catch (thrown) {
      refuse(ctx, server, thrown);
      return;
    }
    (ctx as GuardedContext)[resourceServer] = server;
    if (server.vary !== undefined) {
      ctx.vary(server.vary);
      keepHeaderOnErrors(ctx, 'Vary', server.vary);
    }
    await next();
  };
  return Object.assign(middleware, { resourceServer: server, revoke, close, reported });
}

/**
 * A mount or a rewrite (`ctx.path = ...`) changes Node's `url`. Selectors of issuers read the URL
 * that the client sent, where Express keeps it.
 */
function keepOriginalUrl({ req, originalUrl }: Pick<Context, 'req' | 'originalUrl'>): void {
  (req as typeof req & { originalUrl?: string }).originalUrl ??= originalUrl;
}

/** Body parsers for Koa put what they read at `ctx.request.body`. */
export function parsedBody(ctx: Pick<Context, 'request'>): unknown {
  return 'body' in ctx.request ? ctx.request.body : undefined;
}
