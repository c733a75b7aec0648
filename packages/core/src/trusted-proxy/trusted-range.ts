import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { compile } from 'proxy-addr';

/** Names of ranges, as Express has them. */
const names: readonly string[] = ['loopback', 'linklocal', 'uniquelocal'];

/** Addresses as numbers: those of IPv4 lie at ::ffff:0:0/96 (RFC 4291 §2.5.5.2). */
interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

const BITS = 128;

/**
 * A list of proxies that covers all of one of these ranges is refused: all addresses of IPv4, or all of IPv6
 * that the Internet uses.
 */
const everyAddress: readonly Range[] = [
  // ::ffff:0:0/96
  { first: 0xffff_0000_0000n, last: 0xffff_ffff_ffffn },
  // 2000::/3
  { first: 0x2000n << 112n, last: (0x4000n << 112n) - 1n },
];

/** Why a list of ranges can't be used, or `undefined`. */
export function explainUnusableRanges(ranges: readonly string[]): string | undefined {
  const zoned = ranges.findIndex((text) => text.includes('%'));
  if (zoned >= 0) {
    return `a zone (%) in entry ${zoned + 1}, which would not be compared`;
  }
  const unreadable = ranges.findIndex((text) => !names.includes(text) && rangeOf(text) === undefined);
  if (ranges[unreadable]?.toLowerCase() === 'localhost') {
    return "'localhost', which is no address; write 'loopback' for peers on this machine";
  }
  if (unreadable >= 0) {
    return `an entry ${unreadable + 1} that is neither an address nor a CIDR in its usual form`;
  }
  const covered = ranges.map(rangeOf).filter((range) => range !== undefined);
  return everyAddress.some((all) => isCovered(all, covered)) ? 'ranges that cover every address' : undefined;
}

/** Tests whether an address lies in one of the ranges, as Express reads them. */
export function createRangeTest(ranges: string[]): (address: string) => boolean {
  const isTrusted = compile(ranges);
  return (address) => isTrusted(address, 0);
}

/**
 * Reads an address or a CIDR. `undefined` for what Node does not call an address: other parsers
 * read `010.0.0.5` as octal and `2130706433` as 127.0.0.1.
 */
function rangeOf(text: string): Range | undefined {
  const [, address = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  const width = family === 4 ? 32 : BITS;
  const length = prefix === undefined ? width : Number(prefix);
  if (family === 0 || length > width || !ipaddr.isValid(address) || !isCompiled(address)) {
    return undefined;
  }
  const parsed = ipaddr.parse(address);
  const mapped = parsed.kind() === 'ipv4' ? (parsed as ipaddr.IPv4).toIPv4MappedAddress() : parsed;
  const number = BigInt(`0x${Buffer.from(mapped.toByteArray()).toString('hex')}`);
  const size = 1n << BigInt(width - length);
  const first = number - (number % size);
  return { first, last: first + size - 1n };
}

/**
 * Whether Express reads an address too: of some that Node calls one, as `::10.0.0.5`, it says that
 * they are none.
 */
function isCompiled(address: string): boolean {
  try {
    compile(address);
    return true;
  } catch {
    return false;
  }
}

function isCovered(all: Range, ranges: readonly Range[]): boolean {
  let next = all.first;
  for (const { first, last } of ranges.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    if (first <= next && last >= next) {
      next = last + 1n;
    }
  }
  return next > all.last;
}
