import { sequenceOf } from '../certificate/der-members.js';
import { type ChainReason, type ChainReasonCode, codesOfAuthority } from './chain-reason.js';
import {
  extensionOf,
  pathExtensionIds,
  readBasicConstraints,
  readExtendedKeyUsage,
  readKeyUsage,
  revocationExtensionIds,
} from './extension-values.js';
import {
  directoryElements,
  type GeneralName,
  mailAddressesIn,
  readAlternativeNames,
  readDirectoryName,
} from './general-names.js';
import {
  constraintElements,
  countComparisons,
  explainViolation,
  type NameConstraints,
  readNameConstraints,
} from './name-constraints.js';
import { ELEMENTS_PER_COST, isSelfIssued, type PathCertificate } from './path-certificate.js';
import { findSignatureMethod } from './signature-methods.js';
import { ValidPolicies } from './valid-policies.js';

/** The extensions that may be critical, for each of them is processed. */
const processed: ReadonlySet<string> = new Set([
  ...Object.values(pathExtensionIds),
  ...Object.values(revocationExtensionIds),
]);

/** id-kp-clientAuth and anyExtendedKeyUsage (RFC 5280 §4.2.1.12), in hex. */
const clientUsages = ['2b06010505070302', '551d2500'];

/** Comparisons of names with name constraints at the cost of a quarter of a millisecond. */
const COMPARISONS_PER_COST = 2_000;

/** Policies and policy mappings that are gone through at the cost of a quarter of a millisecond. */
const POLICIES_PER_COST = 50;

/** Takes a cost from what is left, in quarters of a millisecond. Says whether there was enough. */
type Spend = (cost: number) => boolean;

const unlimited: Spend = () => true;

/**
 * Validates a path whose signatures are verified and whose names chain (RFC 5280 §6.1). Says why it
 * is refused, or returns `undefined` if it is valid. Needs `x509.load()`.
 *
 * @param path from the client's certificate, or that of a signer, to the trust anchor
 * @param now milliseconds since the epoch
 * @param explainKeyUsage says why the key usage of the first certificate does not allow what the path is
 * needed for. The extended key usage of every certificate, if it has one, must allow client authentication
 * @param spend limits what name constraints and policies may cost: an authority of the client may have many
 */
export function explainInvalidPath(
  path: readonly PathCertificate[],
  now: number,
  explainKeyUsage: (leaf: PathCertificate) => ChainReason | undefined = explainClientKeyUsage,
  spend: Spend = unlimited,
): ChainReason | undefined {
  const [anchor, ...below] = path.toReversed();
  const leaf = below.pop();
  if (anchor === undefined || leaf === undefined) {
    return reason('no_path', 'it has no path');
  }
  const policies = new ValidPolicies(below.length + 1);
  const constraints: NameConstraints[] = [];
  // The signature and the names of an anchor are not checked. Its dates and its limits (RFC 5937) are.
  let authoritiesLeft = Number.POSITIVE_INFINITY;
  for (const [at, authority] of [anchor, ...below].entries()) {
    const isAnchor = at === 0;
    if (!isAnchor && !isSelfIssued(authority)) {
      if (authoritiesLeft === 0) {
        return ofAuthority(authority, reason('too_long', 'it is one authority more than the path may have'));
      }
      authoritiesLeft -= 1;
    }
    const limits = readAuthorityLimits(authority, spend);
    const fault =
      explainUnusable(authority, now) ??
      (isAnchor ? undefined : explainSignature(authority)) ??
      (isAnchor || isSelfIssued(authority) ? undefined : explainNames(authority, constraints, spend)) ??
      (isAnchor ? undefined : explainPolicies(policies, authority, 'processIntermediate', spend)) ??
      ('why' in limits ? limits : undefined);
    if (fault !== undefined) {
      return ofAuthority(authority, fault);
    }
    if ('why' in limits) {
      return ofAuthority(authority, limits);
    }
    authoritiesLeft = Math.min(authoritiesLeft, limits.pathLength ?? Number.POSITIVE_INFINITY);
    if (limits.names !== undefined) {
      constraints.push(limits.names);
    }
  }
  return (
    explainUnusable(leaf, now) ??
    explainSignature(leaf) ??
    explainNames(leaf, constraints, spend) ??
    explainPolicies(policies, leaf, 'processLast', spend) ??
    explainKeyUsage(leaf)
  );
}

function reason(code: ChainReasonCode, why: string): ChainReason {
  return { code, why };
}

function explainPolicies(
  policies: ValidPolicies,
  certificate: PathCertificate,
  process: 'processIntermediate' | 'processLast',
  spend: Spend,
): ChainReason | undefined {
  if (!spend(policies.countItems(certificate) / POLICIES_PER_COST)) {
    return reason('too_much_work', 'it has too many policies and policy mappings');
  }
  const why = policies[process](certificate);
  return why === undefined ? undefined : reason('policies', why);
}

/** Says which certificate of the path it is. */
export function ofAuthority({ thumbprint }: PathCertificate, { code, why }: ChainReason): ChainReason {
  return {
    code: codesOfAuthority[code] ?? code,
    why: `of the certificate ${thumbprint} above it: ${why}`,
  };
}

function explainSignature({ signatureAlgorithm }: PathCertificate): ChainReason | undefined {
  return findSignatureMethod(signatureAlgorithm) !== undefined
    ? undefined
    : reason('weak_key', 'the algorithm of its signature is not accepted');
}

/** What every certificate of a path must be: valid now, and without critical extensions that are unknown. */
function explainUnusable(certificate: PathCertificate, now: number): ChainReason | undefined {
  const { notBefore, notAfter, extensions, version } = certificate;
  if (!(now >= notBefore)) {
    return reason('not_valid_yet', 'it is not valid yet');
  }
  if (!(now <= notAfter + LAST_SECOND)) {
    return reason('expired', 'it has expired');
  }
  if (extensions.size > 0 && version !== 3) {
    return reason('unreadable', 'it has extensions and another version than 3');
  }
  for (const [id, { isCritical }] of extensions) {
    if (isCritical && !processed.has(id)) {
      return reason('critical_extension', 'it has a critical extension that is not known here');
    }
  }
  return explainLackOfClientAuth(certificate);
}

/** notAfter is the last second, and ends with it (RFC 5280 §4.1.2.5). */
const LAST_SECOND = 999;

/** The extended usage of each certificate must allow client authentication, if it has any. */
function explainLackOfClientAuth(certificate: PathCertificate): ChainReason | undefined {
  const usages = extensionOf(certificate, pathExtensionIds.extendedKeyUsage, readExtendedKeyUsage);
  if (usages === 'malformed') {
    return reason('unreadable', 'its extended key usage can not be read');
  }
  return usages === 'missing' || clientUsages.some((usage) => usages.has(usage))
    ? undefined
    : reason('other_purpose', 'its extended key usage lacks clientAuth');
}

/** Says why a client must not use a certificate, by its key usage. */
export function explainClientKeyUsage(leaf: PathCertificate): ChainReason | undefined {
  const usage = extensionOf(leaf, pathExtensionIds.keyUsage, readKeyUsage);
  const basic = extensionOf(leaf, pathExtensionIds.basicConstraints, readBasicConstraints);
  if (usage === 'malformed' || basic === 'malformed') {
    return reason('unreadable', 'its key usage or basic constraints can not be read');
  }
  return usage === 'missing' || usage.digitalSignature || usage.keyAgreement
    ? undefined
    : reason('other_purpose', 'its key usage allows neither digitalSignature nor keyAgreement');
}

/**
 * Says why a certificate must not sign the revocation lists of another certificate of its authority. Its
 * key usage must say that it may, and that it may not sign certificates: some authorities have a list
 * for each key that signs certificates, which is about the certificates of that key alone.
 */
export function explainCrlOnlyKeyUsage(signer: PathCertificate): ChainReason | undefined {
  const usage = extensionOf(signer, pathExtensionIds.keyUsage, readKeyUsage);
  const isAllowed = usage !== 'missing' && usage !== 'malformed' && usage.cRLSign && !usage.keyCertSign;
  return isAllowed ? undefined : reason('other_purpose', 'its key usage is not for lists alone');
}

/** What an authority allows below it. */
interface AuthorityLimits {
  readonly pathLength: number | undefined;
  readonly names: NameConstraints | undefined;
}

const limitsRead = new WeakMap<PathCertificate, AuthorityLimits | ChainReason>();

/**
 * Returns what an authority allows below it, or says why it is none (RFC 5280 §6.1.4 (g) and (k) to
 * (n)). Keeps what it has read: further calls for the certificate cost nothing. Needs `x509.load()`.
 */
export function readAuthorityLimits(
  certificate: PathCertificate,
  spend: Spend = unlimited,
): AuthorityLimits | ChainReason {
  const known = limitsRead.get(certificate);
  if (known !== undefined) {
    return known;
  }
  const constraints = certificate.extensions.get(pathExtensionIds.nameConstraints);
  if (constraints !== undefined && !spend(constraintElements(constraints.value) / ELEMENTS_PER_COST)) {
    const why = 'its name constraints cost too much to read: configured certificates have no such limit';
    return reason('too_much_work', why);
  }
  const limits = readLimits(certificate);
  limitsRead.set(certificate, limits);
  return limits;
}

function readLimits(certificate: PathCertificate): AuthorityLimits | ChainReason {
  const basic = extensionOf(certificate, pathExtensionIds.basicConstraints, readBasicConstraints);
  const usage = extensionOf(certificate, pathExtensionIds.keyUsage, readKeyUsage);
  const names = extensionOf(certificate, pathExtensionIds.nameConstraints, readNameConstraints);
  if (basic === 'malformed' || usage === 'malformed' || names === 'malformed') {
    return reason('unreadable', 'its basic constraints, key usage or name constraints can not be read');
  }
  if (basic === 'missing' || !basic.isAuthority || certificate.version !== 3) {
    return reason('not_an_authority', 'it is no authority: its basic constraints do not say so');
  }
  if (usage !== 'missing' && !usage.keyCertSign) {
    return reason('not_an_authority', 'its key usage does not allow to sign certificates');
  }
  return { pathLength: basic.pathLength, names: names === 'missing' ? undefined : names };
}

/** Says which of its names violates the constraints above it. */
function explainNames(
  certificate: PathCertificate,
  constraints: readonly NameConstraints[],
  spend: Spend,
): ChainReason | undefined {
  if (constraints.length === 0) {
    return undefined;
  }
  const names = namesOf(certificate, spend);
  if ('why' in names) {
    return names;
  }
  if (!spend(countComparisons(names, constraints) / COMPARISONS_PER_COST)) {
    return reason('too_much_work', 'it has too many names for the name constraints of its path');
  }
  const why = explainViolation(names, constraints);
  return why === undefined ? undefined : reason('name_not_permitted', why);
}

type Names = readonly GeneralName[] | ChainReason;

const namesRead = new WeakMap<PathCertificate, Names>();

/** Reads the names of a certificate once, which is all that it costs. */
function namesOf(certificate: PathCertificate, spend: Spend): Names {
  const known = namesRead.get(certificate);
  if (known !== undefined) {
    return known;
  }
  const alternatives = certificate.extensions.get(pathExtensionIds.subjectAltName)?.value;
  const elements = alternatives === undefined ? 0 : directoryElements(sequenceOf(alternatives) ?? []);
  if (!spend(elements / ELEMENTS_PER_COST)) {
    return reason('too_much_work', 'its names cost too much to read');
  }
  const names = readNames(certificate) ?? reason('name_not_permitted', 'its names can not be read');
  namesRead.set(certificate, names);
  return names;
}

/** The subject, the mail addresses in it, and the alternative names. */
function readNames(certificate: PathCertificate): readonly GeneralName[] | undefined {
  const subject = readDirectoryName(certificate.subject);
  const mails = mailAddressesIn(certificate.subject);
  const alternatives = extensionOf(certificate, pathExtensionIds.subjectAltName, readAlternativeNames);
  if (subject?.kind !== 'directory' || mails === undefined || alternatives === 'malformed') {
    return undefined;
  }
  return [
    // An empty subject is no name (RFC 5280 §4.1.2.6).
    ...(subject.relativeNames.length > 0 ? [subject] : []),
    ...mails,
    ...(alternatives === 'missing' ? [] : alternatives),
  ];
}
