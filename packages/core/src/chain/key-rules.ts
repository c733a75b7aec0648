import type { DerElement } from '../certificate/der-elements.js';
import { isSameBytes, membersOf, onlyElement, sequenceOf, tags } from '../certificate/der-members.js';
import { PSS_KEY, type PublicKeyParts, readPublicKeyParts, UNCOMPRESSED } from './public-key-parts.js';

/** Bits. NIST SP 800-131A and the profiles of FAPI demand 2048; more than 8192 only cost time. */
const RSA_BITS = { least: 2_048, most: 8_192 } as const;

/** RSA exponents in use have 17 bits; long ones only cost time. */
const MAX_EXPONENT_BITS = 32;

const NULL = Uint8Array.of(0x05, 0x00);

/** An RSA key of 4096 bits takes 550 bytes, and costs as much as one on prime256v1. */
const MAX_CHEAP_KEY = 600;

/**
 * Says why a key is not accepted: it is too weak, or one that could cost much time. Returns `undefined`
 * for an accepted key. Reads the DER alone: OpenSSL takes a tenth of a second to decode a key on a curve
 * that its owner made.
 *
 * @param publicKey the DER of the SubjectPublicKeyInfo
 */
export function explainUnacceptedKey(publicKey: Uint8Array): string | undefined {
  const { type, key, curve } = readPublicKeyParts(publicKey);
  switch (type) {
    case 'rsa':
      return explainRsaKey(key);
    case 'ec':
      return curve === undefined ? 'its key is on a curve that is not accepted' : undefined;
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
  const parts = readPublicKeyParts(publicKey);
  const { type, key, elements } = parts;
  if (key === undefined) {
    return 'its key can not be read';
  }
  if (!elements.every(isDer)) {
    return 'its key is not written as DER demands';
  }
  const whyNot = explainParameters(parts);
  if (whyNot !== undefined) {
    return whyNot;
  }
  if (type === 'rsa') {
    const whole = onlyElement(key);
    const numbers = membersOf(whole, tags.sequence) ?? [];
    return [whole, ...numbers].every(isDer) ? undefined : 'its RSA key is not written as DER demands';
  }
  return type === 'ec' && key[0] !== UNCOMPRESSED ? 'its key is no uncompressed point' : undefined;
}

/** A key for PSS alone may have parameters, which say with which hash and salt it is used (RFC 4055 §3.1). */
function explainParameters({ algorithm, type, parameters }: PublicKeyParts): string | undefined {
  if (type === 'rsa' && algorithm !== PSS_KEY) {
    const isNull = parameters !== undefined && isSameBytes(parameters.whole, NULL);
    return isNull ? undefined : 'the parameters of its RSA key are not NULL (RFC 4055 §1.2)';
  }
  return type === 'edwards' && parameters !== undefined
    ? 'its key has parameters, which RFC 8410 §3 forbids'
    : undefined;
}

/**
 * Returns what it costs to decode an accepted key and to verify a signature with it, in quarters of a
 * millisecond: 1 at least. Goes by its DER alone.
 *
 * @param publicKey the DER of the SubjectPublicKeyInfo
 */
export function verificationCostOf(publicKey: Uint8Array): number {
  return readPublicKeyParts(publicKey).curve?.cost ?? (publicKey.length <= MAX_CHEAP_KEY ? 1 : 2);
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
