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
import type { Request, RequestHandler, Response } from 'express';

export * from '@mtls-bound/core';

declare global {
  namespace Express {
    interface Request {
      /** What the request was let in with; set by `mtlsBound()`. */
      auth?: Authorization;
    }
  }
}

// On the request itself, so that the guards of routes answer as the mtlsBound() did that let the request in.
const resourceServer = Symbol('mtls-bound');
type GuardedRequest = Request & { [resourceServer]?: ResourceServer };

/** The middleware, and what stands behind it: to `revoke()` a token, to `close()` on shutdown. */
export interface MtlsBound extends RequestHandler {
  readonly resourceServer: ResourceServer;
}

/**
 * Lets a request pass only with an access token that is bound to the client certificate of its connection
 * (RFC 8705 §3), and puts the frozen `Authorization` at `req.auth`. Other requests are answered here: 400, 401 or
 * 503. What is not given is read from the environment. Throws `ConfigurationError` for a wrong option.
 *
 * @example
 * app.use(mtlsBound({ issuer: 'https://as.example.com', clientId: 'api', clientSecret, audience: 'https://api.example.com' }));
 */
export function mtlsBound(options?: ResourceServerOptions): MtlsBound {
  const server = createResourceServer(options);
  const middleware: RequestHandler = (req: GuardedRequest, res, next) => {
    const grant = (authorization: Authorization): void => {
      req.auth = authorization;
      req[resourceServer] = server;
      if (server.vary !== undefined) {
        res.vary(server.vary);
      }
      next();
    };
    let outcome: Authorization | Promise<Authorization>;
    try {
      outcome = server.authorize(req, req.body);
    } catch (thrown) {
      send(res, server, thrown);
      return;
    }
    if (outcome instanceof Promise) {
      outcome.then(grant, (thrown: unknown) => send(res, server, thrown)).catch(next);
    } else {
      grant(outcome);
    }
  };
  return Object.assign(middleware, { resourceServer: server });
}

/**
 * Lets a request pass only if its access token grants every one of the scopes; otherwise 403 `insufficient_scope`
 * (RFC 6750 §3.1). Goes behind `mtlsBound()`. Throws `ConfigurationError` for what is no scope.
 *
 * @example
 * app.get('/accounts', requireScopes('accounts:read'), listAccounts);
 */
export function requireScopes(...scopes: string[]): RequestHandler {
  return guard(everyScope(scopes));
}

/**
 * Lets a request pass only if the authorization server says that its token is active at this very moment; otherwise 401
 * `invalid_token`. It is asked on each request, so a revocation counts at once: for the routes that must not wait for
 * `cache.maxAge` or, with `jwtAccessTokens({ introspection: introspection() })`, for the token to expire. Goes behind
 * `mtlsBound()`.
 *
 * @example
 * app.post('/payments', requireActive(), pay);
 */
export function requireActive(): RequestHandler {
  return guard(activeToken);
}

/**
 * Takes revocations from an authorization server or from anybody whose token grants `scope` (RFC 7009 §2.1): a form by
 * POST with `token`, `token_hash`, `sub`, `client_id` or `x5t#S256`. Goes behind `mtlsBound()`. Answers 200 when every
 * process is on its way to know, 503 when it holds in this one alone.
 *
 * @example
 * app.post('/revocations', revocationEndpoint('tokens:revoke'));
 */
export function revocationEndpoint(scope: string): RequestHandler {
  const policy = everyScope([scope]);
  return (req: GuardedRequest, res, next) => {
    const server = req[resourceServer] ?? unguarded;
    server
      .acceptRevocation(req, req.auth, policy, req.body)
      .then((answer) => write(res, answer))
      .catch(next);
  };
}

/** The middleware for a policy of one's own. Goes behind `mtlsBound()`. */
export function guard(policy: RoutePolicy): RequestHandler {
  return (req: GuardedRequest, res, next) => {
    const server = req[resourceServer] ?? unguarded;
    let outcome: void | Promise<void>;
    try {
      outcome = server.require(req, req.auth, policy);
    } catch (thrown) {
      send(res, server, thrown);
      return;
    }
    if (outcome instanceof Promise) {
      outcome
        .then(
          () => next(),
          (thrown: unknown) => send(res, server, thrown),
        )
        .catch(next);
    } else {
      next();
    }
  };
}

function send(res: Response, server: ResourceServer, thrown: unknown): void {
  write(res, server.answer(thrown));
}

function write(res: Response, { status, headers, body }: Answer): void {
  if (!res.headersSent) {
    res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) }).end(body);
  }
}
