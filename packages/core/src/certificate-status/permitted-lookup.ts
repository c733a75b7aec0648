import type { LookupFunction } from 'node:net';
import type { ResolveHost } from '../shared/resolve-host.js';
import { isPermittedAddress } from './permitted-address.js';
import { StatusError } from './status-reason.js';

/** Returns a `lookup` for connections. */
export function createLookup(
  resolveHost: ResolveHost,
  isPermitted: (address: string) => boolean = () => true,
): LookupFunction {
  return (host, options, callback) => {
    resolveHost(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      const permitted = addresses.filter(({ address }) => isPermitted(address));
      const [first] = permitted;
      if (first === undefined) {
        callback(
          new StatusError({
            code: 'origin_not_permitted',
            why: `${host} leads to this host, its link or its cloud alone, name its origin in origins`,
          }),
          [],
        );
      } else if (options.all === true) {
        callback(null, permitted);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

/**
 * Returns a `lookup` for connections that gives permitted addresses alone. The connection is made to
 * the very address that was checked: a second answer of the name server can't change it.
 */
export function createPermittedLookup(resolveHost: ResolveHost): LookupFunction {
  return createLookup(resolveHost, isPermittedAddress);
}
