import {
  type Authorization,
  ConfigurationError,
  type RoutePolicy,
  refuseUncalledMiddleware,
} from '@mtls-bound/core';
import type { Middleware, Next, ParameterizedContext } from 'koa';
import { type AuthorizationProperty, type Guard, guard, type MtlsBoundState } from './guard.js';

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
export function guarded<Ctx = ParameterizedContext>(handler: Behind<Authorization, Ctx>): GuardedRoute<Ctx>;
export function guarded<A extends Authorization, Ctx = ParameterizedContext>(
  a: Guard<A>,
  handler: Behind<A, Ctx>,
): GuardedRoute<Ctx>;
export function guarded<A extends Authorization, B extends Authorization, Ctx = ParameterizedContext>(
  a: Guard<A>,
  b: Guard<B>,
  handler: Behind<A & B, Ctx>,
): GuardedRoute<Ctx>;
export function guarded<
  A extends Authorization,
  B extends Authorization,
  C extends Authorization,
  Ctx = ParameterizedContext,
>(a: Guard<A>, b: Guard<B>, c: Guard<C>, handler: Behind<A & B & C, Ctx>): GuardedRoute<Ctx>;
export function guarded<
  A extends Authorization,
  B extends Authorization,
  C extends Authorization,
  D extends Authorization,
  Ctx = ParameterizedContext,
>(a: Guard<A>, b: Guard<B>, c: Guard<C>, d: Guard<D>, handler: Behind<A & B & C & D, Ctx>): GuardedRoute<Ctx>;
export function guarded<
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
export function guarded<
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
export function guarded(...handlers: unknown[]): GuardedRoute<never> {
  refuseUncalledMiddleware('guarded()', handlers[0]);
  if (handlers.length === 0 || !handlers.every((handler) => typeof handler === 'function')) {
    throw new ConfigurationError('guarded()', 'accepted are guards and, as the last, a handler: functions');
  }
  const chain = [guard(acceptAll), ...handlers] as Middleware[];
  return (ctx, next) =>
    chain.reduceRight<Next>((following, handler) => async () => handler(ctx, following), next)();
}

const acceptAll: RoutePolicy = () => undefined;
