import { type ChainReason, isAuthorityVariant } from './chain-reason.js';
import { comparableKey } from './comparable-key.js';
import { explainUnacceptedIssuerKey, explainUnacceptedKey, verificationCostOf } from './key-rules.js';
import {
  ELEMENTS_PER_COST,
  nameElements,
  type PathCertificate,
  readPathCertificate,
} from './path-certificate.js';
import { explainClientKeyUsage, explainInvalidPath, ofAuthority } from './path-validation.js';

/** The certificates of a path, its trust anchor with them. Those in use have three or four. */
const MAX_LENGTH = 10;

/**
 * What the signatures that are verified for one client certificate, and the names that are read and
 * compared for it, may cost together, in quarters of a millisecond: 50 signatures of the cheap keys in use,
 * 12 of keys on secp384r1, 6 on secp521r1. A client sends the intermediates, and could send many that fit
 * each other, or ones with large names.
 */
const MAX_COST = 50;

/** Certificates by the comparable text of their subject's name. */
export type CertificatesBySubject = ReadonlyMap<string, readonly PathCertificate[]>;

/** What a path may be built of. */
export interface PathParts {
  readonly anchors: CertificatesBySubject;
  /** Configured ones before those that the client sent. */
  readonly intermediates: readonly CertificatesBySubject[];
  /** Thumbprints of certificates that must not be on the path. Default: none. */
  readonly avoided?: ReadonlySet<string>;
  /** What it has cost to read the names of the certificates that came with the client's. Default: nothing. */
  readonly spent?: number;
}

/**
 * Reads the certificates that came with a client's, within what a search may cost, and says what they and
 * the client's own cost. Returns the reason if their names cost too much. Needs `x509.load()`.
 *
 * @param read reads a certificate, or gives one that was read before
 */
export function readSent(
  leaf: Uint8Array,
  intermediates: readonly Uint8Array[],
  read: (der: Uint8Array) => PathCertificate | string = readPathCertificate,
): { readonly sent: readonly PathCertificate[]; readonly spent: number } | ChainReason {
  const spent = [leaf, ...intermediates].reduce((sum, der) => sum + nameElements(der), 0) / ELEMENTS_PER_COST;
  if (spent > MAX_COST) {
    return {
      code: 'too_much_work',
      why: 'the names of the certificates that came with it cost too much to read',
    };
  }
  return { sent: intermediates.map((der) => read(der)).filter((one) => typeof one !== 'string'), spent };
}

/** A valid path from the client's certificate to a trust anchor, or why there is none. */
export type PathOutcome = { readonly path: readonly PathCertificate[] } | ChainReason;

/**
 * Finds a valid path: by the names of issuers, then by signatures, depth first (RFC 4158). Each path
 * that reaches a trust anchor is validated; the first valid one counts. The work is bounded,
 * whatever the certificates are. Needs `x509.load()`.
 *
 * @param now milliseconds since the epoch
 * @param explainKeyUsage says why the key usage of the first certificate does not allow what the path is
 * needed for. The extended key usage of every certificate, if it has one, must allow client authentication
 */
export function buildPath(
  leaf: PathCertificate,
  parts: PathParts,
  now: number,
  explainKeyUsage: (leaf: PathCertificate) => ChainReason | undefined = explainClientKeyUsage,
): PathOutcome {
  const search: Search = {
    parts,
    now,
    explainKeyUsage,
    costLeft: MAX_COST - (parts.spent ?? 0),
    reason: { code: 'no_path', why: 'no path leads to one of the authorities' },
  };
  const why = explainUnacceptedKey(leaf.publicKey);
  if (why !== undefined) {
    return { code: 'weak_key', why };
  }
  const path = extend([leaf], search);
  return path === undefined ? search.reason : { path };
}

interface Search {
  readonly parts: PathParts;
  readonly now: number;
  readonly explainKeyUsage: (leaf: PathCertificate) => ChainReason | undefined;
  costLeft: number;
  /** Of the path that was refused last, as `noteReason()` keeps it. */
  reason: ChainReason;
}

/**
 * Notes why a path failed. An authority may have several certificates: a fault of one of them (its dates,
 * a weak key) does not replace a reason that was noted before.
 */
function noteReason(reason: ChainReason, search: Search): void {
  if (search.reason.code === 'no_path' || !isAuthorityVariant(reason.code)) {
    search.reason = reason;
  }
}

function extend(path: readonly PathCertificate[], search: Search): readonly PathCertificate[] | undefined {
  const last = path.at(-1);
  if (last === undefined || path.length >= MAX_LENGTH) {
    return undefined;
  }
  const { anchors, intermediates, avoided } = search.parts;
  const isPermitted = ({ thumbprint }: PathCertificate) => avoided?.has(thumbprint) !== true;
  const authorities = (anchors.get(last.issuerName) ?? []).filter(isPermitted);
  for (const anchor of validFirst(authorities, search.now)) {
    if (isSignedBy(last, anchor, search)) {
      const whole = [...path, anchor];
      const reason = explainInvalidPath(whole, search.now, search.explainKeyUsage, (cost) =>
        spend(cost, search),
      );
      if (reason === undefined) {
        return whole;
      }
      noteReason(reason, search);
    }
  }
  const issuers = intermediates.flatMap((known) => known.get(last.issuerName) ?? []).filter(isPermitted);
  for (const issuer of validFirst(issuers, search.now)) {
    if (!isRepeated(issuer, path) && isSignedBy(last, issuer, search)) {
      const found = extend([...path, issuer], search);
      if (found !== undefined) {
        return found;
      }
    }
  }
  return undefined;
}

/** Old certificates of an authority must not use up what a search may cost. */
function validFirst(issuers: readonly PathCertificate[], now: number): readonly PathCertificate[] {
  const isValid = ({ notBefore, notAfter }: PathCertificate) => notBefore <= now && now < notAfter + 1_000;
  return [...issuers.filter(isValid), ...issuers.filter((issuer) => !isValid(issuer))];
}

/** Whether a path already has this name with this key: to go on from it leads nowhere new. */
function isRepeated(candidate: PathCertificate, path: readonly PathCertificate[]): boolean {
  return path.some(
    (earlier) =>
      earlier.subjectName === candidate.subjectName &&
      explainUnacceptedIssuerKey(candidate.publicKey) === undefined &&
      comparableKey(earlier) === comparableKey(candidate),
  );
}

/** Keys that are not accepted are not computed with: some would take long. */
function isSignedBy(certificate: PathCertificate, issuer: PathCertificate, search: Search): boolean {
  const why = explainUnacceptedIssuerKey(issuer.publicKey);
  const cost = why === undefined ? verificationCostOf(issuer.publicKey) : 1;
  if (!spend(cost, search)) {
    // Name constraints may have been too much work before.
    if (search.reason.code !== 'too_much_work') {
      search.reason = {
        code: 'too_much_work',
        why: 'more than 50 signatures, or fewer of costly keys, would have to be verified to find its path',
      };
    }
    return false;
  }
  if (why !== undefined) {
    noteReason(ofAuthority(issuer, { code: 'weak_key', why }), search);
    return false;
  }
  try {
    return certificate.x509.verify(issuer.x509.publicKey);
  } catch {
    return false;
  }
}

/** Says whether so much is left. If not, nothing more is tried, also nothing that costs less. */
function spend(cost: number, search: Search): boolean {
  const isEnough = cost <= search.costLeft;
  search.costLeft = isEnough ? search.costLeft - cost : 0;
  return isEnough;
}

/** Groups certificates by their subjects, each once. */
export function groupBySubject(certificates: readonly PathCertificate[]): CertificatesBySubject {
  const lists = new Map<string, PathCertificate[]>();
  for (const certificate of certificates) {
    const list = lists.get(certificate.subjectName) ?? [];
    if (!list.some(({ thumbprint }) => thumbprint === certificate.thumbprint)) {
      lists.set(certificate.subjectName, [...list, certificate]);
    }
  }
  return lists;
}
