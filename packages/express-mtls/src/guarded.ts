// Why one overload for each number of guards: TypeScript does not infer what guards grant through a
// rest parameter such as `[...guards: Guards, handler]` once a guard is generic, as requireClaims()
// is. The handler would know `req.auth` as an `Authorization` and no more.
import type { Authorization } from '@mtls-bound/core';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { adapter } from './express.js';
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

/** The forms in which `guarded()` is called: with up to six guards. */
export interface Guarded {
  <
    Params = Record<string, string>,
    Answered = Any,
    Body = Any,
    Query = Request['query'],
    Locals extends Record<string, Any> = Record<string, Any>,
  >(
    handler: AuthorizedHandler<Authorization, Params, Answered, Body, Query, Locals>,
  ): RequestHandler<Params, Any, Any, Any, Any>[];
  <
    A extends Authorization,
    Params = Record<string, string>,
    Answered = Any,
    Body = Any,
    Query = Request['query'],
    Locals extends Record<string, Any> = Record<string, Any>,
  >(
    a: Guard<A>,
    handler: AuthorizedHandler<A, Params, Answered, Body, Query, Locals>,
  ): RequestHandler<Params, Any, Any, Any, Any>[];
  <
    A extends Authorization,
    B extends Authorization,
    Params = Record<string, string>,
    Answered = Any,
    Body = Any,
    Query = Request['query'],
    Locals extends Record<string, Any> = Record<string, Any>,
  >(
    a: Guard<A>,
    b: Guard<B>,
    handler: AuthorizedHandler<A & B, Params, Answered, Body, Query, Locals>,
  ): RequestHandler<Params, Any, Any, Any, Any>[];
  <
    A extends Authorization,
    B extends Authorization,
    C extends Authorization,
    Params = Record<string, string>,
    Answered = Any,
    Body = Any,
    Query = Request['query'],
    Locals extends Record<string, Any> = Record<string, Any>,
  >(
    a: Guard<A>,
    b: Guard<B>,
    c: Guard<C>,
    handler: AuthorizedHandler<A & B & C, Params, Answered, Body, Query, Locals>,
  ): RequestHandler<Params, Any, Any, Any, Any>[];
  <
    A extends Authorization,
    B extends Authorization,
    C extends Authorization,
    D extends Authorization,
    Params = Record<string, string>,
    Answered = Any,
    Body = Any,
    Query = Request['query'],
    Locals extends Record<string, Any> = Record<string, Any>,
  >(
    a: Guard<A>,
    b: Guard<B>,
    c: Guard<C>,
    d: Guard<D>,
    handler: AuthorizedHandler<A & B & C & D, Params, Answered, Body, Query, Locals>,
  ): RequestHandler<Params, Any, Any, Any, Any>[];
  <
    A extends Authorization,
    B extends Authorization,
    C extends Authorization,
    D extends Authorization,
    E extends Authorization,
    Params = Record<string, string>,
    Answered = Any,
    Body = Any,
    Query = Request['query'],
    Locals extends Record<string, Any> = Record<string, Any>,
  >(
    a: Guard<A>,
    b: Guard<B>,
    c: Guard<C>,
    d: Guard<D>,
    e: Guard<E>,
    handler: AuthorizedHandler<A & B & C & D & E, Params, Answered, Body, Query, Locals>,
  ): RequestHandler<Params, Any, Any, Any, Any>[];
  <
    A extends Authorization,
    B extends Authorization,
    C extends Authorization,
    D extends Authorization,
    E extends Authorization,
    F extends Authorization,
    Params = Record<string, string>,
    Answered = Any,
    Body = Any,
    Query = Request['query'],
    Locals extends Record<string, Any> = Record<string, Any>,
  >(
    a: Guard<A>,
    b: Guard<B>,
    c: Guard<C>,
    d: Guard<D>,
    e: Guard<E>,
    f: Guard<F>,
    handler: AuthorizedHandler<A & B & C & D & E & F, Params, Answered, Body, Query, Locals>,
  ): RequestHandler<Params, Any, Any, Any, Any>[];
}

/**
 * Guards and the handler behind them, for TypeScript: the handler's `req.auth` is there, and is
 * known to be what the guards let pass. Goes behind `mtlsBound()`; a request that it did not let in
 * is refused. Throws `ConfigurationError` for what is no function.
 *
 * @example
 * app.get('/accounts', guarded(requireScopes('accounts:read'), requirePsd2Role('PSP_AI'), (req, res) => {
 *   res.json({ client: req.auth.clientId, presented: req.auth.certificate.x509.subject });
 * }));
 */
export const guarded: Guarded = (...handlers: unknown[]) =>
  adapter.guardedChain(handlers) as RequestHandler[];
