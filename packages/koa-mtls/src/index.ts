import {
  type Answer,
  type Authorization,
  activeToken,
  createResourceServer,
  everyScope,
  type ResourceServer,
  type ResourceServerOptions,
  type RoutePolicy,
  unguarded,
} from '@mtls-bound/core';
import type { Context, Middleware } from 'koa';

export * from '@mtls-bound/core';

/** What `mtlsBound()` adds to `ctx.state`. */
export interface MtlsBoundState {
  /** What the request was let in with. */
  auth: Authorization;
}

// On the context itself, so that the guards of routes answer as the mtlsBound() did that let the request in.
const resourceServer = Symbol('mtls-bound');
type GuardedContext = Context & { [resourceServer]?: ResourceServer };

/** The middleware, and what stands behind it: to `revoke()` a token, to `close()` on shutdown. */
export type MtlsBound = Middleware<MtlsBoundState> & { readonly resourceServer: ResourceServer };

/**
 * Lets a request pass only with an access token that is bound to the client certificate of its connection
 * (RFC 8705 §3), and puts the frozen `Authorization` at `ctx.state.auth`. Other requests are answered here: 400, 401
 * or 503. What is not given is read from the environment. Throws `ConfigurationError` for a wrong option.
 *
 * @example
 * app.use(mtlsBound({ issuer: 'https://as.example.com', clientId: 'api', clientSecret, audience: 'https://api.example.com' }));
 */
export function mtlsBound(options?: ResourceServerOptions): MtlsBound {
  const server = createResourceServer(options);
  const middleware: Middleware<MtlsBoundState> = async (ctx, next) => {
    try {
      ctx.state.auth = await server.authorize(ctx.req, parsedBody(ctx));
    } catch (thrown) {
      send(ctx, server, thrown);
      return;
    }
    (ctx as GuardedContext)[resourceServer] = server;
    if (server.vary !== undefined) {
      ctx.vary(server.vary);
    }
    await next();
  };
  return Object.assign(middleware, { resourceServer: server });
}

/**
 * Lets a request pass only if its access token grants every one of the scopes; otherwise 403 `insufficient_scope`
 * (RFC 6750 §3.1). Goes behind `mtlsBound()`. Throws `ConfigurationError` for what is no scope.
 *
 * @example
 * router.get('/accounts', requireScopes('accounts:read'), listAccounts);
 */
export function requireScopes(...scopes: string[]): Middleware {
  return guard(everyScope(scopes));
}

/**
 * Lets a request pass only if the authorization server says that its token is active at this very moment; otherwise 401
 * `invalid_token`. It is asked on each request, so a revocation counts at once: for the routes that must not wait for
 * `cache.maxAge` or, with `jwtAccessTokens({ introspection: introspection() })`, for the token to expire. Goes behind
 * `mtlsBound()`.
 *
 * @example
 * router.post('/payments', requireActive(), pay);
 */
export function requireActive(): Middleware {
  return guard(activeToken);
}

/**
 * Takes revocations from an authorization server or from anybody whose token grants `scope` (RFC 7009 §2.1): a form by
 * POST with `token`, `token_hash`, `sub`, `client_id` or `x5t#S256`. Goes behind `mtlsBound()`. Answers 200 when every
 * process is on its way to know, 503 when it holds in this one alone.
 *
 * @example
 * router.post('/revocations', revocationEndpoint('tokens:revoke'));
 */
export function revocationEndpoint(scope: string): Middleware {
  const policy = everyScope([scope]);
  return async (ctx: GuardedContext) => {
    const server = ctx[resourceServer] ?? unguarded;
    write(ctx, await server.acceptRevocation(ctx.req, ctx.state.auth, policy, parsedBody(ctx)));
  };
}

/** The middleware for a policy of one's own. Goes behind `mtlsBound()`. */
export function guard(policy: RoutePolicy): Middleware {
  return async (ctx: GuardedContext, next) => {
    const server = ctx[resourceServer] ?? unguarded;
    try {
      await server.require(ctx.req, ctx.state.auth, policy);
    } catch (thrown) {
      send(ctx, server, thrown);
      return;
    }
    await next();
  };
}

/** Body parsers for Koa put what they read at `ctx.request.body`. */
function parsedBody(ctx: Pick<Context, 'request'>): unknown {
  return 'body' in ctx.request ? ctx.request.body : undefined;
}

type AnsweredContext = Pick<Context, 'status' | 'body' | 'set' | 'remove'>;

function send(ctx: AnsweredContext, server: ResourceServer, thrown: unknown): void {
  write(ctx, server.answer(thrown));
}

function write(ctx: AnsweredContext, { status, headers, body }: Answer): void {
  ctx.status = status;
  ctx.body = body;
  ctx.remove('Content-Type');
  ctx.set(headers);
}
