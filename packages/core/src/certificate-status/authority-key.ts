import { createHash } from 'node:crypto';
import { comparableKey } from '../chain/comparable-key.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import type { QuotaOwner } from './status-source.js';

/**
 * Returns a key that identifies an authority: a hash of its name and its public key. An authority that was
 * renewed, or that several authorities above it certify, has several certificates with this name and key. A
 * client chooses which of them it sends.
 */
export function authorityKeyOf({
  subjectName,
  publicKey,
}: Pick<PathCertificate, 'subjectName' | 'publicKey'>): string {
  return createHash('sha256').update(comparableKey({ publicKey })).update(subjectName).digest('base64url');
}

/**
 * Returns the authority whose quota pays for the requests about a path: the one right below the trust anchor,
 * which all authorities below it share, or the anchor itself if the path has no authority below it. An
 * authority that several anchors certify has a quota for each of them.
 */
export function quotaOwnerOf(path: readonly PathCertificate[]): QuotaOwner {
  const last = path.at(-1);
  const anchor = last === undefined ? '' : authorityKeyOf(last);
  const below = path.length > 2 ? path.at(-2) : undefined;
  return { name: below === undefined ? anchor : `${anchor} ${authorityKeyOf(below)}`, anchor };
}

/** Returns the quota owner that has this name. The name begins with that of the trust anchor. */
export function quotaOwnerNamed(name: string): QuotaOwner {
  const [anchor = name] = name.split(' ', 1);
  return { name, anchor };
}

/**
 * Returns the authority whose quota pays for the lists of an issuer. The lists of a trust anchor count for
 * the anchor itself: all authorities below it need them, and the first that asks must not delay the others.
 *
 * @param owner the quota owner of the path
 */
export function quotaOwnerOfLists(issuer: PathCertificate, owner: QuotaOwner): QuotaOwner {
  const { anchor } = owner;
  return authorityKeyOf(issuer) === anchor ? { name: anchor, anchor } : owner;
}
