import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

/** The sizes of RSA keys that are used. Larger keys cost more time than a token is worth. */
const LEAST_RSA_BITS = 2_048;
const MOST_RSA_BITS = 8_192;

/** FIPS 186-5 §A.1.1: 2^16 < e < 2^256, and odd. With e = 1 a signature is the message itself. */
const EXPONENT_ABOVE = 2n ** 16n;
const EXPONENT_BELOW = 2n ** 256n;

/** NIST SP 800-89 §5.3.3: a modulus has no factor below 752. */
const smallPrimes = primesBelow(752);

/**
 * The y-coordinates of the points of small order on Ed25519, little-endian, without the sign bit. For
 * such a key one signature fits many messages.
 */
const smallOrderPoints: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]);
/** RFC 8032 §5.1.3 permits only y-coordinates below it: a larger one is another encoding of a smaller one. */
const ED25519_PRIME = 2n ** 255n - 19n;

/**
 * Imports a public key of a JWK that a signature may be verified with. Returns `undefined` for a
 * key that can't be read and for a key that anyone can sign for: a published private key, a weak
 * RSA key, an Ed25519 point of small order.
 */
export function importPublicKey(jwk: JsonWebKey): KeyObject | undefined {
  if (Object.hasOwn(jwk, 'd')) {
    return undefined;
  }
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    return isAccepted(key) ? key : undefined;
  } catch {
    return undefined;
  }
}

function isAccepted(key: KeyObject): boolean {
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return isAcceptedRsa(key);
    case 'ed25519':
      return isOfLargeOrder(key);
    default:
      // OpenSSL refuses a point that is not on the curve; the curves of JWK have no points of small
      // order.
      return key.asymmetricKeyType === 'ec';
  }
}

/**
 * Whether an RSA key has from 2,048 to 8,192 bits, a fit exponent, and a modulus without a small
 * factor.
 */
export function isAcceptedRsa(key: KeyObject): boolean {
  const { modulusLength = 0, publicExponent: exponent = 0n } = key.asymmetricKeyDetails ?? {};
  const isExponentFit = exponent > EXPONENT_ABOVE && exponent < EXPONENT_BELOW && exponent % 2n === 1n;
  if (modulusLength < LEAST_RSA_BITS || modulusLength > MOST_RSA_BITS || !isExponentFit) {
    return false;
  }
  const modulus = Buffer.from(key.export({ format: 'jwk' }).n ?? '', 'base64url');
  const value = BigInt(`0x${modulus.toString('hex')}`);
  return smallPrimes.every((prime) => value % prime !== 0n);
}

function isOfLargeOrder(key: KeyObject): boolean {
  const point = Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');
  point.writeUInt8(point.readUInt8(31) & 0x7f, 31);
  const y = BigInt(`0x${Buffer.from(point).reverse().toString('hex')}`);
  return y < ED25519_PRIME && !smallOrderPoints.has(point.toString('hex'));
}

function primesBelow(limit: number): readonly bigint[] {
  const primes: number[] = [];
  for (let candidate = 2; candidate < limit; candidate += 1) {
    if (primes.every((prime) => candidate % prime !== 0)) {
      primes.push(candidate);
    }
  }
  return primes.map(BigInt);
}
