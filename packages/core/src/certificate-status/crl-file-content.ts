import { constants } from 'node:buffer';
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

const BEGIN = '-----BEGIN X509 CRL-----';

const block = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/g;

/** Reads a file in PEM or DER. Returns the reason if it is cut off, or if no list in it can be used. */
export function readCrlFile(content: Buffer, maxSize: number): CrlFileContent | { readonly why: string } {
  const isPem = content.includes('-----BEGIN ');
  if (isPem && content.length > constants.MAX_STRING_LENGTH) {
    return { why: `in PEM it has more than ${constants.MAX_STRING_LENGTH} bytes` };
  }
  const text = isPem ? content.toString('latin1') : undefined;
  const lists =
    text === undefined
      ? [content]
      : [...text.matchAll(block)].map(([, base64 = '']) => Buffer.from(base64, 'base64'));
  const markers = text === undefined ? 1 : text.split(BEGIN).length - 1;
  if (lists.length === 0 || lists.length !== markers || endsWithinBegin(text ?? '')) {
    return { why: 'it holds no whole revocation list' };
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

/** Whether a text is cut off within the line that begins a list. */
function endsWithinBegin(text: string): boolean {
  const lastLine = text.slice(text.lastIndexOf('\n') + 1);
  return lastLine !== '' && BEGIN.startsWith(lastLine);
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
