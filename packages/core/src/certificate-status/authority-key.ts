import { createHash } from 'node:crypto';
import { comparableKey } from '../chain/comparable-key.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import type { ChargedAuthority } from './status-source.js';

/**
 * Returns what tells an authority from others: a hash of its name and its key. One that was renewed, or that
 * several authorities above it certify, has several certificates for them. A client chooses which one it
 * sends.
 */
export function authorityKeyOf({
  subjectName,
  publicKey,
}: Pick<PathCertificate, 'subjectName' | 'publicKey'>): string {
  return createHash('sha256').update(comparableKey({ publicKey })).update(subjectName).digest('base64url');
}

/**
 * The authority whose share the questions about a path use up: the one right below the trust anchor, with
 * which those below it share, or the anchor itself if it has none below. An authority that several anchors
 * certify has a share for each of them.
 */
export function chargedAuthorityOf(path: readonly PathCertificate[]): ChargedAuthority {
  const last = path.at(-1);
  const anchor = last === undefined ? '' : authorityKeyOf(last);
  const below = path.length > 2 ? path.at(-2) : undefined;
  return { name: below === undefined ? anchor : `${anchor} ${authorityKeyOf(below)}`, anchor };
}

/** Returns the charged authority that has this name, which begins with that of its trust anchor. */
export function chargedAuthorityNamed(name: string): ChargedAuthority {
  const [anchor = name] = name.split(' ', 1);
  return { name, anchor };
}

/**
 * The authority whose share the lists of an issuer use up. A trust anchor is charged for its own, which
 * all authorities below it need: the first of these must not hold up the others.
 */
export function ownerOf(issuer: PathCertificate, charged: ChargedAuthority): ChargedAuthority {
  const { anchor } = charged;
  return authorityKeyOf(issuer) === anchor ? { name: anchor, anchor } : charged;
}
