import type { Authorization, BoundResourceServer, FapiHeaders } from '@mtls-bound/core';
import type { Middleware } from 'koa';

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
 * What `mtlsBound()` adds to `ctx.state`: the `Authorization` that the request was accepted with.
 * `Granted` is what guards let pass.
 */
export type MtlsBoundState<Granted extends Authorization = Authorization> = {
  [Name in AuthorizationProperty]: Granted;
};

/**
 * A middleware of this package that stands behind `mtlsBound()`. What stands behind it knows the
 * `Authorization` as `Granted`.
 */
export type Guard<Granted extends Authorization = Authorization> = Middleware<MtlsBoundState<Granted>>;

/** What `fapiHeaders()` adds to `ctx.state`. */
export interface FapiState {
  /** What FAPI's headers say of the request. */
  fapi: FapiHeaders;
}

/** The middleware that `mtlsBound()` returns. */
export type MtlsBound<State = MtlsBoundState> = Middleware<State> & BoundResourceServer;
