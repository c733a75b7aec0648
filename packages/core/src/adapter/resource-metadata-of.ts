import { refuseUncalledMiddleware } from '../policy/middleware-not-called.js';
import type { ResourceServer } from '../resource-server.js';
import { refuseFurtherArguments } from '../shared/call-arguments.js';
import { createMismatch } from '../shared/option-errors.js';

/**
 * Returns what answers requests for the metadata of this resource (RFC 9728 §3.1). Throws
 * `ConfigurationError` if `mtls` is no middleware of `mtlsBound()`, or has no option
 * `resourceMetadata`.
 *
 * @param calledAs the function that errors name
 */
export function resourceMetadataOf(
  mtls: Partial<Record<'resourceServer', ResourceServer>> | undefined,
  calledAs: string,
): NonNullable<ResourceServer['answerResourceMetadata']>;
export function resourceMetadataOf(
  ...args: [mtls: Partial<Record<'resourceServer', ResourceServer>> | undefined, calledAs: string]
): NonNullable<ResourceServer['answerResourceMetadata']> {
  const both = 'the middleware of mtlsBound() and the name of a function';
  refuseFurtherArguments('resourceMetadataOf()', args, 2, both);
  const [mtls, calledAs] = args;
  refuseUncalledMiddleware(calledAs, mtls);
  const server = mtls?.resourceServer;
  if (typeof server?.answer !== 'function') {
    throw createMismatch(calledAs, 'the middleware of mtlsBound()', 'something else');
  }
  if (server.answerResourceMetadata === undefined) {
    throw createMismatch('resourceMetadata', '{ resource }', 'nothing', '; give the option to mtlsBound()');
  }
  return server.answerResourceMetadata;
}
