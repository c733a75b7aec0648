import {
  type Answer,
  type Authorization,
  ConfigurationError,
  missingMiddleware,
  type NodeRequest,
  RequestRefused,
  type ResourceServer,
  type RoutePolicy,
  refuseUncalledMiddleware,
} from '@mtls-bound/core';
import type { NextFunction, Request, Response } from 'express';

// On the request itself, so that the guards of routes answer as the mtlsBound() did that let the
// request in.
export const resourceServer: unique symbol = Symbol('mtls-bound');
export type MarkedRequest = { [resourceServer]?: ResourceServer };

/** Returns what the request was let in with, by the property that the option `property` names. */
export function authorizationOf(req: object, { property }: ResourceServer): unknown {
  return (req as Record<string, unknown>)[property];
}

export function setAuthorization(
  req: object,
  { property }: ResourceServer,
  authorization: Authorization | undefined,
): void {
  (req as Record<string, unknown>)[property] = authorization;
}

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
 * The middleware for a policy of your own. The policy returns `undefined`, or a promise of
 * `undefined`, to accept a request, and throws `RequestRefused` to refuse it. Anything else that it
 * returns or throws is answered with 503, as is a policy that does not settle within 60 seconds.
 * Goes behind `mtlsBound()`. Throws `ConfigurationError` if `policy` is no function.
 */
export function guard<Granted extends Authorization = Authorization>(
  policy: RoutePolicy<Granted>,
): Guard<Granted> {
  refuseUncalledMiddleware('guard()', policy);
  if (typeof policy !== 'function') {
    throw new ConfigurationError('guard()', 'accepted is a route policy, a function');
  }
  return (req, res, next) => {
    const server = (req as MarkedRequest)[resourceServer] ?? missingMiddleware;
    let outcome: unknown;
    try {
      outcome = server.require(req, authorizationOf(req, server), policy);
    } catch (thrown) {
      refuse(req, res, next, server, thrown);
      return;
    }
    if (server.isGranted(req, outcome)) {
      setAuthorization(req, server, outcome);
      next();
    } else {
      void passWhenGranted(req, res, next, server, outcome);
    }
  };
}

/** Waits for a promise of any make, and passes on only what `server` confirms. */
async function passWhenGranted(
  req: NodeRequest,
  res: Response,
  next: NextFunction,
  server: ResourceServer,
  outcome: unknown,
): Promise<void> {
  let granted: Authorization | undefined;
  try {
    granted = server.confirm(req, await outcome);
  } catch (thrown) {
    refuse(req, res, next, server, thrown);
    return;
  }
  if (granted === undefined) {
    refuse(req, res, next, server, new RequestRefused('credentials_missing'));
    return;
  }
  setAuthorization(req, server, granted);
  passOn(next);
}

/**
 * Calls `next`. What the handlers behind it throw goes to Express, as if it had called them itself.
 */
export function passOn(next: NextFunction): void {
  try {
    next();
  } catch (thrown) {
    next(thrown);
  }
}

/**
 * Refuses a request: answers it, or, with the option `onRefused: 'next'`, hands the refusal to the
 * error handling of Express. What that throws ends no process: the request is answered then.
 */
export function refuse(
  req: NodeRequest,
  res: Response,
  next: NextFunction,
  server: ResourceServer,
  thrown: unknown,
): void {
  const error = server.errorFor(thrown, req);
  if (error === undefined) {
    write(res, server.answer(thrown, req));
    return;
  }
  setAuthorization(req, server, undefined);
  try {
    next(error);
  } catch {
    write(res, server.answer(thrown, req));
  }
}

/**
 * Sends an answer. A package may have sent the head meanwhile, or have wrapped `writeHead()` or
 * `end()` by something that throws. No caller waits for the answer, so that an error would end the
 * process: a plain 503 is tried then, and after that the connection ends.
 */
export function write(res: Response, { status, headers, body }: Answer): void {
  if (res.headersSent) {
    return;
  }
  const isSent =
    isDone(() => {
      // Not chained: packages that wrap writeHead() return nothing from it.
      res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
      res.end(body);
    }) ||
    isDone(() => {
      res.writeHead(503, { 'Content-Length': 0 });
      res.end();
    });
  if (!isSent) {
    isDone(() => res.destroy());
  }
}

function isDone(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
