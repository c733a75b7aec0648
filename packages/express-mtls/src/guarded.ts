import type { Authorization, GuardedCall, HandlerType } from '@mtls-bound/core';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { adapter, type ExpressTypes } from './express.js';
import type { AuthorizationProperty, Guard } from './types.js';

// biome-ignore lint/suspicious/noExplicitAny: what Express has for bodies and locals that are not typed.
type Any = any;

/**
 * A request as handlers in `guarded()` get it: `mtlsBound()` and the guards accepted it. The
 * parameters behind `Granted` are those of Express's `Request`.
 */
export type AuthorizedRequest<
  Granted extends Authorization = Authorization,
  Params = Record<string, string>,
  Answered = Any,
  Body = Any,
  Query = Request['query'],
  Locals extends Record<string, Any> = Record<string, Any>,
> = Request<Params, Answered, Body, Query, Locals> & { [Name in AuthorizationProperty]: Granted };

/**
 * A handler that stands in `guarded()`. The parameters behind `Granted` are those of Express's
 * `RequestHandler`.
 */
export type AuthorizedHandler<
  Granted extends Authorization,
  Params = Record<string, string>,
  Answered = Any,
  Body = Any,
  Query = Request['query'],
  Locals extends Record<string, Any> = Record<string, Any>,
> = (
  req: AuthorizedRequest<Granted, Params, Answered, Body, Query, Locals>,
  res: Response<Answered, Locals>,
  next: NextFunction,
) => unknown;

/** The types of Express for `guarded()`. */
interface ExpressHandlers extends HandlerType, ExpressTypes {
  readonly guard: Guard<this['granted']>;
  readonly untyped: Request<Record<string, string>>;
  readonly output: Response;
  readonly further: [next: NextFunction];
  readonly added: { [Name in AuthorizationProperty]: this['granted'] };
  // What each request of Express has is no claim: in a program of both module formats it may be the
  // `Authorization` of the other one.
  readonly claimed: this['input'] extends { [Name in AuthorizationProperty]?: infer Claimed }
    ? [NonNullable<Express.Request[AuthorizationProperty]>] extends [Claimed]
      ? unknown
      : Claimed
    : unknown;
  readonly route: RequestHandler<
    this['input'] extends { params: infer Params } ? Params : Record<string, string>,
    Any,
    Any,
    Any,
    Any
  >[];
}

/** The forms in which `guarded()` is called: with up to six guards. */
export interface Guarded extends GuardedCall<ExpressHandlers> {}

/**
 * Guards and the handler behind them, for TypeScript: the handler's `req.auth` is there, and is
 * known to be what the guards let pass. Goes behind `mtlsBound()`; a request that it did not accept
 * is refused. Throws `ConfigurationError` for what is no function.
 *
 * @example
 * app.get('/accounts', guarded(requireScopes('accounts:read'), requirePsd2Role('PSP_AI'), (req, res) => {
 *   res.json({ client: req.auth.clientId, presented: req.auth.certificate.x509.subject });
 * }));
 */
export const guarded: Guarded = (...handlers: unknown[]) =>
  adapter.guardedChain(handlers) as RequestHandler<Any, Any, Any, Any, Any>[];
