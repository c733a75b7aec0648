import {
  createAdapter,
  expressFrameworkBase,
  type MiddlewareTypes,
  type NodeRequest,
} from '@mtls-bound/core';
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
    ...expressFrameworkBase,
    bodyOf: (req) => (req as Request).body,
    // Express puts it at `originalUrl`. To read that of each request would take V8 about half a microsecond.
    urlOf: () => undefined,
  },
  (handle) => (req: NodeRequest, res: Response, next: NextFunction) => void handle(req, res, next),
);
