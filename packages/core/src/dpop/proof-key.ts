import { constants, hash, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { importPublicKey } from '../authorization-server/public-key.js';
import type { SignatureAlgorithm } from '../authorization-server/signature-algorithms.js';

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
 * algorithm can't use, and for a key that anyone can sign for.
 */
export function importProofKey(algorithm: SignatureAlgorithm, jwk: unknown): ProofKey | undefined {
  if (typeof jwk !== 'object' || jwk === null || secretMembers.some((name) => Object.hasOwn(jwk, name))) {
    return undefined;
  }
  const key = importPublicKey(jwk as JsonWebKey);
  return key !== undefined && fits(algorithm, key) ? { algorithm, key, jkt: thumbprintOf(key) } : undefined;
}

function fits(algorithm: SignatureAlgorithm, key: KeyObject): boolean {
  switch (algorithm) {
    case 'ES256':
      return key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
    case 'PS256':
    case 'RS256':
      return key.asymmetricKeyType === 'rsa';
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
  ES256: (key, data, signature) => verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature),
  PS256: (key, data, signature) =>
    verify('sha256', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature),
  RS256: (key, data, signature) =>
    verify('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING }, signature),
  EdDSA: edwards,
  Ed25519: edwards,
});
