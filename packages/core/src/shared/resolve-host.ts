import type { LookupAddress, LookupOptions } from 'node:dns';

/** Resolves a host name to its addresses, as `dns.lookup()` does with `all: true`. */
export type ResolveHost = (
  host: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;
