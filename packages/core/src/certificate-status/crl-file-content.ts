import { constants } from 'node:buffer';
import { JOINED, type PemBlock, readPemBlocks } from '../shared/pem-blocks.js';
import { type CrlHead, readCrlHead, readCrlIssuer } from './crl.js';

/** A list of a file that can't be used. */
export interface UnusableList {
  /** Its place in the file, from 1. */
  readonly number: number;
  /** The DER of its issuer's name; `undefined` if it can't be read. */
  readonly issuer: Uint8Array | undefined;
  readonly why: string;
}

/** The revocation lists of a file: one at least can be used. */
export interface CrlFileContent {
  /** The lists that can be read, with their places in the file, from 1. */
  readonly heads: ReadonlyMap<CrlHead, number>;
  readonly unusable: readonly UnusableList[];
}

const base64 = /^[A-Za-z0-9+/=\s]+$/;

/** Reads a file in PEM or DER. Returns the reason if it is cut off, or if no list in it can be used. */
export function readCrlFile(content: Buffer, maxSize: number): CrlFileContent | { readonly why: string } {
  const isPem = content.includes('-----BEGIN ');
  if (isPem && content.length > constants.MAX_STRING_LENGTH) {
    return { why: `in PEM it has more than ${constants.MAX_STRING_LENGTH} bytes` };
  }
  const lists = isPem ? readPemLists(content.toString('latin1')) : [content];
  if ('why' in lists) {
    return lists;
  }
  const heads = new Map<CrlHead, number>();
  const unusable: UnusableList[] = [];
  for (const [index, der] of lists.entries()) {
    const head = der.length > maxSize ? { why: `a list has more than ${maxSize} bytes` } : readCrlHead(der);
    if ('why' in head) {
      unusable.push({ number: index + 1, issuer: readCrlIssuer(der), why: head.why });
    } else {
      heads.set(head, index + 1);
    }
  }
  const [first] = unusable;
  return heads.size === 0 && first !== undefined ? { why: first.why } : { heads, unusable };
}

/** Returns the lists of a PEM text in DER, or the reason if it is cut off, or holds no list. */
function readPemLists(text: string): readonly Buffer[] | { readonly why: string } {
  const blocks = readPemBlocks(text);
  if (blocks === 'joined') {
    return { why: JOINED };
  }
  const bodies = blocks === 'cut' ? [] : blocks.filter(({ label }) => label === 'X509 CRL').map(bodyOf);
  return bodies.length > 0 && bodies.every((body) => base64.test(body))
    ? bodies.map((body) => Buffer.from(body, 'base64'))
    : { why: 'it holds no whole revocation list' };
}

function bodyOf({ body }: PemBlock): string {
  return body;
}

/** Lists that a message names. */
const MAX_NAMED = 5;

/**
 * Says which lists of a file can't be used, and why.
 *
 * @param count all lists of the file
 */
export function describeUnusable(
  unusable: readonly Pick<UnusableList, 'number' | 'why'>[],
  count: number,
): string {
  const named = unusable.slice(0, MAX_NAMED).map(({ number, why }) => `list ${number}: ${why}`);
  const more = unusable.length - named.length;
  const all = [...named, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
  return `${unusable.length} of ${count} lists can not be used: ${all}`;
}
