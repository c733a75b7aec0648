import { webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** Names the file with the keys that a run of the tests shares. */
export const SHARED_KEYS = 'SHARED_RSA_KEYS';

export const rsa = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};

type Keys = webcrypto.CryptoKeyPair;

/** One of the run's keys, by its number; a new one outside of a run, as in the examples. */
export async function rsaKeys(number: number): Promise<Keys> {
  const file = process.env[SHARED_KEYS];
  if (file === undefined) {
    return (await webcrypto.subtle.generateKey(rsa, true, ['sign', 'verify'])) as Keys;
  }
  const own = JSON.parse(readFileSync(file, 'utf8'))[number] as webcrypto.JsonWebKey;
  const { kty, n, e } = own as { kty: string; n: string; e: string };
  const [privateKey, publicKey] = await Promise.all([
    webcrypto.subtle.importKey('jwk', own, rsa, true, ['sign']),
    webcrypto.subtle.importKey('jwk', { kty, n, e }, rsa, true, ['verify']),
  ]);
  return { privateKey, publicKey };
}
