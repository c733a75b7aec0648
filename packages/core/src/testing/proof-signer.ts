import {
  constants,
  createPrivateKey,
  createPublicKey,
  hash,
  type KeyObject,
  randomUUID,
  sign,
} from 'node:crypto';
import { importProofKey } from '../dpop/proof-key.js';
import { TellableError } from '../errors.js';
import type { SignatureAlgorithm } from '../jose/signature-algorithms.js';

/** The request that a client makes a proof for. */
export interface ProofTarget {
  readonly method: string;
  /** Its URL, with any query. */
  readonly url: string;
  /** The access token that it carries. */
  readonly token: string;
}

/**
 * Members that a proof has instead of those of a good one, or besides. `undefined` leaves a member
 * out.
 */
export interface ProofChanges {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Makes the proofs of a client, as RFC 9449 §4.2 describes them. */
export interface ProofSigner {
  readonly algorithm: SignatureAlgorithm;
  /** The SHA-256 thumbprint of the key (RFC 7638), as `cnf.jkt` of a token has it. */
  readonly jkt: string;
  /** Makes a proof; each has another `jti`. */
  createProof(target: ProofTarget, changes?: ProofChanges): string;
}

/**
 * Makes the signer of a client. Throws for a key that no proof can have.
 *
 * @param key a private key: of the curve P-256, RSA with 2,048 to 8,192 bits, or Ed25519
 */
export function createProofSigner(
  key: KeyObject,
  algorithm: SignatureAlgorithm = algorithmFor(key),
): ProofSigner {
  const jwk = createPublicKey(copyKey(key)).export({ format: 'jwk' });
  const imported = importProofKey(algorithm, jwk);
  if (imported === undefined) {
    throw new TellableError(`expected a private key for ${algorithm}`);
  }
  return Object.freeze({
    algorithm,
    jkt: imported.jkt,
    createProof({ method, url, token }, { header, claims } = {}) {
      const parts = [
        { typ: 'dpop+jwt', alg: algorithm, jwk, ...header },
        {
          jti: randomUUID(),
          htm: method,
          // RFC 9449 §4.2: without query and fragment.
          htu: url.replace(/[?#].*/s, ''),
          iat: Math.floor(Date.now() / 1000),
          ath: hash('sha256', token, 'base64url'),
          ...claims,
        },
      ];
      const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
      return `${text}.${signers[algorithm](key, Buffer.from(text)).toString('base64url')}`;
    },
  } satisfies ProofSigner);
}

/**
 * Returns a key object of its own for a private key. If `generateKeyPairSync()` made the key, Node may hang
 * while it exports a JWK of it: a garbage collection meanwhile ends the job that made the key, and the job
 * waits for the lock that the export holds. An export as DER takes no lock, and a copy has no job.
 */
function copyKey(key: KeyObject): KeyObject {
  return createPrivateKey({
    key: key.export({ format: 'der', type: 'pkcs8' }),
    format: 'der',
    type: 'pkcs8',
  });
}

function algorithmFor({ asymmetricKeyType }: KeyObject): SignatureAlgorithm {
  switch (asymmetricKeyType) {
    case 'rsa':
      return 'PS256';
    case 'ed25519':
      return 'EdDSA';
    default:
      return 'ES256';
  }
}

type Sign = (key: KeyObject, data: Buffer) => Buffer;

const edwards: Sign = (key, data) => sign(null, data, key);

/** RFC 7518 §3.3 to §3.5, RFC 8037 §3.1. */
const signers: Readonly<Record<SignatureAlgorithm, Sign>> = Object.freeze({
  ES256: (key, data) => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }),
  PS256: (key, data) =>
    sign('sha256', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
  RS256: (key, data) => sign('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING }),
  EdDSA: edwards,
  Ed25519: edwards,
});
