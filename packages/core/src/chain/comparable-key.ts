import { createHash, ECDH } from 'node:crypto';
import { identifierOf, membersOf, sequenceOf, tags } from '../certificate/der-members.js';
import type { PathCertificate } from './path-certificate.js';

/** The contents of the object identifiers of RSA keys, in hex. */
const rsa: ReadonlySet<string | undefined> = new Set(['2a864886f70d010101', '2a864886f70d01010a']);

/** OpenSSL's names of the accepted curves, by the content of the object identifier in hex. */
const curves: ReadonlyMap<string | undefined, string> = new Map([
  ['2a8648ce3d030107', 'prime256v1'],
  ['2b81040022', 'secp384r1'],
  ['2b81040023', 'secp521r1'],
  ['2b2403030208010107', 'brainpoolP256r1'],
  ['2b240303020801010b', 'brainpoolP384r1'],
  ['2b240303020801010d', 'brainpoolP512r1'],
]);

/** The first byte of a point on a curve that is not compressed (SEC 1 §2.3.3). */
const UNCOMPRESSED = 4;

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
  const [algorithm, bits] = sequenceOf(publicKey) ?? [];
  const [id, parameters] = membersOf(algorithm, tags.sequence) ?? [];
  if (bits?.tag !== tags.bitString) {
    return publicKey;
  }
  // The first byte counts the bits of the last one that are not used.
  const key = bits.content.subarray(1);
  if (rsa.has(identifierOf(id))) {
    return key;
  }
  const curve = identifierOf(parameters);
  return Buffer.concat([
    Buffer.from(`${identifierOf(id)} ${curve} `),
    uncompressedPoint(key, curves.get(curve)),
  ]);
}

function uncompressedPoint(point: Uint8Array, curve: string | undefined): Uint8Array {
  if (curve === undefined || point[0] === UNCOMPRESSED) {
    return point;
  }
  try {
    const converted = ECDH.convertKey(point, curve, undefined, undefined, 'uncompressed');
    return Buffer.from(converted as Buffer);
  } catch {
    return point;
  }
}
