import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createMismatch } from '../shared/option-errors.js';
import { createProofSigner, type ProofSigner } from './proof-signer.js';

/** A key of a client for tests: access tokens are bound to it, and it signs DPoP proofs. */
export interface TestKey {
  /** The SHA-256 thumbprint of the public key (RFC 7638), as `cnf.jkt` of a token has it. */
  readonly thumbprint: string;
  /** The algorithm that it signs proofs with. */
  readonly algorithm: TestKeyAlgorithm;
}

/** An algorithm of DPoP proofs. */
export type TestKeyAlgorithm = ProofSigner['algorithm'];

const makers: Readonly<Record<TestKeyAlgorithm, () => KeyObject>> = Object.freeze({
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  PS256: rsa,
  RS256: rsa,
  EdDSA: edwards,
  Ed25519: edwards,
});

function rsa(): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey;
}

function edwards(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

const signers = new WeakMap<TestKey, ProofSigner>();

/** Makes a key in memory. Each is another one. */
export function createTestKey(algorithm: TestKeyAlgorithm = 'ES256'): TestKey {
  if (!Object.hasOwn(makers, algorithm)) {
    throw createMismatch('createKey()', Object.keys(makers).join(', '), 'another text');
  }
  const signer = createProofSigner(makers[algorithm](), algorithm);
  const key: TestKey = Object.freeze({ thumbprint: signer.jkt, algorithm });
  signers.set(key, signer);
  return key;
}

/** Returns what signs with a key of `createTestKey()`. Throws for any other value. */
export function signerOf(key: TestKey): ProofSigner {
  const signer = signers.get(key);
  if (signer === undefined) {
    throw createMismatch('withProof()', 'a key of createKey()', 'another value');
  }
  return signer;
}
