import { TellableError } from '../errors.js';
import type { NodeRequest } from './node-request.js';

/**
 * Returns the request target as the client sent it. Express cuts the path of a mount off `url`,
 * and keeps the whole target at `originalUrl`, where `keepRequestTarget()` puts it for other frameworks.
 * Throws `TellableError` if other code added `originalUrl` to `Object.prototype`: Express would then not set
 * its own.
 */
export function requestTargetOf(req: NodeRequest & { originalUrl?: string }): string {
  if ('originalUrl' in Object.prototype) {
    throw new TellableError(
      'Object.prototype has a member originalUrl, so that the URL that the client sent can not be read',
    );
  }
  return req.originalUrl ?? req.url ?? '';
}

/**
 * Puts the request target as the client sent it at `originalUrl`, where Express has it, if `url`
 * differs: a mount or a rewrite (`ctx.path = ...` in Koa) changes `url`.
 */
export function keepRequestTarget(
  req: NodeRequest & { originalUrl?: string },
  target: string | undefined,
): void {
  if (target !== undefined && req.url !== target) {
    req.originalUrl ??= target;
  }
}
