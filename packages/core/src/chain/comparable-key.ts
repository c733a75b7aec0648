import { createHash, ECDH } from 'node:crypto';
import type { PathCertificate } from './path-certificate.js';
import { readPublicKeyParts, UNCOMPRESSED } from './public-key-parts.js';

const known = new WeakMap<Uint8Array, string>();

/**
 * Returns the public key of a certificate as text that is equal for equal keys: an authority that certifies
 * the key of another one chooses how it is written. OpenSSL accepts RSA keys with other parameters, and
 * points on a curve that are compressed.
 */
export function comparableKey({ publicKey }: Pick<PathCertificate, 'publicKey'>): string {
  const before = known.get(publicKey);
  if (before !== undefined) {
    return before;
  }
  const text = createHash('sha256').update(essenceOf(publicKey)).digest('base64url');
  known.set(publicKey, text);
  return text;
}

function essenceOf(publicKey: Uint8Array): Uint8Array {
  const { algorithm, type, curve, key } = readPublicKeyParts(publicKey);
  if (key === undefined) {
    return publicKey;
  }
  if (type === 'rsa') {
    return key;
  }
  if (type === 'edwards') {
    return Buffer.concat([Buffer.from(`${algorithm} `), key]);
  }
  return curve === undefined
    ? publicKey
    : Buffer.concat([Buffer.from(`${curve.name} `), uncompressedPoint(key, curve.name)]);
}

function uncompressedPoint(point: Uint8Array, curve: string): Uint8Array {
  if (point[0] === UNCOMPRESSED) {
    return point;
  }
  try {
    const converted = ECDH.convertKey(point, curve, undefined, undefined, 'uncompressed');
    return Buffer.from(converted as Buffer);
  } catch {
    return point;
  }
}
