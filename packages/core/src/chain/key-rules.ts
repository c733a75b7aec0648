import type { DerElement } from '../certificate/der-elements.js';
import { identifierOf, membersOf, onlyElement, sequenceOf, tags } from '../certificate/der-members.js';

/** Bits. NIST SP 800-131A and the profiles of FAPI demand 2048; more than 8192 only cost time. */
const RSA_BITS = { least: 2_048, most: 8_192 } as const;

/** RSA exponents in use have 17 bits; long ones only cost time. */
const MAX_EXPONENT_BITS = 32;

/** By the content of the object identifier, in hex. */
const types: ReadonlyMap<string | undefined, 'rsa' | 'ec' | 'edwards' | 'dsa'> = new Map([
  ['2a864886f70d010101', 'rsa'],
  ['2a864886f70d01010a', 'rsa'],
  ['2a8648ce3d0201', 'ec'],
  ['2b6570', 'edwards'],
  ['2b6571', 'edwards'],
  ['2a8648ce380401', 'dsa'],
] as const);

/**
 * By the content of the object identifier, in hex: what it costs to decode a key and to verify one
 * signature with it, in quarters of a millisecond on one core. European PKIs use the curves of RFC
 * 5639, too.
 */
const curveCosts: ReadonlyMap<string | undefined, number> = new Map([
  ['2a8648ce3d030107', 1], // prime256v1
  ['2b81040022', 4], // secp384r1
  ['2b81040023', 8], // secp521r1
  ['2b2403030208010107', 3], // brainpoolP256r1
  ['2b240303020801010b', 4], // brainpoolP384r1
  ['2b240303020801010d', 6], // brainpoolP512r1
]);

/** The first byte of a point that is written by both coordinates (RFC 5480 §2.2). */
const UNCOMPRESSED = 4;

/** An RSA key of 4096 bits takes 550 bytes, and costs as much as one on prime256v1. */
const MAX_CHEAP_KEY = 600;

/**
 * Says why a key is not accepted: it is too weak, or one that could cost much time. Returns `undefined`
 * for one that is. Goes by its DER alone: OpenSSL takes a tenth of a second to decode a key on a curve
 * of its owner's making.
 *
 * @param publicKey the DER of the SubjectPublicKeyInfo
 */
export function explainUnacceptedKey(publicKey: Uint8Array): string | undefined {
  const { type, key, parameters } = partsOf(publicKey);
  switch (type) {
    case 'rsa':
      return explainRsaKey(key);
    case 'ec':
      return curveCosts.has(parameters) ? undefined : 'its key is on a curve that is not accepted';
    case 'edwards':
      return undefined;
    default:
      return `its key is of the type ${type ?? 'unknown'}`;
  }
}

/**
 * Says why the key of an authority is not accepted: for a reason of `explainUnacceptedKey()`, or because
 * it is not in the usual form. An authority could write the key of another one in another form, which
 * OpenSSL reads as well, and responders know an authority by the bytes of its key (RFC 6960 §4.1.1).
 */
export function explainUnacceptedIssuerKey(publicKey: Uint8Array): string | undefined {
  const why = explainUnacceptedKey(publicKey);
  if (why !== undefined) {
    return why;
  }
  const { type, key } = partsOf(publicKey);
  if (key === undefined) {
    return 'its key can not be read';
  }
  if (type === 'rsa') {
    const whole = onlyElement(key);
    const numbers = membersOf(whole, tags.sequence) ?? [];
    return [whole, ...numbers].every(isDer) ? undefined : 'its RSA key is not written as DER demands';
  }
  return type === 'ec' && key[0] !== UNCOMPRESSED ? 'its key is no uncompressed point' : undefined;
}

function partsOf(publicKey: Uint8Array): {
  readonly type: 'rsa' | 'ec' | 'edwards' | 'dsa' | undefined;
  readonly parameters: string | undefined;
  /** Undefined if it is not a whole number of bytes. */
  readonly key: Uint8Array | undefined;
} {
  const [algorithm, bits] = sequenceOf(publicKey) ?? [];
  const [id, parameters] = membersOf(algorithm, tags.sequence) ?? [];
  const isWhole = bits?.tag === tags.bitString && bits.content[0] === 0;
  return {
    type: types.get(identifierOf(id)),
    parameters: identifierOf(parameters),
    key: isWhole ? bits.content.subarray(1) : undefined,
  };
}

/**
 * Returns what it costs to decode an accepted key and to verify a signature with it, in quarters of a
 * millisecond: 1 at least. Goes by its DER alone.
 *
 * @param publicKey the DER of the SubjectPublicKeyInfo
 */
export function verificationCostOf(publicKey: Uint8Array): number {
  return curveCosts.get(partsOf(publicKey).parameters) ?? (publicKey.length <= MAX_CHEAP_KEY ? 1 : 2);
}

/** RFC 8017 §A.1.1. */
function explainRsaKey(key: Uint8Array | undefined): string | undefined {
  const [modulus, exponent, another] = sequenceOf(key) ?? [];
  const size = bitsOf(modulus);
  const exponentSize = bitsOf(exponent);
  if (size === undefined || exponentSize === undefined || another !== undefined) {
    return 'its RSA key can not be read';
  }
  if (size < RSA_BITS.least || size > RSA_BITS.most) {
    return `its RSA key has ${size} bits; accepted are ${RSA_BITS.least} to ${RSA_BITS.most}`;
  }
  return exponentSize > MAX_EXPONENT_BITS ? 'its RSA key has too long an exponent' : undefined;
}

/** Whether the length of an element, and the number in it, take no more bytes than they must. */
function isDer(element: DerElement | undefined): boolean {
  if (element === undefined) {
    return false;
  }
  const { tag, content, whole } = element;
  const forms = [0x80, 0x100].filter((least) => content.length >= least).length;
  const hasZeros = tag === tags.integer && content.length > 1 && content[0] === 0 && (content[1] ?? 0) < 0x80;
  return whole.length === 2 + forms + content.length && !hasZeros;
}

/** The bits of a number without the zeros in front; `undefined` for what is no positive number. */
function bitsOf(element: DerElement | undefined): number | undefined {
  const first = element?.content.findIndex((byte) => byte !== 0) ?? -1;
  if (element?.tag !== tags.integer || first === -1 || (element.content[0] ?? 0) >= 0x80) {
    return undefined;
  }
  const { content } = element;
  return 8 * (content.length - first) - (Math.clz32(content[first] ?? 0) - 24);
}
