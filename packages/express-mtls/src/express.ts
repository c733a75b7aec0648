import { type Answer, createAdapter, type MiddlewareTypes, type NodeRequest } from '@mtls-bound/core';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { Guard } from './types.js';

/** The middleware types of Express. */
export interface ExpressTypes extends MiddlewareTypes {
  readonly guard: Guard<this['granted']>;
  readonly middleware: RequestHandler;
  readonly fapiMiddleware: RequestHandler;
}

export const adapter = createAdapter<ExpressTypes, Response, NextFunction>(
  {
    stateOf: (req) => req,
    bodyOf: (req) => (req as Request).body,
    urlOf: (req) => (req as Request).originalUrl,
    addVary,
    setHeader(res, name, value) {
      res.setHeader(name, value);
      res.sendDate = true;
    },
    pass,
    write,
    raise,
  },
  (handle) => (req: NodeRequest, res: Response, next: NextFunction) => void handle(req, res, next),
);

/**
 * Calls `next`. What the handlers behind it throw goes to Express, as if it had called them itself.
 */
function pass(next: NextFunction): void {
  try {
    next();
  } catch (thrown) {
    next(thrown);
  }
}

/**
 * Hands a refusal to the error handling of Express. What that throws ends no process: the request
 * is answered then.
 */
function raise(refusal: Error, next: NextFunction): boolean {
  return isDone(() => next(refusal));
}

/** `res.vary()` parses what is there and what is not: 1 µs a request that has none. */
function addVary(res: Response, name: string): void {
  if (res.hasHeader('Vary')) {
    res.vary(name);
  } else {
    res.setHeader('Vary', name);
  }
}

/**
 * Sends an answer. A package may have sent the head meanwhile: what began that answer ends it. Or it
 * may have wrapped `writeHead()` or `end()` by something that throws. No caller waits for the answer, so that an error would end the
 * process: a plain 503 is tried then, and after that the connection ends.
 */
function write(res: Response, { status, headers, body }: Answer): void {
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
