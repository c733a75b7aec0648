import type { Authorization, GuardedCall, HandlerType } from '@mtls-bound/core';
import type { Context, Middleware, Next, ParameterizedContext } from 'koa';
import { adapter, type KoaTypes } from './koa.js';
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

/** The types of Koa for `guarded()`. */
interface KoaHandlers extends HandlerType, KoaTypes {
  readonly guard: Guard<this['granted']>;
  readonly untyped: ParameterizedContext;
  readonly output: Next;
  readonly further: [];
  readonly added: Record<'state', MtlsBoundState<this['granted']>>;
  readonly claimed: this['input'] extends { state: { [Name in AuthorizationProperty]: infer Claimed } }
    ? Claimed
    : unknown;
  readonly route: GuardedRoute<this['input']>;
}

/** The forms in which `guarded()` is called: with up to six guards. */
export interface Guarded extends GuardedCall<KoaHandlers> {}

/**
 * Guards and the handler behind them in one middleware, for TypeScript and for routers: the
 * handler's `ctx.state.auth` is there, and is known to be what the guards let pass. Goes behind
 * `mtlsBound()`; a request that it did not accept is refused. Throws `ConfigurationError` for what
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
