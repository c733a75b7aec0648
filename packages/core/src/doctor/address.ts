import { isIP } from 'node:net';

/**
 * Where a URL of https leads, as `tls.connect()` takes it: an IPv6 address without brackets, a name
 * for SNI.
 */
export function addressOf({ hostname, port }: URL): { host: string; port: number; servername?: string } {
  const host = hostname.replace(/^\[|\]$/g, '');
  return { host, port: Number(port || 443), ...(isIP(host) === 0 && { servername: host }) };
}
