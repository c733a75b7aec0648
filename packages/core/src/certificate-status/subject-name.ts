import { isSameBytes } from '../certificate/der-members.js';
import { x509Library } from '../certificate/lazy-x509.js';
import { explainTooCostly, measureParsingCost } from '../certificate/parsing-cost.js';
import { comparableName, type PathCertificate } from '../chain/path-certificate.js';

/**
 * Whether a name is the subject of a certificate, in any spelling that counts as equal (RFC 5280 §7.1):
 * an authority may have several certificates for one key, each with a spelling of its own.
 */
export function isSubjectOf(name: Uint8Array, { subject, subjectName }: PathCertificate): boolean {
  return isSameBytes(name, subject) || readComparableName(name) === subjectName;
}

/**
 * Returns a name as text that is equal for all spellings that count as equal; `undefined` for a name that
 * no certificate of a path has, as it can't be read or costs too much to read. Needs `x509.load()`.
 */
export function readComparableName(name: Uint8Array): string | undefined {
  // Not within `try`: a library that is not loaded is no fault of the name.
  x509Library();
  const cost = measureParsingCost(name);
  if ((cost.why ?? explainTooCostly([cost])) !== undefined) {
    return undefined;
  }
  try {
    return comparableName(name);
  } catch {
    return undefined;
  }
}
