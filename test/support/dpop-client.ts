import { hash, type JsonWebKey, type KeyObject, randomUUID, sign } from 'node:crypto';
import { generateP256 } from './key-pairs.js';

/** The origin that the proofs of tests are for, unless they say otherwise. */
export const proofOrigin = 'https://api.example.com';

/** Members that a proof has instead of those of a good one. `undefined` leaves a member out. */
export interface ProofChanges {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  /** The key that signs; the client's own by default. */
  readonly signer?: KeyObject;
}

/** A client that has a key and makes proofs with it, as RFC 9449 §4.2 describes them. */
export interface DpopClient {
  /** The thumbprint of its key, as `cnf.jkt` of a token has it (RFC 7638). */
  readonly jkt: string;
  readonly publicJwk: JsonWebKey;
  readonly privateJwk: JsonWebKey;
  readonly privateKey: KeyObject;
  /** Makes a proof for a GET request of `/` with this token. */
  proof(token: string, changes?: ProofChanges): string;
}

export function dpopClient(): DpopClient {
  const { publicKey, privateKey } = generateP256();
  const publicJwk = publicKey.export({ format: 'jwk' });
  const { crv, kty, x, y } = publicJwk;
  return {
    jkt: hash('sha256', JSON.stringify({ crv, kty, x, y }), 'base64url'),
    publicJwk,
    privateJwk: privateKey.export({ format: 'jwk' }),
    privateKey,
    proof(token, { header = {}, claims = {}, signer = privateKey } = {}) {
      const signed = [
        { typ: 'dpop+jwt', alg: 'ES256', jwk: publicJwk, ...header },
        {
          jti: randomUUID(),
          htm: 'GET',
          htu: `${proofOrigin}/`,
          iat: Math.floor(Date.now() / 1000),
          ath: hash('sha256', token, 'base64url'),
          ...claims,
        },
      ]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
      const signature = sign('sha256', Buffer.from(signed), { key: signer, dsaEncoding: 'ieee-p1363' });
      return `${signed}.${signature.toString('base64url')}`;
    },
  };
}
