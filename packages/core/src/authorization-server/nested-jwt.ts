import type { JsonWebKey, KeyObject } from 'node:crypto';
import type { DecryptOptions, errors as JoseErrors } from 'jose';
import { isAcceptedRsa } from '../jose/public-key.js';
import type { OptionRule } from '../shared/option-rules.js';
import { jose } from './lazy-modules.js';
import { readPrivateKey } from './private-key.js';
import { toJwtRejected } from './verified-jwt.js';

/** A private key that encrypted JWTs are made for: PEM without a passphrase, or a JWK. */
export type DecryptionKey = string | Buffer | JsonWebKey;

/** One key, or several while one replaces the other. */
export const decryptionKeys: OptionRule<readonly KeyObject[], DecryptionKey | readonly DecryptionKey[]> = {
  accepted:
    'a private key of RSA with 2048 to 8192 bits, of P-256, P-384, P-521 or X25519, in PEM without ' +
    'a passphrase or as a JWK, or a list of them',
  secret: true,
  read: (given) => {
    const keys = (Array.isArray(given) ? given : [given]).map(readPrivateKey);
    return keys.length > 0 && keys.every(isSuitable) ? Object.freeze(keys as KeyObject[]) : undefined;
  },
};

/** The curves that ECDH-ES is defined for (RFC 7518 §6.2.1.1), by OpenSSL's names. */
const curves: readonly unknown[] = ['prime256v1', 'secp384r1', 'secp521r1'];

/** RFC 7518 §4.3: an RSA key has 2,048 bits or more. */
function isSuitable(key: KeyObject | undefined): boolean {
  switch (key?.asymmetricKeyType) {
    case 'rsa':
      return isAcceptedRsa(key);
    case 'ec':
      return curves.includes(key.asymmetricKeyDetails?.namedCurve);
    default:
      return key?.asymmetricKeyType === 'x25519';
  }
}

/**
 * RSA takes an encrypted key without its leading zero bytes for the same number, so that one token
 * would have two texts (RFC 8017 §7.1.2: its length is that of the modulus).
 */
function requireWholeKey(jwt: string, key: KeyObject, errors: typeof JoseErrors): void {
  const { modulusLength } = key.asymmetricKeyDetails ?? {};
  const encryptedKey = jwt.split('.')[1] ?? '';
  const length = Buffer.from(encryptedKey, 'base64url').length;
  if (modulusLength !== undefined && length !== Math.ceil(modulusLength / 8)) {
    throw new errors.JWEDecryptionFailed();
  }
}

// No RSA1_5 (RFC 8725 §3.2), no password, no shared key. No compression (RFC 8725 §3.6): any client can
// encrypt to the public key, and a short compressed token could expand to a huge one.
const rules: DecryptOptions = {
  keyManagementAlgorithms: ['RSA-OAEP', 'RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW'],
  contentEncryptionAlgorithms: ['A128GCM', 'A256GCM', 'A128CBC-HS256', 'A256CBC-HS512'],
  maxDecompressedLength: 0,
};

/**
 * Decrypts a JWT to the signed one inside it (RFC 7519 §11.2), and returns it as it is without keys.
 * Where keys are configured encryption was agreed, and what is not encrypted to one of them is refused
 * (RFC 9068 §4, RFC 9701 §6). Rejects with `JwtRejected`.
 */
export async function decryptJwt(jwt: string, keys: readonly KeyObject[] | undefined): Promise<string> {
  if (keys === undefined) {
    return jwt;
  }
  const { compactDecrypt, errors } = await jose.load();
  let failure: unknown = new errors.JWEInvalid('no key');
  for (const key of keys) {
    try {
      requireWholeKey(jwt, key, errors);
      const { plaintext } = await compactDecrypt(jwt, key, rules);
      return Buffer.from(plaintext).toString();
    } catch (error) {
      failure = error;
    }
  }
  // A key of another kind than the header asks for is a fault of the token, not of this API.
  throw toJwtRejected(
    failure instanceof errors.JOSEError ? failure : new errors.JWEDecryptionFailed(),
    errors,
  );
}
