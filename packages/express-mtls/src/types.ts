import type { Authorization, BoundResourceServer, FapiHeaders } from '@mtls-bound/core';
import type { NextFunction, Request, Response } from 'express';

/**
 * A middleware of this package. `Granted` is what handlers in `guarded()` know of the
 * `Authorization` behind it.
 */
export interface Guard<Granted extends Authorization = Authorization> {
  // Generic, so that Express goes on telling the parameters of a route from its path.
  <Params, Answered, Body, Query>(
    req: Request<Params, Answered, Body, Query>,
    res: Response,
    next: NextFunction,
  ): void;
  /** For the types alone; never there. */
  readonly '~granted'?: Granted;
}

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

/** What `mtlsBound()` sets on a request: the `Authorization` that the request was accepted with. */
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
export interface MtlsBound extends Guard, BoundResourceServer {}
