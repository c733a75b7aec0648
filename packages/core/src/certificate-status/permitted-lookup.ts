import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { TellableError } from '../errors.js';
import { isPermittedAddress } from './permitted-address.js';

/** Resolves a host name to its addresses, as `dns.lookup()` does with `all: true`. */
export type ResolveHost = (
  host: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Returns a `lookup` for connections that gives permitted addresses alone. The connection is made to
 * the very address that was checked: a second answer of the name server can't change it.
 */
export function createPermittedLookup(resolveHost: ResolveHost = lookup): LookupFunction {
  return (host, options, callback) => {
    resolveHost(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      const permitted = addresses.filter(({ address }) => isPermittedAddress(address));
      const [first] = permitted;
      if (first === undefined) {
        callback(
          new TellableError(
            `${host} leads to this host, its link or its cloud alone, name its origin in origins`,
          ),
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
