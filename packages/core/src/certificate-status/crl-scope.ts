import { sequenceOf } from '../certificate/der-members.js';
import { MAX_POINT_NAMES, PointNameReader } from './point-names.js';
import { ALL_REASONS, readReasons } from './revocation-reasons.js';
import type { StatusReason } from './status-reason.js';

/** Which certificates of its issuer, and which reasons, a list is about (RFC 5280 §5.2.5). */
export interface CrlScope {
  /**
   * Names of the distribution point, as `PointNames.keys` has them; `undefined` if the list is not of one.
   */
  readonly names: ReadonlySet<string> | undefined;
  readonly certificates: 'all' | 'users' | 'authorities';
  /** A bit for each reason. */
  readonly reasons: number;
}

/** The scope of a list without IssuingDistributionPoint. */
export const unlimitedScope: CrlScope = { names: undefined, certificates: 'all', reasons: ALL_REASONS };

const tag = {
  names: 0xa0,
  onlyUsers: 0x81,
  onlyAuthorities: 0x82,
  onlySomeReasons: 0x83,
  indirect: 0x84,
  onlyAttributes: 0x85,
} as const;

const known: ReadonlySet<number> = new Set(Object.values(tag));

const unreadable: StatusReason = {
  code: 'unreadable',
  why: 'its IssuingDistributionPoint can not be read',
};

const tooManyNames: StatusReason = {
  code: 'too_large',
  why: `its IssuingDistributionPoint has more than ${MAX_POINT_NAMES} names`,
};

/**
 * Reads the value of IssuingDistributionPoint. Returns why a list with it is not used.
 *
 * @param issuer the DER of the list's issuer
 */
export function readScope(value: Uint8Array, issuer: Uint8Array): CrlScope | StatusReason {
  const members = sequenceOf(value);
  const byTag = new Map(members?.map((member) => [member.tag, member.content]));
  if (members === undefined || byTag.size !== members.length || !members.every((one) => known.has(one.tag))) {
    return unreadable;
  }
  const isSet = (name: number): boolean => byTag.get(name)?.some((byte) => byte !== 0) ?? false;
  if (isSet(tag.indirect)) {
    return { code: 'form_not_supported', why: 'it is an indirect list, which is not supported' };
  }
  if (isSet(tag.onlyAttributes)) {
    return { code: 'form_not_supported', why: 'it is about attribute certificates alone' };
  }
  if (isSet(tag.onlyUsers) && isSet(tag.onlyAuthorities)) {
    return { code: 'unreadable', why: 'its IssuingDistributionPoint contradicts itself' };
  }
  const given = { names: byTag.get(tag.names), reasons: byTag.get(tag.onlySomeReasons) };
  const reader = new PointNameReader(issuer);
  const names = given.names && reader.read(given.names);
  const reasons = given.reasons === undefined ? ALL_REASONS : readReasons(given.reasons);
  if ((given.names !== undefined && names === undefined) || reasons === undefined) {
    return unreadable;
  }
  if (reader.hasTooManyNames) {
    return tooManyNames;
  }
  const certificates = isSet(tag.onlyUsers) ? 'users' : isSet(tag.onlyAuthorities) ? 'authorities' : 'all';
  return { names: names && new Set(names.keys), certificates, reasons };
}

/**
 * The reasons for which a list says whether a certificate is revoked; 0 if it is not about the
 * certificate (RFC 5280 §6.3.3 b and d).
 *
 * @param points the reasons of the certificate's points, by their names
 */
export function coveredReasons(
  { names, certificates, reasons }: CrlScope,
  points: ReadonlyMap<string, number>,
  isAuthority: boolean,
): number {
  if (certificates !== 'all' && (certificates === 'authorities') !== isAuthority) {
    return 0;
  }
  if (names === undefined) {
    return reasons;
  }
  let covered = 0;
  for (const [name, ofPoint] of points) {
    covered |= names.has(name) ? ofPoint : 0;
  }
  return reasons & covered;
}
