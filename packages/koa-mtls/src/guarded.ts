import { type Authorization, ConfigurationError, type RoutePolicy, refuseUncalled } from '@mtls-bound/core';
import type { Middleware, Next, ParameterizedContext } from 'koa';
import { type Guard, guard, type MtlsBoundState } from './guard.js';

/** A handler that stands in `guarded()`. */
export type AuthorizedHandler<Granted extends Authorization> = (
  ctx: ParameterizedContext<MtlsBoundState<Granted>>,
  next: Next,
) => unknown;

/**
 * Guards and the handler behind them in one middleware, for TypeScript and for routers: the handler's `ctx.state.auth` is there,
 * and is known to be what the guards let pass. Goes behind `mtlsBound()`; a request that it did not let in is refused. Throws `ConfigurationError` for what is no function.
 *
 * @example
 * router.get('/accounts', guarded(requireScopes('accounts:read'), requirePsd2Role('PSP_AI'), (ctx) => {
 *   const { clientId, certificate } = ctx.state.auth;
 *   ctx.body = { client: clientId, presented: certificate.x509.subject };
 * }));
 */
export function guarded(handler: AuthorizedHandler<Authorization>): Middleware;
export function guarded<A extends Authorization>(a: Guard<A>, handler: AuthorizedHandler<A>): Middleware;
export function guarded<A extends Authorization, B extends Authorization>(
  a: Guard<A>,
  b: Guard<B>,
  handler: AuthorizedHandler<A & B>,
): Middleware;
export function guarded<A extends Authorization, B extends Authorization, C extends Authorization>(
  a: Guard<A>,
  b: Guard<B>,
  c: Guard<C>,
  handler: AuthorizedHandler<A & B & C>,
): Middleware;
export function guarded(...handlers: unknown[]): Middleware {
  refuseUncalled('guarded()', handlers[0]);
  if (handlers.length === 0 || !handlers.every((handler) => typeof handler === 'function')) {
    throw new ConfigurationError('guarded()', 'accepted are guards and, as the last, a handler: functions');
  }
  const chain = [guard(letIn), ...handlers] as Middleware[];
  return (ctx, next) =>
    chain.reduceRight<Next>((following, handler) => async () => handler(ctx, following), next)();
}

const letIn: RoutePolicy = () => undefined;
