import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * No list and no responder of an authority is at one of these: this host itself, its links, the
 * shared addresses of providers (RFC 6598), and the services of a cloud for the host, which give out
 * credentials at 169.254.169.254.
 */
const refusedRanges: ReadonlySet<string> = new Set([
  'unspecified',
  'loopback',
  'linkLocal',
  'broadcast',
  'multicast',
  'carrierGradeNat',
]);

/**
 * The services of clouds for their hosts, and site-local addresses (deprecated by RFC 3879), which the ranges
 * above do not have. The other unique local addresses may be those of an authority of the own network.
 */
const refusedBlocks = [
  'fec0::/10',
  '168.63.129.16/32', // Azure
  '192.0.0.192/32', // Oracle Cloud
  'fd00:ec2::/32', // Amazon
  'fd20:ce::254/128', // Google Cloud
  'fd00:42::42/128', // Scaleway
  'fd00:c1::a9fe:a9fe/128', // Oracle Cloud
  'fd00:a9fe:a9fe::1/128', // Linode
  'fd00:100::100:200/128', // Alibaba Cloud
].map((range) => ipaddr.parseCIDR(range));

/** Whether a URL of a certificate may lead to an address. False for what is none. */
export function isPermittedAddress(address: string): boolean {
  if (isIP(address) === 0 || !ipaddr.isValid(address)) {
    return false;
  }
  const parsed = ipaddr.parse(address);
  const embedded = parsed.kind() === 'ipv6' ? embeddedAddresses(parsed.toByteArray()) : [];
  return [parsed, ...embedded].every((one) => !refusedRanges.has(one.range()) && !isInRefusedBlock(one));
}

function isInRefusedBlock(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return refusedBlocks.some(
    ([range, bits]) => range.kind() === address.kind() && address.match([range, bits] as never),
  );
}

/**
 * The addresses of IPv4 that one of IPv6 may stand for: IPv4-mapped and -compatible (RFC 4291 §2.5.5),
 * IPv4-translated (RFC 2765 §2.1), NAT64 with the well-known and the local prefix (RFC 6052 §2.2,
 * RFC 8215), 6to4 (RFC 3056 §2) and Teredo (RFC 4380 §4).
 */
function embeddedAddresses(bytes: readonly number[]): ipaddr.IPv4[] {
  const prefix = Buffer.from(bytes).toString('hex').slice(0, 24);
  const last = new ipaddr.IPv4(bytes.slice(12));
  if (prefix.startsWith('2002')) {
    return [new ipaddr.IPv4(bytes.slice(2, 6))];
  }
  if (prefix.startsWith('20010000')) {
    return [new ipaddr.IPv4(bytes.slice(4, 8)), new ipaddr.IPv4(bytes.slice(12).map((byte) => byte ^ 0xff))];
  }
  if (prefix.startsWith('0064ff9b0001')) {
    // A network chooses how long its prefix is: 48, 56, 64 or 96 bits.
    const starts = [
      [6, 7, 9, 10],
      [7, 9, 10, 11],
      [9, 10, 11, 12],
    ] as const;
    const read = starts.map((places) => new ipaddr.IPv4(places.map((at) => bytes[at] ?? 0)));
    // Zeros are the rest of a longer prefix.
    return [last, ...read.filter((one) => one.range() !== 'unspecified')];
  }
  const isEmbedded =
    prefix === '0'.repeat(24) ||
    prefix === `${'0'.repeat(20)}ffff` ||
    prefix === `${'0'.repeat(16)}ffff0000` ||
    prefix === '0064ff9b'.padEnd(24, '0');
  return isEmbedded ? [last] : [];
}
