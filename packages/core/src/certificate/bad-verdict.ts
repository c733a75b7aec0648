import { type RefusalCode, RequestRefused } from '../errors.js';
import { createProblemReporter } from '../observe/events.js';
import type { ClientCertificate } from './client-certificate.js';

// One process warning for all rules: the chain is verified for all of them, or for none.
const report = createProblemReporter();

/**
 * Makes the check that goes before a rule by names or roles: a client can issue a certificate with any
 * name or role to itself. Verified: accepts. Not verified, or may be revoked: throws `RequestRefused`.
 * Unknown, as no verdict on the chain comes with the certificate: accepts, and reports that once.
 *
 * @param rule the option or the guard, as the operator knows it
 */
export function createBadVerdictCheck(
  rule: string,
  code: RefusalCode = 'certificate_refused',
): (certificate: ClientCertificate) => void {
  let isReported = false;
  return (certificate) => {
    if (certificate.verified === true && !certificate.mayBeRevoked) {
      return;
    }
    if (certificate.verified !== undefined || certificate.mayBeRevoked) {
      throw new RequestRefused(code, { detail: explainUnverified(certificate) });
    }
    if (!isReported) {
      isReported = true;
      report('chain_verdict_missing', `${rule} ${verdictMissing}`);
    }
  };
}

const verdictMissing =
  'goes by names or roles in the client certificate, and no verdict on its chain comes with it: a client ' +
  'can make itself a certificate with any name or role, unless the proxy refuses chains that it can not ' +
  "verify; set the preset's option verifyHeader to the header of the proxy's verdict, and " +
  'certificatePolicy: { requireVerified: true }';

/** Returns why a certificate does not count as verified, in words for operators. */
export function explainUnverified({ verified, verifyError, mayBeRevoked }: ClientCertificate): string {
  if (verifyError !== undefined) {
    return `it is not verified: ${verifyError}`;
  }
  if (verified !== false && mayBeRevoked) {
    return 'it may be revoked, as its source says';
  }
  return verified === undefined
    ? 'it is not verified: no verdict on its chain comes with it'
    : 'it is not verified';
}
