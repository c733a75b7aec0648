// Why one overload for each number of guards: TypeScript does not infer what guards grant through a
// rest parameter such as `[...guards: Guards, handler]` once a guard is generic, as requireClaims()
// is. The handler would know `ctx.state.auth` as an `Authorization` and no more.
import type { Authorization } from '@mtls-bound/core';
import type { Context, Middleware, Next, ParameterizedContext } from 'koa';
import { adapter } from './koa.js';
import type { AuthorizationProperty, Guard, MtlsBoundState } from './types.js';

/**
 * A handler that stands in `guarded()`. `Ctx` is the context of the router or app that the handler
 * is put into, with what other packages add to it, such as `ctx.params` and `ctx.request.body`.
 */
export type AuthorizedHandler<Granted extends Authorization, Ctx = ParameterizedContext> = (
  ctx: Ctx & { state: MtlsBoundState<Granted> },
  next: Next,
) => unknown;

/** What `guarded()` returns: a middleware for the context `Ctx`. */
export type GuardedRoute<Ctx> = (ctx: Ctx, next: Next) => Promise<unknown>;

/**
 * What guards grant, which TypeScript infers from the guards alone and not from the handler behind
 * them.
 */
type Granted<A extends Authorization> = [A][A extends unknown ? 0 : never];

/**
 * The handler behind guards; `never` if it types its own context and claims more of the
 * authorization than the guards grant.
 */
type Behind<A extends Authorization, Ctx> = AuthorizedHandler<Granted<A>, Ctx> &
  (Ctx extends { state: { [Name in AuthorizationProperty]: infer Claimed } }
    ? [Granted<A>] extends [Claimed]
      ? unknown
      : never
    : unknown);

/** The forms in which `guarded()` is called: with up to six guards. */
export interface Guarded {
  <Ctx = ParameterizedContext>(handler: Behind<Authorization, Ctx>): GuardedRoute<Ctx>;
  <A extends Authorization, Ctx = ParameterizedContext>(
    a: Guard<A>,
    handler: Behind<A, Ctx>,
  ): GuardedRoute<Ctx>;
  <A extends Authorization, B extends Authorization, Ctx = ParameterizedContext>(
    a: Guard<A>,
    b: Guard<B>,
    handler: Behind<A & B, Ctx>,
  ): GuardedRoute<Ctx>;
  <A extends Authorization, B extends Authorization, C extends Authorization, Ctx = ParameterizedContext>(
    a: Guard<A>,
    b: Guard<B>,
    c: Guard<C>,
    handler: Behind<A & B & C, Ctx>,
  ): GuardedRoute<Ctx>;
  <
    A extends Authorization,
    B extends Authorization,
    C extends Authorization,
    D extends Authorization,
    Ctx = ParameterizedContext,
  >(
    a: Guard<A>,
    b: Guard<B>,
    c: Guard<C>,
    d: Guard<D>,
    handler: Behind<A & B & C & D, Ctx>,
  ): GuardedRoute<Ctx>;
  <
    A extends Authorization,
    B extends Authorization,
    C extends Authorization,
    D extends Authorization,
    E extends Authorization,
    Ctx = ParameterizedContext,
  >(
    a: Guard<A>,
    b: Guard<B>,
    c: Guard<C>,
    d: Guard<D>,
    e: Guard<E>,
    handler: Behind<A & B & C & D & E, Ctx>,
  ): GuardedRoute<Ctx>;
  <
    A extends Authorization,
    B extends Authorization,
    C extends Authorization,
    D extends Authorization,
    E extends Authorization,
    F extends Authorization,
    Ctx = ParameterizedContext,
  >(
    a: Guard<A>,
    b: Guard<B>,
    c: Guard<C>,
    d: Guard<D>,
    e: Guard<E>,
    f: Guard<F>,
    handler: Behind<A & B & C & D & E & F, Ctx>,
  ): GuardedRoute<Ctx>;
}

/**
 * Guards and the handler behind them in one middleware, for TypeScript and for routers: the
 * handler's `ctx.state.auth` is there, and is known to be what the guards let pass. Goes behind
 * `mtlsBound()`; a request that it did not let in is refused. Throws `ConfigurationError` for what
 * is no function.
 *
 * @example
 * router.get('/accounts', guarded(requireScopes('accounts:read'), requirePsd2Role('PSP_AI'), (ctx) => {
 *   const { clientId, certificate } = ctx.state.auth;
 *   ctx.body = { client: clientId, presented: certificate.x509.subject };
 * }));
 */
export const guarded: Guarded = (...handlers: unknown[]): GuardedRoute<Context> => {
  const chain = adapter.guardedChain(handlers) as Middleware[];
  return (ctx, next) =>
    chain.reduceRight<Next>((following, handler) => async () => handler(ctx, following), next)();
};
