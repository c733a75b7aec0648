import { ConfigurationError } from './errors.js';
import { refuseUncalledMiddleware } from './policy/uncalled.js';
import type { ResourceServer } from './resource-server.js';

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
): NonNullable<ResourceServer['metadata']> {
  refuseUncalledMiddleware(calledAs, mtls);
  const server = mtls?.resourceServer;
  if (typeof server?.answer !== 'function') {
    throw new ConfigurationError(calledAs, 'expected the middleware of mtlsBound(), got something else');
  }
  if (server.metadata === undefined) {
    throw new ConfigurationError(
      'resourceMetadata',
      'expected { resource }, got nothing; give the option to mtlsBound()',
    );
  }
  return server.metadata;
}
