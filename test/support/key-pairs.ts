import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/**
 * Makes a key pair of P-256, which can be exported as a JWK at once. A key of `generateKeyPairSync()` can't: a garbage
 * collection during the export ends the job that made the key, and Node hangs. That concerns about one key in 10,000.
 */
export function generateP256(): KeyPair {
  const { privateKey: key } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { format: 'der', type: 'spki' },
    privateKeyEncoding: { format: 'der', type: 'pkcs8' },
  });
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  return { publicKey: createPublicKey(privateKey), privateKey };
}
