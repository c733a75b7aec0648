import { isSameBytes, membersOf, onlyElement, tags } from '../certificate/der-members.js';
import { extensionOf, pathExtensionIds, readExtendedKeyUsage } from '../chain/extension-values.js';
import { type PathCertificate, readPathCertificate } from '../chain/path-certificate.js';
import { keyHashOf } from './ocsp-request.js';
import { explainBadSignature } from './signature-check.js';
import { splitSigned } from './signed-structure.js';
import type { StatusReason } from './status-reason.js';
import { isSubjectOf } from './subject-name.js';

/** What an answer says of its signer (RFC 6960 §4.2.1). */
export type ResponderId =
  /** The DER of its name. */
  | { readonly name: Uint8Array; readonly keyHash?: undefined }
  /** The SHA-1 of its key. */
  | { readonly keyHash: Uint8Array; readonly name?: undefined };

/** Certificates next to an answer. One is needed. */
const MAX_CERTIFICATES = 8;

const CERTIFICATES = 0xa0;

/** 1.3.6.1.5.5.7.3.9, id-kp-OCSPSigning. */
const OCSP_SIGNING = '2b06010505070309';

/**
 * Finds the certificate of a responder that the issuer itself authorized (RFC 6960 §4.2.2.2): signed by
 * the key of the issuer, for signing OCSP answers, valid now. Resolves with why there is none. The
 * responder's own status is not looked up, with or without id-pkix-ocsp-nocheck: the responder
 * itself would have to be asked. An authority makes these certificates short-lived for this reason.
 *
 * @param rest what stands behind the signature of the answer
 */
export async function findDelegatedResponder(
  rest: Uint8Array,
  id: ResponderId,
  issuer: PathCertificate,
  now: number,
  tolerance: number,
): Promise<PathCertificate | StatusReason> {
  const tagged = onlyElement(rest);
  const list = tagged?.tag === CERTIFICATES ? onlyElement(tagged.content) : undefined;
  const given = membersOf(list, tags.sequence) ?? [];
  if (given.length > MAX_CERTIFICATES) {
    return {
      code: 'unreadable',
      why: `more than ${MAX_CERTIFICATES} certificates stand next to its answer`,
    };
  }
  let why = 'the signer of its answer is not its issuer, and the certificate of the signer is missing';
  for (const { whole } of given) {
    const certificate = readPathCertificate(Buffer.from(whole));
    if (typeof certificate === 'string' || !isNamed(certificate, id)) {
      continue;
    }
    const fault = await explainUnauthorized(certificate, issuer, now, tolerance);
    if (fault === undefined) {
      return certificate;
    }
    why = `the certificate of the signer of its answer ${fault}`;
  }
  return { code: 'wrong_signer', why };
}

/** Whether an answer says that this certificate is of its signer. */
export function isNamed(certificate: PathCertificate, id: ResponderId): boolean {
  return id.name === undefined
    ? isSameBytes(id.keyHash, keyHashOf(certificate))
    : isSubjectOf(id.name, certificate);
}

async function explainUnauthorized(
  certificate: PathCertificate,
  issuer: PathCertificate,
  now: number,
  tolerance: number,
): Promise<string | undefined> {
  const parts = splitSigned(certificate.der);
  if (parts === undefined || certificate.issuerName !== issuer.subjectName) {
    return 'is not signed by the issuer';
  }
  const { algorithm, signed, signature } = parts;
  if (!isSameBytes(algorithm, certificate.signatureAlgorithm)) {
    return 'names two signature algorithms';
  }
  if ((await explainBadSignature(algorithm, signed, signature, issuer)) !== undefined) {
    return 'is not signed by the issuer';
  }
  const purposes = extensionOf(certificate, pathExtensionIds.extendedKeyUsage, readExtendedKeyUsage);
  if (typeof purposes === 'string' || !purposes.has(OCSP_SIGNING)) {
    return 'lacks the extended key usage OCSPSigning';
  }
  const isValid = certificate.notBefore - tolerance <= now && now <= certificate.notAfter + tolerance;
  return isValid ? undefined : 'is not valid now';
}
