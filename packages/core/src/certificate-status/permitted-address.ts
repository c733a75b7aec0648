import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * No list and no responder of an authority is at one of these: this host itself, its links, and the
 * services of a cloud for the host, which give out credentials at 169.254.169.254.
 */
const refusedRanges: ReadonlySet<string> = new Set([
  'unspecified',
  'loopback',
  'linkLocal',
  'broadcast',
  'multicast',
]);

/** What Amazon's metadata service has as its address of IPv6, which is no link-local one. */
const cloudMetadata = ipaddr.parse('fd00:ec2::254').toNormalizedString();

/** Whether a URL of a certificate may lead to an address. False for what is none. */
export function isPermittedAddress(address: string): boolean {
  if (isIP(address) === 0 || !ipaddr.isValid(address)) {
    return false;
  }
  const parsed = ipaddr.parse(address);
  if (parsed.kind() === 'ipv4') {
    return !refusedRanges.has(parsed.range());
  }
  const embedded = embeddedAddress(parsed.toByteArray());
  return (
    !refusedRanges.has(parsed.range()) &&
    parsed.toNormalizedString() !== cloudMetadata &&
    (embedded === undefined || !refusedRanges.has(embedded.range()))
  );
}

/**
 * The address of IPv4 that one of IPv6 stands for: IPv4-mapped and -compatible (RFC 4291 §2.5.5),
 * IPv4-translated (RFC 2765 §2.1), NAT64 (RFC 6052 §2.1) and 6to4 (RFC 3056 §2). `undefined` for
 * another one.
 */
function embeddedAddress(bytes: readonly number[]): ipaddr.IPv4 | undefined {
  const prefix = Buffer.from(bytes).toString('hex').slice(0, 24);
  if (prefix.startsWith('2002')) {
    return new ipaddr.IPv4(bytes.slice(2, 6));
  }
  const isEmbedded =
    prefix === '0'.repeat(24) ||
    prefix === `${'0'.repeat(20)}ffff` ||
    prefix === `${'0'.repeat(16)}ffff0000` ||
    prefix === '0064ff9b'.padEnd(24, '0');
  return isEmbedded ? new ipaddr.IPv4(bytes.slice(12)) : undefined;
}
