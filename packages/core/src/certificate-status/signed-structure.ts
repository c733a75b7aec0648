import { tags } from '../certificate/der-members.js';
import { DerCursor } from './der-cursor.js';

/** What an authority signed, the algorithm and the signature (RFC 5280 §5.1, RFC 6960 §4.2.1). */
export interface SignedStructure {
  /** The signed bytes: tag, length and content. */
  readonly signed: Uint8Array;
  /** The content within them. */
  readonly content: Uint8Array;
  /** The DER of the AlgorithmIdentifier. */
  readonly algorithm: Uint8Array;
  readonly signature: Uint8Array;
  /** What stands behind the signature: the certificates of an OCSP answer, with tag and length. */
  readonly rest: Uint8Array;
}

/** Splits a signed structure, without a look into the signed bytes. `undefined` for what is none. */
export function splitSigned(der: Uint8Array): SignedStructure | undefined {
  const outer = new DerCursor(der);
  if (!outer.nextIs(tags.sequence) || !outer.isAtEnd) {
    return undefined;
  }
  const { start, end } = outer;
  const member = new DerCursor(der, start, end);
  if (!member.nextIs(tags.sequence)) {
    return undefined;
  }
  const signed = member.whole();
  const content = member.content();
  if (!member.nextIs(tags.sequence)) {
    return undefined;
  }
  const algorithm = member.whole();
  // The first byte of a bit string counts unused bits: a signature has none.
  if (!member.nextIs(tags.bitString) || der[member.start] !== 0 || member.end === member.start) {
    return undefined;
  }
  const signature = der.subarray(member.start + 1, member.end);
  return { signed, content, algorithm, signature, rest: der.subarray(member.end, end) };
}
