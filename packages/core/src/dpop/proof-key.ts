import { constants, hash, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import type { Reason } from '../errors.js';
import { importPublicKey } from '../jose/public-key.js';
import type { SignatureAlgorithm } from '../jose/signature-algorithms.js';
import { readOwnMember } from '../shared/own-member.js';
import { describeShortClaim } from '../token/token-rejection.js';

/** The public key that a proof names, and the algorithm that it is used with. */
export interface ProofKey {
  readonly algorithm: SignatureAlgorithm;
  readonly key: KeyObject;
  /** The SHA-256 thumbprint of the key (RFC 7638), as `cnf.jkt` of a token has it. */
  readonly jkt: string;
}

/** The members of a JWK that make it a private or a symmetric key (RFC 7518 §6). */
const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const;

/** The members that a thumbprint is made of, in the order of RFC 7638 §3.2. */
const thumbprintMembers = Object.freeze({
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
});

/**
 * Imports the key of a proof. Returns `undefined` for what is no public key, for a key that the
 * algorithm can't use, for a key that anyone can sign for, and for one that costs too much time. A key of
 * another type or size is refused by its members: a point of P-521 alone takes OpenSSL 1.3 ms to read.
 */
export function importProofKey(algorithm: SignatureAlgorithm, jwk: unknown): ProofKey | undefined {
  if (findFault(algorithm, jwk) !== undefined) {
    return undefined;
  }
  const key = importPublicKey(jwk as JsonWebKey);
  return key !== undefined && fits(algorithm, key) ? { algorithm, key, jkt: thumbprintOf(key) } : undefined;
}

/** The members of a JWK for an algorithm, all but the numbers of the key (RFC 7518 §6, RFC 8037 §2). */
const typeMembers: Readonly<Record<SignatureAlgorithm, readonly (readonly [name: string, value: string])[]>> =
  Object.freeze({
    ES256: [
      ['kty', 'EC'],
      ['crv', 'P-256'],
    ],
    PS256: [['kty', 'RSA']],
    RS256: [['kty', 'RSA']],
    EdDSA: [
      ['kty', 'OKP'],
      ['crv', 'Ed25519'],
    ],
    Ed25519: [
      ['kty', 'OKP'],
      ['crv', 'Ed25519'],
    ],
  });

/** The bytes that a number of a JWK may have. */
interface NumberSize {
  readonly least: number;
  readonly most: number;
}

const size32: NumberSize = Object.freeze({ least: 32, most: 32 });
/** From 2,048 to 8,192 bits. Some clients write a zero in front (RFC 7518 §6.3.1.1). */
const modulusSize: NumberSize = Object.freeze({ least: 256, most: 1_025 });
/** Below `EXPONENT_BELOW`, with zeros in front. */
const exponentSize: NumberSize = Object.freeze({ least: 1, most: 16 });

/** The numbers of each type of key, the costly one first (RFC 7518 §6.2.1, §6.3.1, RFC 8037 §2). */
const numberMembers: Readonly<Record<string, readonly (readonly [name: string, size: NumberSize])[]>> =
  Object.freeze({
    EC: [
      ['x', size32],
      ['y', size32],
    ],
    OKP: [['x', size32]],
    RSA: [
      ['n', modulusSize],
      ['e', exponentSize],
    ],
  });

type Fault = Reason<'private_key' | 'unfit_key'>;

/** Why `importProofKey` does not import it. Never quotes what may be a part of a private key. */
export function explainUnfitKey(algorithm: SignatureAlgorithm, jwk: unknown): Fault {
  return (
    findFault(algorithm, jwk) ??
    unfit(`its jwk can not be used for ${algorithm}: a member is wrong, or anyone can sign for the key`)
  );
}

/** Finds what is wrong with a JWK without importing it: its type, then its purpose, then its numbers. */
function findFault(algorithm: SignatureAlgorithm, jwk: unknown): Fault | undefined {
  if (jwk === undefined) {
    return unfit('its header has no jwk');
  }
  if (typeof jwk !== 'object' || jwk === null) {
    return unfit(`its jwk is ${jwk === null ? 'null' : `a ${typeof jwk}`}, not an object`);
  }
  const secret = secretMembers.find((name) => Object.hasOwn(jwk, name));
  if (secret !== undefined) {
    const kind = secret === 'k' ? 'symmetric' : 'private';
    return { code: 'private_key', why: `its jwk has the member ${secret} of a ${kind} key` };
  }
  const members = jwk as Readonly<Record<string, unknown>>;
  for (const [name, expected] of typeMembers[algorithm]) {
    const value = readOwnMember(members, name);
    if (value !== expected) {
      return unfit(
        `${name} of its jwk is ${describeShortClaim(value)}; expected ${expected} for ${algorithm}`,
      );
    }
  }
  return findOtherPurpose(algorithm, members) ?? findMalformedNumber(members);
}

/** The names of one algorithm: RFC 9864 §2.2 replaces `EdDSA` by `Ed25519`. */
const edwardsNames: readonly unknown[] = ['EdDSA', 'Ed25519'];

/** A JWK may say what its key is for (RFC 7517 §4.2 to §4.4). A null says nothing. */
function findOtherPurpose(
  algorithm: SignatureAlgorithm,
  jwk: Readonly<Record<string, unknown>>,
): Fault | undefined {
  const use = readOwnMember(jwk, 'use') ?? undefined;
  if (use !== undefined && use !== 'sig') {
    return unfit(`use of its jwk is ${describeShortClaim(use)}; expected sig`);
  }
  const operations = readOwnMember(jwk, 'key_ops') ?? undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return unfit(`key_ops of its jwk is ${describeShortClaim(operations)}; expected a list with verify`);
  }
  const alg = readOwnMember(jwk, 'alg') ?? undefined;
  const isSame = alg === algorithm || (edwardsNames.includes(alg) && edwardsNames.includes(algorithm));
  if (alg !== undefined && !isSame) {
    return unfit(`alg of its jwk is ${describeShortClaim(alg)}; that of its header is ${algorithm}`);
  }
  return undefined;
}

const base64url = /^[A-Za-z0-9_-]+$/;

/** Node reads plain base64 too, skips blanks, and stops at `=`. RFC 7515 §2 permits none of these. */
function findMalformedNumber(jwk: Readonly<Record<string, unknown>>): Fault | undefined {
  for (const [name, { least, most }] of numberMembers[readOwnMember(jwk, 'kty') as string] ?? []) {
    const value = readOwnMember(jwk, name);
    if (typeof value !== 'string') {
      return unfit(`${name} of its jwk is ${value === undefined ? 'missing' : 'no text'}`);
    }
    const bytes = Math.floor((value.length * 3) / 4);
    if (bytes < least || bytes > most) {
      const expected = least === most ? `${least}` : `${least} to ${most}`;
      return unfit(
        `${name} of its jwk has ${value.length} characters; expected ${expected} bytes in base64url`,
      );
    }
    if (!base64url.test(value) || value.length % 4 === 1) {
      return unfit(`${name} of its jwk is no base64url without padding (RFC 7515 §2)`);
    }
  }
  return undefined;
}

function unfit(why: string): Reason<'unfit_key'> {
  return { code: 'unfit_key', why };
}

/**
 * RSA exponents in use have 17 bits. A client chooses its key: with 63 bits, a signature of a key of
 * 8,192 bits takes 1.4 ms to verify, with 17 bits 0.3 ms.
 */
const EXPONENT_BELOW = 2 ** 32;

function fits(algorithm: SignatureAlgorithm, key: KeyObject): boolean {
  switch (algorithm) {
    case 'ES256':
      return key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
    case 'PS256':
    case 'RS256':
      return (
        key.asymmetricKeyType === 'rsa' && Number(key.asymmetricKeyDetails?.publicExponent) < EXPONENT_BELOW
      );
    case 'EdDSA':
    case 'Ed25519':
      return key.asymmetricKeyType === 'ed25519';
  }
}

/** Of the key as it was read: the text of a JWK can write the same number in several ways. */
function thumbprintOf(key: KeyObject): string {
  const jwk = key.export({ format: 'jwk' }) as JsonWebKey & { kty: keyof typeof thumbprintMembers };
  const members = thumbprintMembers[jwk.kty].map((name) => [name, jwk[name]]);
  return hash('sha256', JSON.stringify(Object.fromEntries(members)), 'base64url');
}

/** Returns whether the key made this signature of the text (RFC 7515 §5.2). Never throws. */
export function isSignedBy({ algorithm, key }: ProofKey, text: string, signature: Buffer): boolean {
  try {
    return verifiers[algorithm](key, Buffer.from(text, 'latin1'), signature) === true;
  } catch {
    return false;
  }
}

type Verifier = (key: KeyObject, data: Buffer, signature: Buffer) => boolean;

const edwards: Verifier = (key, data, signature) => verify(null, data, key, signature);

/** RFC 7518 §3.3 to §3.5, RFC 8037 §3.1. */
const verifiers: Readonly<Record<SignatureAlgorithm, Verifier>> = Object.freeze({
  ES256: (key, data, signature) => verify('sha256', data, key, derOf(signature)),
  PS256: (key, data, signature) =>
    verify('sha256', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature),
  RS256: (key, data, signature) =>
    verify('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING }, signature),
  EdDSA: edwards,
  Ed25519: edwards,
});

/** Bytes of each of the two numbers that an ES256 signature consists of (RFC 7518 §3.4). */
const NUMBER_LENGTH = 32;

/** Bytes. The sequence and each number have a head of 2, and each number may need a zero in front. */
const MAX_DER_LENGTH = 2 + 2 * (2 + 1 + NUMBER_LENGTH);

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const SIGN_BIT = 0x80;

/**
 * Returns an ES256 signature in the form that OpenSSL reads (RFC 3279 §2.2.3). Throws `RangeError` for
 * one of another length. Node can convert it (`dsaEncoding: 'ieee-p1363'`), but Node 24 takes half as
 * long for that as for the verification.
 */
function derOf(signature: Buffer): Buffer {
  if (signature.length !== 2 * NUMBER_LENGTH) {
    throw new RangeError('an ES256 signature has 64 bytes');
  }
  const der = Buffer.allocUnsafe(MAX_DER_LENGTH);
  const middle = writeDerNumber(der, 2, signature, 0);
  const end = writeDerNumber(der, middle, signature, NUMBER_LENGTH);
  der[0] = SEQUENCE;
  der[1] = end - 2;
  return der.subarray(0, end);
}

/**
 * Writes a number of a signature in as few bytes as it has (X.690 §8.3.2).
 *
 * @param at where to write
 * @param start where the number begins in the signature
 * @returns where the written number ends
 */
function writeDerNumber(der: Buffer, at: number, signature: Buffer, start: number): number {
  const stop = start + NUMBER_LENGTH;
  let from = start;
  while (signature[from] === 0 && from < stop - 1) {
    from += 1;
  }
  let end = at + 2;
  // A first bit of 1 would make it a negative number.
  if (((signature[from] as number) & SIGN_BIT) !== 0) {
    der[end] = 0;
    end += 1;
  }
  for (; from < stop; from += 1) {
    der[end] = signature[from] as number;
    end += 1;
  }
  der[at] = INTEGER;
  der[at + 1] = end - at - 2;
  return end;
}
