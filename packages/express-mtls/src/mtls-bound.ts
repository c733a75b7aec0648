import {
  type Authorization,
  createResourceServer,
  type FapiHeaders,
  type ResourceServer,
  type ResourceServerOptions,
  refuseUncalledMiddleware,
} from '@mtls-bound/core';
import type { Response } from 'express';
import { type Guard, type MarkedRequest, passOn, refuse, resourceServer, setAuthorization } from './guard.js';

/**
 * What TypeScript has to know of your options. If you give `mtlsBound()` the option `property`,
 * declare it here, by `declare module 'express-mtls' { interface MtlsBoundTypes { property: 'mtls'
 * } }`: `req.auth` is then left to other packages.
 */
// biome-ignore lint/suspicious/noEmptyInterface: applications declare its members.
export interface MtlsBoundTypes {}

/**
 * The property of a request that has the `Authorization`: `auth`, or the one that `MtlsBoundTypes`
 * declares.
 */
export type AuthorizationProperty = MtlsBoundTypes extends { property: infer Name extends string }
  ? Name
  : 'auth';

/** What `mtlsBound()` sets on a request: the `Authorization` that the request was let in with. */
type BoundRequest = { [Name in AuthorizationProperty]?: Authorization };

declare global {
  namespace Express {
    interface Request extends BoundRequest {
      /** What FAPI's headers say of the request; set by `fapiHeaders()`. */
      fapi?: FapiHeaders;
    }
  }
}

/** The middleware that `mtlsBound()` returns. */
export interface MtlsBound extends Guard, Pick<ResourceServer, 'revoke' | 'close' | 'reported'> {
  /** Decides about requests without Express: for upgrades, readiness checks and tests. */
  readonly resourceServer: ResourceServer;
}

/**
 * Accepts a request only if its access token is bound to the client certificate of its connection
 * (RFC 8705 §3), and puts the frozen `Authorization` at `req.auth`, or at the property that the
 * option `property` names. Answers other requests with 400, 401, 403 (`certificatePolicy`), 429
 * (`floodGuard`) or 503. An option that you do not give is read from the environment. Throws
 * `ConfigurationError` for a wrong option.
 *
 * @example
 * app.use(mtlsBound({ issuer: 'https://as.example.com', clientId: 'api', clientSecret, audience: 'https://api.example.com' }));
 */
export function mtlsBound(options?: ResourceServerOptions): MtlsBound {
  refuseUncalledMiddleware('mtlsBound()', options);
  const server = createResourceServer(options);
  const { revoke, close, reported } = server;
  const middleware: Guard = (req, res, next) => {
    let outcome: unknown;
    try {
      outcome = server.authorize(req, req.body);
    } catch (thrown) {
      refuse(req, res, next, server, thrown);
      return;
    }
    const pass = (authorization: Authorization | undefined): void => {
      // Set for a request without credentials too: what another middleware put there says nothing
      // of this request.
      setAuthorization(req, server, authorization);
      (req as MarkedRequest)[resourceServer] = server;
      if (server.vary !== undefined) {
        addVary(res, server.vary);
      }
    };
    if (server.isGranted(req, outcome)) {
      pass(outcome);
      next();
      return;
    }
    // A promise, of whatever make: what it comes to is confirmed, and nothing is taken for granted
    // because it is no promise.
    const settle = async (): Promise<void> => {
      try {
        pass(server.confirm(req, await outcome));
      } catch (thrown) {
        refuse(req, res, next, server, thrown);
        return;
      }
      passOn(next);
    };
    void settle();
  };
  return Object.assign(middleware, { resourceServer: server, revoke, close, reported });
}

/** `res.vary()` parses what is there and what is not: 1 µs a request that has none. */
function addVary(res: Response, name: string): void {
  if (res.hasHeader('Vary')) {
    res.vary(name);
  } else {
    res.setHeader('Vary', name);
  }
}
