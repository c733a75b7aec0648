import {
  type Answer,
  type Authorization,
  type ResourceServer,
  type RoutePolicy,
  unguarded,
} from '@mtls-bound/core';
import type { NextFunction, Request, Response } from 'express';

// On the request itself, so that the guards of routes answer as the mtlsBound() did that let the request in.
export const resourceServer: unique symbol = Symbol('mtls-bound');
export type MarkedRequest = { [resourceServer]?: ResourceServer };

/** A middleware of this package. `Granted` is what handlers in `guarded()` know of `req.auth` behind it. */
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
 * The middleware for a policy of one's own: what it refuses by `RequestRefused` is answered so, anything else that it throws
 * by 503. Goes behind `mtlsBound()`.
 */
export function guard<Granted extends Authorization = Authorization>(
  policy: RoutePolicy<Granted>,
): Guard<Granted> {
  return (req, res, next) => {
    const server = (req as MarkedRequest)[resourceServer] ?? unguarded;
    let outcome: void | Promise<void>;
    try {
      outcome = server.require(req, req.auth, policy);
    } catch (thrown) {
      send(res, server, thrown);
      return;
    }
    if (outcome instanceof Promise) {
      outcome
        .then(
          () => next(),
          (thrown: unknown) => send(res, server, thrown),
        )
        .catch(next);
    } else {
      next();
    }
  };
}

export function send(res: Response, server: ResourceServer, thrown: unknown): void {
  write(res, server.answer(thrown));
}

export function write(res: Response, { status, headers, body }: Answer): void {
  if (!res.headersSent) {
    res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) }).end(body);
  }
}
