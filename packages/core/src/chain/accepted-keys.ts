import { sequenceOf } from '../certificate/der-members.js';
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

/** By the content of their object identifiers, in hex. */
const signatureAlgorithms: ReadonlySet<string> = new Set([
  '2a864886f70d01010b', // sha256WithRSAEncryption
  '2a864886f70d01010c', // sha384WithRSAEncryption
  '2a864886f70d01010d', // sha512WithRSAEncryption
  '2a8648ce3d040302', // ecdsa-with-SHA256
  '2a8648ce3d040303', // ecdsa-with-SHA384
  '2a8648ce3d040304', // ecdsa-with-SHA512
  '2b6570', // Ed25519
  '2b6571', // Ed448
]);

const rsaPss = '2a864886f70d01010a';

/** SHA-256, SHA-384 and SHA-512, by the content of their object identifiers in hex. */
const hashes: ReadonlySet<string> = new Set([
  '608648016503040201',
  '608648016503040202',
  '608648016503040203',
]);

/** Whether a signature's algorithm is accepted. Those with MD5 or SHA-1 are not. */
export function isSignatureAccepted(algorithm: Uint8Array): boolean {
  const [id, parameters] = sequenceOf(algorithm) ?? [];
  const name = hexOf(id?.content);
  return name === rsaPss ? isPssAccepted(parameters?.whole) : signatureAlgorithms.has(name);
}

/** The default of a missing hash is SHA-1 (RFC 4055 §3.1). */
function isPssAccepted(parameters: Uint8Array | undefined): boolean {
  const members = parameters && sequenceOf(parameters);
  const hash = members?.find(({ tag }) => tag === 0xa0);
  const mask = members?.find(({ tag }) => tag === 0xa1);
  const maskHash = mask && sequenceOf(mask.content)?.[1];
  return hash !== undefined && isHash(hash.content) && maskHash !== undefined && isHash(maskHash.whole);
}

function isHash(algorithm: Uint8Array): boolean {
  return hashes.has(hexOf(sequenceOf(algorithm)?.[0]?.content));
}

function hexOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex');
}
