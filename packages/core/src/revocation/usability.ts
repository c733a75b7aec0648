import type { TokenClaims } from '../token/token-claims.js';
import type { TokenRejection } from '../token/token-rejection.js';

/**
 * The claims of a token, where they come from, and since when this process has them.
 *
 * A turn is a number. This process gives the next one to each question that it asks and each
 * revocation that it receives. Of two of them, the one with the lower turn came first, whatever the
 * clocks say.
 */
export interface DatedClaims {
  readonly tokenClaims: TokenClaims;
  /**
   * `server`: the authorization server was asked. `token`: the token says it of itself, by its
   * signature.
   */
  readonly claimsFrom: 'server' | 'token';
  /** When this process asked, or first saw what the token says of itself. */
  readonly turn: number;
  /** The moment of `turn` by the monotonic clock, in milliseconds. */
  readonly turnTime: number;
  /**
   * When another process asked, if this process found the answer in the shared cache; otherwise undefined.
   */
  readonly shared: SharedOrigin | undefined;
}

/** Claims that may be used, and when that was decided. */
export interface UsableClaims {
  readonly tokenClaims: TokenClaims;
  /** Revocations that this process received until this turn are taken into account. */
  readonly turn: number;
}

/** What may be used of a token, or why it is refused. */
export type UsableAnswer = UsableClaims | TokenRejection;

/** When another process asked, and how far it had read the log of revocations by then. */
export interface SharedOrigin {
  /** Milliseconds since the epoch, by the clock of that process. */
  readonly askedAt: number;
  /** Up to where that process had read the log of revocations; undefined without a log. */
  readonly logReadUpTo: string | undefined;
}

/** A revocation that concerns a token. */
export interface ReceivedRevocation {
  /** Whether it names this one token, which can't be issued again. */
  readonly isOfOneToken: boolean;
  /** When this process received it. */
  readonly turn: number;
  /**
   * When it was revoked, in milliseconds since the epoch, by the clock of the process that revoked. That
   * clock may be behind: if this process received the revocation at once and its own clock shows a later
   * time, it is that time.
   */
  readonly revokedAt: number;
  /** Where it stands in the log; undefined without a log, or before it was read there. */
  readonly position: string | undefined;
}

/**
 * Revocations of one issuer, or for all issuers, that were forgotten too early: any older token of theirs may
 * be revoked.
 */
export type ForgottenRevocations = Omit<ReceivedRevocation, 'isOfOneToken'>;

/** How far this process has received the revocations of other processes. */
export interface SyncState {
  /**
   * `alone`: there are no other processes. `channel`: what is missed is lost. `log`: what is missed
   * can be read.
   */
  readonly syncedBy: 'alone' | 'channel' | 'log';
  /**
   * This process has received each revocation from before this moment of the monotonic clock, in
   * milliseconds. `Infinity` while it listens to a channel, `-Infinity` while it does not.
   */
  readonly receivedUntil: number;
  /**
   * Answers to questions of this process from before this turn are void: a revocation may have been
   * missed.
   */
  readonly ownAnswersVoidBeforeTurn: number;
  /**
   * Answers to questions that another process asked before this moment are void, in milliseconds since
   * the epoch. 0 if none is.
   */
  readonly sharedAnswersVoidBefore: number;
  /**
   * Revocations from before this moment may be unknown, in milliseconds since the epoch: the log does
   * not have them for certain. 0 if there is no such moment.
   */
  readonly completeSince: number;
}

/** The options on which the decision depends. */
export interface UsabilityLimits {
  /** By how many milliseconds the clocks of the authorization server and of the fleet may differ. */
  readonly clockToleranceMs: number;
  /**
   * Milliseconds for which claims are used while revocations are not received. Revocations may lag by
   * as much.
   */
  readonly maxAgeWhileUnsyncedMs: number;
  /**
   * Whether a token that speaks for itself is used though this process can't find out whether it was
   * revoked: while revocations are not received, and also if it is from before `completeSince`.
   */
  readonly acceptsUnknownRevocation: boolean;
}

/**
 * `use`: the claims may be used. `outdated`: the answer may be from before a revocation, so that the
 * authorization server must be asked again. `revoked`: the token is revoked. `wait`: the token speaks
 * for itself, and this process does not know what was revoked just now. `may-be-revoked`: the token
 * speaks for itself, and was issued before the time from which on this process knows all revocations.
 */
export type Usability = 'use' | 'outdated' | 'revoked' | 'wait' | 'may-be-revoked';

/**
 * Decides whether what is known of a token may be used now. Five other places decide about
 * revocations with less information: `Revocations.watch()` about requests that were accepted,
 * `findRevokedSince()` and `findReceivedSince()` about requests that waited,
 * `isTokenHashRevokedForAllIssuers()` about tokens of which nothing is known, and `acceptsShared` about
 * whether the shared cache is asked.
 *
 * @param now by the monotonic clock, in milliseconds
 * @param forgotten forgotten revocations that may have concerned the token
 */
export function usabilityOf(
  dated: DatedClaims,
  revocations: readonly ReceivedRevocation[],
  sync: SyncState,
  limits: UsabilityLimits,
  now: number,
  forgotten: readonly ForgottenRevocations[] = [],
): Usability {
  for (const { isOfOneToken } of revocations) {
    if (isOfOneToken) {
      return 'revoked';
    }
  }
  for (const revocation of revocations) {
    if (precedes(dated, revocation, limits.clockToleranceMs)) {
      return dated.claimsFrom === 'token' ? 'revoked' : 'outdated';
    }
  }
  for (const revocation of forgotten) {
    if (precedes(dated, revocation, limits.clockToleranceMs)) {
      return dated.claimsFrom === 'token' ? 'may-be-revoked' : 'outdated';
    }
  }
  if (sync.syncedBy === 'alone') {
    return 'use';
  }
  const isCurrent = receivesRevocations(sync, limits, now);
  if (dated.claimsFrom === 'token') {
    return usabilityOfToken(dated, sync, limits, now);
  }
  if (dated.shared !== undefined) {
    const since = Math.max(sync.sharedAnswersVoidBefore, sync.completeSince);
    const isLater = dated.shared.askedAt - limits.clockToleranceMs >= since;
    return isCurrent && (since === 0 || isLater) ? 'use' : 'outdated';
  }
  const isOwnRecent = now - dated.turnTime <= limits.maxAgeWhileUnsyncedMs;
  return dated.turn >= sync.ownAnswersVoidBeforeTurn && (isCurrent || isOwnRecent) ? 'use' : 'outdated';
}

function usabilityOfToken(
  { tokenClaims }: DatedClaims,
  sync: SyncState,
  limits: UsabilityLimits,
  now: number,
): Usability {
  if (!needsLog(sync, limits)) {
    return 'use';
  }
  if (mustTokensWait(sync, limits, now)) {
    return 'wait';
  }
  const issuedAt = (tokenClaims.issuedAt ?? Number.NEGATIVE_INFINITY) * 1000;
  return issuedAt - limits.clockToleranceMs >= sync.completeSince ? 'use' : 'may-be-revoked';
}

/**
 * Whether no token that speaks for itself may be used now, as this process does not know what was revoked
 * just now. Such a token is used without a log, and where the user permits it.
 *
 * @param now by the monotonic clock, in milliseconds
 */
export function mustTokensWait(sync: SyncState, limits: UsabilityLimits, now: number): boolean {
  return needsLog(sync, limits) && !receivesRevocations(sync, limits, now);
}

/** Whether tokens that speak for themselves are used only if the log says which of them are revoked. */
function needsLog({ syncedBy }: SyncState, { acceptsUnknownRevocation }: UsabilityLimits): boolean {
  return syncedBy === 'log' && !acceptsUnknownRevocation;
}

function receivesRevocations(
  { receivedUntil }: SyncState,
  { maxAgeWhileUnsyncedMs }: UsabilityLimits,
  now: number,
): boolean {
  return now - receivedUntil <= maxAgeWhileUnsyncedMs;
}

/** Whether the claims are from before the revocation. In doubt they are, as when a clock gave NaN. */
function precedes(dated: DatedClaims, revocation: ForgottenRevocations, clockToleranceMs: number): boolean {
  if (dated.shared !== undefined) {
    const { askedAt, logReadUpTo } = dated.shared;
    const hasRead =
      logReadUpTo !== undefined && revocation.position !== undefined && logReadUpTo >= revocation.position;
    // Positions of a log that was replaced may be later than those of the log that replaced it.
    return !(hasRead && askedAt - clockToleranceMs > revocation.revokedAt);
  }
  if (dated.turn <= revocation.turn) {
    return true;
  }
  // The answer to a question that began after the revocation was received takes it into account.
  if (dated.claimsFrom === 'server') {
    return false;
  }
  const { issuedAt } = dated.tokenClaims;
  return issuedAt === undefined || !(issuedAt * 1000 - clockToleranceMs > revocation.revokedAt);
}
