import { membersOf, sequenceOf, tags } from '../certificate/der-members.js';
import { revocationExtensionIds } from '../chain/extension-values.js';
import type { PathCertificate } from '../chain/path-certificate.js';
import { keyOfDirectoryName, PointNameReader, type PointNames } from './point-names.js';
import { ALL_REASONS, readReasons } from './revocation-reasons.js';

const tag = { names: 0xa0, reasons: 0x81, listIssuer: 0xa2 } as const;

/** Distribution points of one certificate that are asked, and URIs of one point. */
const MAX_POINTS = 8;
const MAX_URIS = 4;

/** Where the lists about a certificate are, and which reasons they cover. */
export interface DistributionPoints {
  /** A bit for each reason that the points with a name cover, by its name as `PointNames.keys` has it. */
  readonly reasons: ReadonlyMap<string, number>;
  /** The http and https URIs of each point that has any, in the certificate's order. */
  readonly uris: readonly (readonly string[])[];
  /** Whether the certificate has more names of points than are read. */
  readonly hasTooManyNames: boolean;
}

/**
 * Reads the distribution points that a certificate names, and adds one: the name of its issuer, which RFC
 * 5280 §6.3.3 assumes. A point with `cRLIssuer` is left out, as its list is an indirect one. So are
 * points that can not be read.
 */
export function readDistributionPoints({ extensions, issuer }: PathCertificate): DistributionPoints {
  const extension = extensions.get(revocationExtensionIds.distributionPoints);
  const listed = extension === undefined ? [] : (sequenceOf(extension.value) ?? []);
  const reader = new PointNameReader(issuer);
  const allReasons = new Map<string, number>();
  const allUris: (readonly string[])[] = [];
  const add = (keys: readonly (string | undefined)[], reasons: number): void => {
    for (const key of keys.filter((one) => one !== undefined)) {
      allReasons.set(key, (allReasons.get(key) ?? 0) | reasons);
    }
  };
  for (const element of listed) {
    const { keys = [], uris = [], reasons = 0 } = readPoint(membersOf(element, tags.sequence), reader) ?? {};
    const ofWeb = uris.filter(isWebUri).slice(0, MAX_URIS);
    add(keys, reasons);
    if (ofWeb.length > 0 && allUris.length < MAX_POINTS) {
      allUris.push(ofWeb);
    }
  }
  add([keyOfDirectoryName(issuer)], ALL_REASONS);
  return { reasons: allReasons, uris: allUris, hasTooManyNames: reader.hasTooManyNames };
}

function readPoint(
  members: ReturnType<typeof membersOf>,
  reader: PointNameReader,
): (PointNames & { readonly reasons: number }) | undefined {
  if (members?.some(({ tag: one }) => one === tag.listIssuer) !== false) {
    return undefined;
  }
  const name = members.find(({ tag: one }) => one === tag.names);
  const names = name && reader.read(name.content);
  const given = members.find(({ tag: one }) => one === tag.reasons);
  const reasons = given === undefined ? ALL_REASONS : readReasons(given.content);
  return names === undefined || reasons === undefined ? undefined : { ...names, reasons };
}

/** Bytes. A URI of a list has a hundred. */
const MAX_URI = 2_048;

export function isWebUri(uri: string): boolean {
  return uri.length <= MAX_URI && /^https?:\/\/[^\s]+$/i.test(uri) && URL.canParse(uri);
}
