import { type Authorization, ConfigurationError, type RoutePolicy, refuseUncalled } from '@mtls-bound/core';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { type Guard, guard } from './guard.js';
import type { AuthorizationProperty } from './index.js';

/** A request as handlers in `guarded()` get it: it was let in, and past the guards. */
export type AuthorizedRequest<Granted extends Authorization = Authorization> = Request<
  Record<string, string>
> & { [Name in AuthorizationProperty]: Granted };

/** A handler that stands in `guarded()`. */
export type AuthorizedHandler<Granted extends Authorization> = (
  req: AuthorizedRequest<Granted>,
  res: Response,
  next: NextFunction,
) => unknown;

/**
 * Guards and the handler behind them, for TypeScript: the handler's `req.auth` is there, and is known to be what the guards let
 * pass. Goes behind `mtlsBound()`; a request that it did not let in is refused. Throws `ConfigurationError` for what is no function.
 *
 * @example
 * app.get('/accounts', guarded(requireScopes('accounts:read'), requirePsd2Role('PSP_AI'), (req, res) => {
 *   res.json({ client: req.auth.clientId, presented: req.auth.certificate.x509.subject });
 * }));
 */
export function guarded(handler: AuthorizedHandler<Authorization>): RequestHandler[];
export function guarded<A extends Authorization>(
  a: Guard<A>,
  handler: AuthorizedHandler<A>,
): RequestHandler[];
export function guarded<A extends Authorization, B extends Authorization>(
  a: Guard<A>,
  b: Guard<B>,
  handler: AuthorizedHandler<A & B>,
): RequestHandler[];
export function guarded<A extends Authorization, B extends Authorization, C extends Authorization>(
  a: Guard<A>,
  b: Guard<B>,
  c: Guard<C>,
  handler: AuthorizedHandler<A & B & C>,
): RequestHandler[];
export function guarded(...handlers: unknown[]): RequestHandler[] {
  refuseUncalled('guarded()', handlers[0]);
  if (handlers.length === 0 || !handlers.every((handler) => typeof handler === 'function')) {
    throw new ConfigurationError('guarded()', 'accepted are guards and, as the last, a handler: functions');
  }
  return [guard(letIn), ...handlers] as RequestHandler[];
}

const letIn: RoutePolicy = () => undefined;
