import { createHash } from 'node:crypto';
import type { PathCertificate } from '../chain/path-certificate.js';
import type { AskingAuthority } from './status-source.js';

/**
 * Names an authority by its name and its key: one that was renewed, or that several authorities above it
 * certify, has several certificates for them. A client chooses which one it sends.
 */
export function nameAuthority({
  subjectName,
  publicKey,
}: Pick<PathCertificate, 'subjectName' | 'publicKey'>): string {
  return createHash('sha256').update(publicKey).update(subjectName).digest('base64url');
}

/**
 * The authority that answers for a path: the one right below the trust anchor, whose
 * authorities below it share its part of the requests, or the anchor itself if it has none below.
 */
export function askingAuthorityOf(path: readonly PathCertificate[]): AskingAuthority {
  const last = path.at(-1);
  const anchor = last === undefined ? '' : nameAuthority(last);
  const below = path.length > 2 ? path.at(-2) : undefined;
  return { name: below === undefined ? anchor : nameAuthority(below), anchor };
}

/**
 * The authority that answers for the lists of an issuer. A trust anchor answers for its own, which all
 * authorities below it need: the one that asks first must not hold up the others.
 */
export function ownerOf(issuer: PathCertificate, asking: AskingAuthority): AskingAuthority {
  const { anchor } = asking;
  return nameAuthority(issuer) === anchor ? { name: anchor, anchor } : asking;
}
