import type { Reason } from '../errors.js';

/** Why no path of a certificate is accepted. */
export type ChainReasonCode =
  | 'hash_alone'
  | 'unreadable'
  | 'no_path'
  | 'not_cleared_by_source'
  | 'not_valid_yet'
  | 'authority_not_valid_yet'
  | 'expired'
  | 'authority_expired'
  | 'other_purpose'
  | 'not_an_authority'
  | 'too_long'
  | 'name_not_permitted'
  | 'policies'
  | 'critical_extension'
  | 'weak_key'
  | 'authority_weak_key'
  | 'too_much_work';

/** The code to use instead if the certificate at fault is an authority above the client's certificate. */
export const codesOfAuthority: Readonly<Partial<Record<ChainReasonCode, ChainReasonCode>>> = {
  not_valid_yet: 'authority_not_valid_yet',
  expired: 'authority_expired',
  weak_key: 'authority_weak_key',
};

/** Whether a code is one of those for authorities in `codesOfAuthority`. */
export function isAuthorityVariant(code: ChainReasonCode): boolean {
  return Object.values(codesOfAuthority).includes(code);
}

/** Why no path of a certificate is accepted: a code to decide by, and the text for the operator. */
export type ChainReason = Reason<ChainReasonCode>;
