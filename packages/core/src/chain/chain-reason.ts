import type { Reason } from '../errors.js';

/** Why no path of a certificate is accepted. */
export type ChainReasonCode =
  | 'hash_alone'
  | 'unreadable'
  | 'no_path'
  | 'not_cleared_by_source'
  | 'not_valid_yet'
  | 'expired'
  | 'authority_expired'
  | 'other_purpose'
  | 'no_authority'
  | 'too_long'
  | 'name_not_permitted'
  | 'policies'
  | 'critical_extension'
  | 'weak_key'
  | 'too_much_work';

/** Why no path of a certificate is accepted: a code to decide by, and the text for the operator. */
export type ChainReason = Reason<ChainReasonCode>;
