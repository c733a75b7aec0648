import type { TokenClaims } from '../token/token-claims.js';

/**
 * What this process knows of a token, and since when.
 *
 * A turn is a number that counts what this process asked and received: of two of its own acts the one
 * with the lower turn came first, whatever the clocks say.
 */
export interface Knowledge {
  readonly token: TokenClaims;
  /**
   * What says that the token is good: the authorization server, which was asked, or the token by its
   * signature.
   */
  readonly word: 'server' | 'token';
  /** When this process asked, or first saw what the token says of itself. */
  readonly turn: number;
  /** The moment of `turn` by the monotonic clock, in milliseconds. */
  readonly since: number;
  /** Of an answer to another process's question, which came over the shared cache. */
  readonly shared: SharedOrigin | undefined;
}

/** When another process asked. */
export interface SharedOrigin {
  /** Milliseconds since the epoch, by the clock of that process. */
  readonly askedAt: number;
  /** Up to where that process had read the log of revocations; undefined without a log. */
  readonly readUpTo: string | undefined;
}

/** A revocation that concerns a token. */
export interface RevocationRecord {
  /** Whether it names this one token, which can't be issued again. */
  readonly isOfOneToken: boolean;
  /** When this process received it. */
  readonly turn: number;
  /** Milliseconds since the epoch, by the clock of the process that revoked. */
  readonly revokedAt: number;
  /** Where it stands in the log; undefined without a log, or before it was read there. */
  readonly position: string | undefined;
}

/**
 * What was forgotten before its time of the revocations of one issuer, or of those of each: any
 * token of theirs may be revoked.
 */
export type ForgottenRevocations = Omit<RevocationRecord, 'isOfOneToken'>;

/** How far this process has received the revocations of other processes. */
export interface SyncState {
  /**
   * `alone`: there are no other processes. `channel`: what is missed is lost. `log`: what is missed
   * can be read.
   */
  readonly from: 'alone' | 'channel' | 'log';
  /**
   * Up to this moment everything was received, by the monotonic clock, in milliseconds. `Infinity`
   * while a channel is listened to.
   */
  readonly currentAt: number;
  /** Own questions from before this turn do not count: a revocation may have been missed. */
  readonly sinceTurn: number;
  /** Nor do shared answers to questions from before, in milliseconds since the epoch. */
  readonly sharedSince: number;
  /** Revocations from before, in milliseconds since the epoch, may be unknown. */
  readonly completeSince: number;
}

/** Times in milliseconds. */
export interface KnowledgeLimits {
  /** By how much the clocks of the authorization server and of the fleet may differ. */
  readonly clockTolerance: number;
  /** How long knowledge is used while revocations are not received, and by how much they may lag. */
  readonly maxAgeWhileLost: number;
  /**
   * Whether a token that speaks for itself is used though a revocation of it may not have been
   * received.
   */
  readonly acceptsUnsynced: boolean;
}

/**
 * `use`: it counts. `ask`: the authorization server must be asked. `refuse`: the token is revoked.
 * `wait`: the token speaks for itself, and this process does not know what was revoked just now.
 * `may-be-revoked`: it speaks for itself, and was issued before the time from which on all revocations
 * are known.
 */
export type Usability = 'use' | 'ask' | 'refuse' | 'wait' | 'may-be-revoked';

/**
 * Decides whether what is known of a token may be used now. All that revocation means here is in
 * this function.
 *
 * @param now by the monotonic clock, in milliseconds
 * @param forgotten what may have concerned the token
 */
export function usabilityOf(
  known: Knowledge,
  records: readonly RevocationRecord[],
  sync: SyncState,
  limits: KnowledgeLimits,
  now: number,
  forgotten: readonly ForgottenRevocations[] = [],
): Usability {
  for (const { isOfOneToken } of records) {
    if (isOfOneToken) {
      return 'refuse';
    }
  }
  for (const record of records) {
    if (precedes(known, record, limits.clockTolerance)) {
      return known.word === 'token' ? 'refuse' : 'ask';
    }
  }
  for (const record of forgotten) {
    if (precedes(known, record, limits.clockTolerance)) {
      return known.word === 'token' ? 'may-be-revoked' : 'ask';
    }
  }
  if (sync.from === 'alone') {
    return 'use';
  }
  const isCurrent = now - sync.currentAt <= limits.maxAgeWhileLost;
  if (known.word === 'token') {
    return usabilityOfToken(known, sync, isCurrent, limits);
  }
  if (known.shared !== undefined) {
    const since = Math.max(sync.sharedSince, sync.completeSince);
    const isLater = known.shared.askedAt - limits.clockTolerance >= since;
    return isCurrent && (since === 0 || isLater) ? 'use' : 'ask';
  }
  const isOwnRecent = now - known.since <= limits.maxAgeWhileLost;
  return known.turn >= sync.sinceTurn && (isCurrent || isOwnRecent) ? 'use' : 'ask';
}

function usabilityOfToken(
  { token }: Knowledge,
  sync: SyncState,
  isCurrent: boolean,
  { clockTolerance, acceptsUnsynced }: KnowledgeLimits,
): Usability {
  if (sync.from === 'channel' || acceptsUnsynced) {
    return 'use';
  }
  if (!isCurrent) {
    return 'wait';
  }
  const issuedAt = (token.issuedAt ?? Number.NEGATIVE_INFINITY) * 1000;
  return issuedAt - clockTolerance < sync.completeSince ? 'may-be-revoked' : 'use';
}

/** Whether the knowledge is from before the revocation. In doubt it is. */
function precedes(known: Knowledge, record: ForgottenRevocations, clockTolerance: number): boolean {
  if (known.shared !== undefined) {
    const { askedAt, readUpTo } = known.shared;
    const hasRead = readUpTo !== undefined && record.position !== undefined && readUpTo >= record.position;
    // Positions of a log that was replaced may be later than those of the log that replaced it.
    return !hasRead || askedAt - clockTolerance <= record.revokedAt;
  }
  if (known.turn <= record.turn) {
    return true;
  }
  // A question that began after the revocation was received has the server's word of now.
  if (known.word === 'server') {
    return false;
  }
  const { issuedAt } = known.token;
  return issuedAt === undefined || issuedAt * 1000 - clockTolerance <= record.revokedAt;
}
