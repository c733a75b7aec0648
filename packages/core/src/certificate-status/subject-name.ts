import { isSameBytes } from '../certificate/der-members.js';
import { explainTooCostly, measureParsingCost } from '../certificate/parsing-cost.js';
import { comparableName, type PathCertificate } from '../chain/path-certificate.js';

/**
 * Whether a name is the subject of a certificate, in any spelling that counts as equal (RFC 5280 §7.1):
 * an authority may have several certificates for one key, each with a spelling of its own.
 */
export function isSubjectOf(name: Uint8Array, { subject, subjectName }: PathCertificate): boolean {
  if (isSameBytes(name, subject)) {
    return true;
  }
  const cost = measureParsingCost(name);
  if ((cost.why ?? explainTooCostly([cost])) !== undefined) {
    return false;
  }
  try {
    return comparableName(name) === subjectName;
  } catch {
    return false;
  }
}
