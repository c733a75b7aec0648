/** One element of DER: a tag of one byte, and the content behind its length. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly whole: Uint8Array;
}

/** X.690 §8.1.2.5. */
export function isConstructed(tag: number): boolean {
  return (tag & 0x20) !== 0;
}

/**
 * Splits `bytes` into the elements that fill them. Reads tags and lengths alone, and no content.
 * Returns `undefined` for bytes that elements do not fill, for tags and lengths of more bytes than
 * a certificate needs, and for indefinite lengths (X.690 §8.1, §10.1).
 */
export function splitDer(bytes: Uint8Array): readonly DerElement[] | undefined {
  const elements: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1] ?? 0x80;
    const lengthBytes = first < 0x80 ? 0 : first - 0x80;
    const start = at + 2 + lengthBytes;
    if ((tag & 0x1f) === 0x1f || first === 0x80 || lengthBytes > 2 || start > bytes.length) {
      return undefined;
    }
    const length =
      lengthBytes === 0 ? first : bytes.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
    const end = start + length;
    if (end > bytes.length) {
      return undefined;
    }
    elements.push({ tag, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  return elements;
}
