import { TellableError } from '../errors.js';
import type { NodeRequest } from './node-request.js';

/**
 * Returns the request target as the client sent it. Express cuts what is mounted off `url`, and keeps
 * the whole at `originalUrl`; the Koa adapter puts `ctx.originalUrl` there. Where other code added
 * the member to every object, Express keeps that one instead: throws `TellableError`.
 */
export function requestTargetOf(req: NodeRequest & { originalUrl?: string }): string {
  if ('originalUrl' in Object.prototype) {
    throw new TellableError(
      'Object.prototype has a member originalUrl, so that the URL that the client sent can not be read',
    );
  }
  return req.originalUrl ?? req.url ?? '';
}
