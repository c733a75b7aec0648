import { membersOf, sequenceOf, tags } from '../certificate/der-members.js';
import { revocationExtensionIds } from '../chain/extension-values.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { comparableDirectoryName, readPointNames } from './point-names.js';
import { ALL_REASONS, readReasons } from './revocation-reasons.js';

const tag = { names: 0xa0, reasons: 0x81, listIssuer: 0xa2 } as const;

/** Where a list about a certificate is, and which reasons it covers. */
export interface DistributionPoint {
  /** Its names, as `readPointNames` makes them comparable. */
  readonly names: readonly string[];
  /** Those of its names that are http or https URIs, in the certificate's order. */
  readonly uris: readonly string[];
  /** A bit for each reason. */
  readonly reasons: number;
}

/**
 * Reads the distribution points that a certificate names, and adds one: the name of its issuer, which RFC
 * 5280 §6.3.3 assumes. A point with `cRLIssuer` is left out, as its list is an indirect one. So are
 * points that can not be read.
 */
export function readDistributionPoints({
  extensions,
  issuer,
}: PathCertificate): readonly DistributionPoint[] {
  const name = comparableDirectoryName(issuer);
  const assumed = { names: name === undefined ? [] : [name], uris: [], reasons: ALL_REASONS };
  const extension = extensions.get(revocationExtensionIds.distributionPoints);
  const listed = extension === undefined ? [] : sequenceOf(extension.value);
  const named = (listed ?? []).map((element) => readPoint(membersOf(element, tags.sequence), issuer));
  return [...named.filter((point) => point !== undefined), assumed];
}

function readPoint(members: ReturnType<typeof membersOf>, issuer: Uint8Array): DistributionPoint | undefined {
  if (members?.some(({ tag: one }) => one === tag.listIssuer) !== false) {
    return undefined;
  }
  const name = members.find(({ tag: one }) => one === tag.names);
  const names = name && readPointNames(name.content, issuer);
  const given = members.find(({ tag: one }) => one === tag.reasons);
  const reasons = given === undefined ? ALL_REASONS : readReasons(given.content);
  return names === undefined || reasons === undefined
    ? undefined
    : { names: names.comparable, uris: names.uris.filter(isWebUri), reasons };
}

/** Bytes. A URI of a list has a hundred. */
const MAX_URI = 2_048;

export function isWebUri(uri: string): boolean {
  return uri.length <= MAX_URI && /^https?:\/\/[^\s]+$/i.test(uri) && URL.canParse(uri);
}
