import type { PathCertificate } from './path-certificate.js';

/** Bits. NIST SP 800-131A and the profiles of FAPI demand 2048; more than 8192 only cost time. */
const RSA_BITS = { least: 2_048, most: 8_192 } as const;

/** RSA exponents in use have 17 bits; long ones only cost time. */
const MAX_RSA_EXPONENT = 2n ** 32n;

/** By Node's names. European PKIs use the curves of RFC 5639, too. */
const curves: ReadonlySet<string | undefined> = new Set([
  'prime256v1',
  'secp384r1',
  'secp521r1',
  'brainpoolP256r1',
  'brainpoolP384r1',
  'brainpoolP512r1',
]);

/**
 * Says why a key is not accepted: it is too weak, or one whose signatures could cost much time to
 * verify. Returns `undefined` for one that is.
 */
export function explainKey({ x509 }: PathCertificate): string | undefined {
  const key = x509.publicKey;
  const { modulusLength = 0, publicExponent = 0n, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      if (modulusLength < RSA_BITS.least || modulusLength > RSA_BITS.most) {
        return `its RSA key has ${modulusLength} bits; accepted are ${RSA_BITS.least} to ${RSA_BITS.most}`;
      }
      return publicExponent > MAX_RSA_EXPONENT ? 'its RSA key has too long an exponent' : undefined;
    case 'ec':
      return curves.has(namedCurve) ? undefined : `its key is on the curve ${namedCurve ?? 'unknown'}`;
    case 'ed25519':
    case 'ed448':
      return undefined;
    default:
      return `its key is of the type ${key.asymmetricKeyType ?? 'unknown'}`;
  }
}
