// The libraries make several objects of each element and one of each arc of an object identifier, and look for DER in each octet
// and bit string: a certificate of sixteen kilobytes could stop the process for a second. What is refused here is never given to
// them.

/** Bytes. Certificates have a few thousand. */
const MAX_SIZE = 16_384;

/** Elements, those within octet and bit strings too. Certificates have two hundred or so. */
const MAX_ELEMENTS = 500;

/** Bytes. Object identifiers in certificates have fewer than twenty. */
const MAX_OBJECT_IDENTIFIER = 64;

/** Bytes of all object identifiers. Certificates have a few hundred. */
const MAX_OBJECT_IDENTIFIERS = 2_048;

/** Bytes of all octet and bit strings that hold no DER: signatures, keys and hashes, post-quantum ones too. */
const MAX_OPAQUE = 8_192;

/** Bytes of long object identifiers in strings: random bytes of a signature may look like one by chance. */
const MAX_IN_STRINGS = 1_024;

/** `registeredId` is the object identifier among the alternative names (RFC 5280 §4.2.1.6). */
const tags = { bitString: 0x03, octetString: 0x04, objectIdentifier: 0x06, registeredId: 0x88 } as const;
const CONSTRUCTED = 0x20;

/**
 * Says why a certificate would cost too much to parse, or `undefined` for one that does not. Only lengths are read, each
 * byte a few times at most; what a certificate says is for the libraries to read.
 */
export function whyTooCostly(der: Uint8Array): string | undefined {
  if (der.length > MAX_SIZE) {
    return `it has more than ${MAX_SIZE} bytes`;
  }
  const whole = elementsOf(der, false);
  if (whole === undefined) {
    return 'it is no DER';
  }
  const open: Element[] = [...whole];
  let count = 0;
  let identifiers = 0;
  let opaque = 0;
  let longInStrings = 0;
  for (let element = open.pop(); element !== undefined; element = open.pop()) {
    const { tag, content, isInString } = element;
    count += 1;
    if (count > MAX_ELEMENTS) {
      return `it has more than ${MAX_ELEMENTS} elements`;
    }
    const isIdentifier = tag === tags.objectIdentifier || tag === tags.registeredId;
    identifiers += isIdentifier ? content.length : 0;
    if (identifiers > MAX_OBJECT_IDENTIFIERS) {
      return `its object identifiers have more than ${MAX_OBJECT_IDENTIFIERS} bytes`;
    }
    const isLong = isIdentifier && content.length > MAX_OBJECT_IDENTIFIER;
    longInStrings += isLong && isInString ? content.length : 0;
    if (isLong && (!isInString || longInStrings > MAX_IN_STRINGS)) {
      return `an object identifier has more than ${MAX_OBJECT_IDENTIFIER} bytes`;
    }
    const held = heldIn(element);
    if (held !== undefined) {
      open.push(...held);
    } else if (isConstructed(tag) && !isInString) {
      return 'it is no DER';
    } else if (isConstructed(tag) || tag === tags.octetString || tag === tags.bitString) {
      opaque += content.length;
    }
  }
  return opaque > MAX_OPAQUE
    ? `its keys, signatures and hashes have more than ${MAX_OPAQUE} bytes`
    : undefined;
}

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Whether it was found in an octet or bit string, whose bytes may be anything. */
  readonly isInString: boolean;
}

function isConstructed(tag: number): boolean {
  return (tag & CONSTRUCTED) !== 0;
}

/** What lies within an element: by its tag, or because a library would look for it there. */
function heldIn({ tag, content, isInString }: Element): readonly Element[] | undefined {
  if (isConstructed(tag)) {
    return elementsOf(content, isInString);
  }
  if (tag === tags.octetString) {
    return elementsOf(content, true);
  }
  // The first byte counts the unused bits.
  return tag === tags.bitString ? elementsOf(content.subarray(1), true) : undefined;
}

/** The elements that fill `bytes`, one behind the other; `undefined` for what is no DER (X.690 §8.1, §10.1). */
function elementsOf(bytes: Uint8Array, isInString: boolean): readonly Element[] | undefined {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [tag = 0, first = 0x80] = bytes.subarray(at, at + 2);
    const lengthBytes = first < 0x80 ? 0 : first - 0x80;
    const start = at + 2 + lengthBytes;
    // No certificate has a tag of several bytes; no element within MAX_SIZE has a length of more than two.
    if ((tag & 0x1f) === 0x1f || first === 0x80 || lengthBytes > 2 || start > bytes.length) {
      return undefined;
    }
    const length =
      lengthBytes === 0 ? first : bytes.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
    if (start + length > bytes.length) {
      return undefined;
    }
    elements.push({ tag, content: bytes.subarray(start, start + length), isInString });
    at = start + length;
  }
  return elements;
}
