import { TellableError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { CLOCK_DIFFERENCE } from '../shared/clock-difference.js';
import { type Expiring, ExpiringMap } from '../shared/expiring-map.js';
import { readOwnMember } from '../shared/own-member.js';
import { RecentMap } from '../shared/recent-map.js';
import { hashOf, revocationHashOf } from '../token/token-hash.js';
import { acceptedForm, couldMatch, revocationKinds } from './revocation-kinds.js';
import {
  type DatedClaims,
  type ForgottenRevocations,
  mustTokensWait,
  type ReceivedRevocation,
  type SyncState,
  type Usability,
  type UsabilityLimits,
  usabilityOf,
} from './usability.js';

/** What limits a revocation to one issuer. */
export interface OfOneIssuer {
  /** The configured issuer whose tokens are revoked. Default: those of every configured issuer. */
  readonly issuer?: string;
}

/**
 * What `revoke()` revokes: one token, or every token of a subject, of a client, of a session, or
 * bound to a certificate. `issuer` limits it to the tokens of one authorization server: `sub`,
 * `client_id`, `sid` and `jti` are unique within one issuer alone (RFC 7519 §4.1.2, §4.1.7).
 * Without `issuer` it holds for the tokens of every configured issuer.
 */
export type Revocation =
  | ({ readonly token: string } & OfOneIssuer)
  /**
   * SHA-256, base64url: of the token; of a signed JWT, of its first two parts with the dot between
   * them.
   */
  | ({ readonly tokenHash: string } & OfOneIssuer)
  /** `jti` */
  | ({ readonly jti: string } & OfOneIssuer)
  /** `sub` */
  | ({ readonly subject: string } & OfOneIssuer)
  /** `client_id` */
  | ({ readonly clientId: string } & OfOneIssuer)
  /** `sid` */
  | ({ readonly session: string } & OfOneIssuer)
  /** `cnf["x5t#S256"]` */
  | ({ readonly thumbprint: string } & OfOneIssuer);

/** The claim by which tokens of a kind are found. */
const claimNameOfKind = { jti: 'jti', subject: 'sub', clientId: 'client_id', session: 'sid' } as const;

const claimNames = Object.entries(claimNameOfKind);

/** What is known of a token, with what the token is known by. */
export interface DatedToken extends DatedClaims {
  /** The SHA-256 of its text. */
  readonly hash: string;
  /** `revocationHashOf()`: equal for all texts of one token. */
  readonly revocationHash: string;
  /**
   * How many revocations had been added when this token was last looked up and none concerned it.
   * While no further one is added, it need not be looked up again.
   */
  checkedUpTo: number;
}

// More than any flood of revocations that a fleet should see.
const DEFAULT_MAX_REVOCATIONS = 100_000;

/**
 * How many ids of acts of revoking are remembered. By its id an act that arrives again is recognized.
 * It does so moments later on the channel or in the log, and up to two minutes later if the connection
 * of its writer was interrupted.
 */
const MAX_RECENT_IDS = 2_000;

/** Characters of a name that a revocation keeps as it is. */
const MAX_PLAIN_LENGTH = 64;

/**
 * What a process keeps of a revocation, next to its key. There are many: each member costs memory.
 */
interface KeptRevocation extends ReceivedRevocation, Expiring {
  /** Names this act of revoking. */
  readonly id: string;
  position: string | undefined;
}

/** Revocations that were forgotten too early, until the last of them would have been forgotten anyway. */
interface Forgotten extends ForgottenRevocations, Expiring {}

/** A revocation by a long name, of which it has the SHA-256. */
type RevocationOfLongName = OfOneIssuer &
  ({ 'jti#': string } | { 'subject#': string } | { 'clientId#': string } | { 'session#': string });

/**
 * A revocation as it is written down and sent on: without the token itself, and with the hash of a
 * long name.
 */
export type WrittenRevocation = Exclude<Revocation, { token: string }> | Readonly<RevocationOfLongName>;

/** A revocation as a process sends it to the others. */
export interface RevocationNotice {
  readonly revocation: WrittenRevocation;
  /** Milliseconds since the epoch, by the clock of the process that revoked. */
  readonly at: number;
  /** Names this act of revoking. */
  readonly id: string;
}

/** A revocation, and since when this process knows it. */
export interface KnownNotice {
  readonly notice: RevocationNotice;
  /** Milliseconds, by the monotonic clock. */
  readonly knownSince: number;
}

/** From when on a revocation counts in the process that received it. */
export interface NoticeReceipt {
  /**
   * Milliseconds since the epoch: the time in the notice, which the clock of this process corrects if the
   * notice was read in the log (see `LogSync.#receiveNotice()`).
   */
  readonly at: number;
  /** For how many milliseconds the process that wrote it had known it by then. */
  readonly age: number;
}

/** How revocations are remembered. Times in seconds. */
export interface RevocationsRules {
  /**
   * For how long a token, or a cached answer about it, may be used. A revocation is remembered for
   * `2 * clockTolerance` more.
   */
  readonly longestUse: number;
  /** How long answers are used while revocations are not received. */
  readonly maxAgeWhileUnsynced: number;
  /** By how much the clocks of the authorization servers may differ from this process's. */
  readonly clockTolerance: number;
  /** How the revocations of other processes are received. */
  readonly syncedBy: SyncState['syncedBy'];
  /**
   * For how long a request waits at most while revocations are not received, counted from when
   * they were received last.
   */
  readonly maxWait: number;
  /**
   * Whether a token that speaks for itself is used though a revocation of it may not have been
   * received.
   */
  readonly acceptsUnknownRevocation: boolean;
  /**
   * How many revocations are remembered. Beyond that the oldest of the issuer that has the most are
   * forgotten, and its tokens from before may be revoked. Default 100,000.
   */
  readonly maxRevocations?: number;
  /** Called with a problem when revocations are forgotten before their time. */
  readonly report?: ReportProblem;
}

/** Ends the wait of a request until revocations are received. */
type Waiter = () => void;

/** What a watched token is known by. */
export type Watched = Pick<DatedToken, 'tokenClaims' | 'hash' | 'revocationHash'>;

/** Why a token must not be accepted any more: it is revoked, or a revocation of it may have been missed. */
export type RevokedCode = 'token_inactive' | 'revocations_unknown';

/** Called when a watched token must not be accepted any more. */
type OnRevoked = (code: RevokedCode) => void;

/**
 * What was revoked since when, and what of it this process has received. `usability()` decides by that
 * whether what is known of a token may be used.
 */
export class Revocations {
  /** Kept by the monotonic clock: a wall clock that is set forward would end revocations early. */
  readonly #revocations: ExpiringMap<KeptRevocation>;
  readonly #limits: UsabilityLimits;
  readonly #waiters = new Set<Waiter>();
  readonly #watchers = new Set<OnRevoked>();
  /**
   * The watchers by the names of the revocations that concern them, so that the cost of a revocation depends
   * only on the number of watchers that it concerns.
   */
  readonly #watchersOf = new Map<string, Set<OnRevoked>>();
  readonly #keptForMs: number;
  readonly #maxWait: number;
  /** When revocations were received last, or this process began, by the monotonic clock. */
  #unsyncedSince = performance.now();
  #sync: SyncState;
  #logReadUpTo: string | undefined;
  #turn = 0;
  #lastReceivedTurn = 0;
  /** The ids of the acts of revoking that were received last: each may come back. */
  readonly #recentIds = new RecentMap<string, true>(MAX_RECENT_IDS);
  /** How many revocations were added. */
  #addedCount = 0;
  /** By issuer; under an empty text the revocations that hold for the tokens of all issuers. */
  readonly #forgotten = new Map<string, Forgotten>();

  constructor({
    longestUse,
    maxAgeWhileUnsynced,
    clockTolerance,
    syncedBy,
    maxWait,
    acceptsUnknownRevocation,
    maxRevocations = DEFAULT_MAX_REVOCATIONS,
    report = () => undefined,
  }: RevocationsRules) {
    this.#maxWait = maxWait * 1000;
    // A token may be accepted for twice the clock tolerance after `longestUse`: the clock of its server may
    // be ahead, and the clock of this process behind.
    this.#keptForMs = (longestUse + 2 * clockTolerance) * 1000;
    this.#revocations = new ExpiringMap(maxRevocations, this.#keptForMs, {
      groupOf: issuerIn,
      onForgotten: (issuer, revocations) => {
        this.#forget(issuer, revocations);
        report(
          'revocations_forgotten',
          `there are more than ${maxRevocations} revocations: the oldest of ` +
            `${issuer === '' ? 'those for the tokens of each issuer' : issuer} ` +
            'are forgotten before revocations.longestTokenLifetime, and its tokens from before are asked ' +
            'about or refused',
        );
      },
    });
    this.#limits = {
      clockToleranceMs: Math.max(clockTolerance * 1000, CLOCK_DIFFERENCE),
      maxAgeWhileUnsyncedMs: maxAgeWhileUnsynced * 1000,
      acceptsUnknownRevocation,
    };
    this.#sync = {
      syncedBy,
      receivedUntil: syncedBy === 'alone' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY,
      ownAnswersVoidBeforeTurn: 0,
      sharedAnswersVoidBefore: 0,
      completeSince: 0,
    };
  }

  /** Counts a question or a revocation of this moment. Returns its turn, larger than those before. */
  nextTurn(): number {
    this.#turn += 1;
    return this.#turn;
  }

  /** The turn of the last question or revocation. */
  get latestTurn(): number {
    return this.#turn;
  }

  /** The turn of the last revocation that was received; 0 before the first one. */
  get lastReceivedTurn(): number {
    return this.#lastReceivedTurn;
  }

  /** The position up to which the log was read. */
  get logReadUpTo(): string | undefined {
    return this.#logReadUpTo;
  }

  /**
   * Records a revocation, from now on. Returns whether this act of revoking was not recorded
   * before.
   *
   * @param position where it stands in the log, if it was read there
   * @param receipt from when on it counts. Default: from the moment that the notice states
   */
  add(notice: RevocationNotice, position?: string, receipt: NoticeReceipt = receiptOf(notice)): boolean {
    const { revocation, id } = notice;
    const parts = partsOf(revocation);
    const key = keyOf(...parts);
    const known = this.#revocations.get(key);
    const isRepeated = known?.id === id || this.#recentIds.get(id) === true;
    this.#addedCount += 1;
    this.#recentIds.set(id, true);
    if (known !== undefined && known.id === id) {
      // This process's own revocation, or one that was written again.
      known.position = laterOf(known.position, position);
      if (!isRestatedLater(notice, receipt, known)) {
        return false;
      }
    } else if (known !== undefined && isRepeated) {
      // An earlier revocation of this name arrives again: the later one is kept.
      return false;
    }
    // If `notice` was read in the log and `known` is not in the log yet, the merged entry keeps the id of
    // `known` and has no position. This process writes entries that have no position.
    const unwritten = position !== undefined && known?.position === undefined ? known : undefined;
    this.#lastReceivedTurn = this.nextTurn();
    this.#revocations.set(
      key,
      {
        until: known?.until ?? 0,
        id: unwritten?.id ?? id,
        isOfOneToken: kindsOfOneToken.has(parts[0]),
        turn: this.#lastReceivedTurn,
        // A clock that is ahead must not revoke what is issued later.
        revokedAt: Math.max(Math.min(receipt.at, Date.now() + CLOCK_DIFFERENCE), known?.revokedAt ?? 0),
        position: unwritten === undefined ? position : undefined,
      },
      receipt.age,
    );
    wake(this.#watchersOf.get(key), 'token_inactive');
    return !isRepeated;
  }

  /** The keys of the revocations that may revoke a token. */
  keysOf(watched: Watched): ReadonlySet<string> {
    return revocationKeysOf(watched);
  }

  /**
   * Calls `onRevoked` once if a revocation that concerns the token is received after the turn `sinceTurn`, or
   * if one may have been missed since then. A revocation of this very token counts at any turn. If it is so
   * already, `onRevoked` is called before this returns. Returns a function that ends the watch.
   */
  watch(watched: Watched, sinceTurn: number, onRevoked: OnRevoked): () => void {
    const keys = revocationKeysOf(watched);
    const code = this.#findRevokedSince(watched, keys, sinceTurn);
    if (code !== undefined) {
      onRevoked(code);
      return unwatched;
    }
    const watcher: OnRevoked = (code) => {
      unwatch();
      onRevoked(code);
    };
    const unwatch = (): void => {
      this.#watchers.delete(watcher);
      for (const key of keys) {
        const watchers = this.#watchersOf.get(key);
        watchers?.delete(watcher);
        if (watchers?.size === 0) {
          this.#watchersOf.delete(key);
        }
      }
    };
    this.#watchers.add(watcher);
    for (const key of keys) {
      this.#watchersOf.set(key, (this.#watchersOf.get(key) ?? new Set()).add(watcher));
    }
    return unwatch;
  }

  /**
   * Returns why the token must not be accepted any more: a revocation that concerns it was received after the
   * turn `sinceTurn`, or one may have been missed since then. A revocation of this very token, by its hash or
   * its `jti`, counts at any turn. Returns `undefined` if none of this is so.
   */
  findRevokedSince(watched: Watched, sinceTurn: number): RevokedCode | undefined {
    return this.#findRevokedSince(watched, revocationKeysOf(watched), sinceTurn);
  }

  /**
   * Returns why the token must not be accepted any more: a revocation that concerns it was received after the
   * turn `sinceTurn`, or may be among those that were received since then and forgotten too early. A
   * revocation of this very token counts at any turn. Returns `undefined` if none of this is so, even if the
   * process was not connected for a while: revocations that it never received do not count here.
   */
  findReceivedSince(watched: Watched, sinceTurn: number): RevokedCode | undefined {
    return this.#findReceivedSince(watched, revocationKeysOf(watched), sinceTurn);
  }

  #findRevokedSince(watched: Watched, keys: ReadonlySet<string>, sinceTurn: number): RevokedCode | undefined {
    const mayHaveMissed = this.#sync.ownAnswersVoidBeforeTurn > sinceTurn;
    return (
      this.#findReceivedSince(watched, keys, sinceTurn) ?? (mayHaveMissed ? 'revocations_unknown' : undefined)
    );
  }

  #findReceivedSince(
    watched: Watched,
    keys: ReadonlySet<string>,
    sinceTurn: number,
  ): RevokedCode | undefined {
    const revocations = this.#revocationsAt(keys);
    if (revocations.some(({ isOfOneToken, turn }) => isOfOneToken || turn > sinceTurn)) {
      return 'token_inactive';
    }
    const isForgotten = this.#forgottenOf(watched.tokenClaims.issuer).some(({ turn }) => turn > sinceTurn);
    return isForgotten ? 'revocations_unknown' : undefined;
  }

  /** What is remembered and was not read in the log. */
  noticesOutsideLog(): KnownNotice[] {
    return this.#revocations
      .entries()
      .filter(([, { position }]) => position === undefined)
      .map(([key, { revokedAt, id, until }]) => ({
        notice: { revocation: revocationOf(key), at: revokedAt, id },
        knownSince: until - this.#keptForMs,
      }));
  }

  /** The log is another one now: positions, also those in shared answers, say nothing of it. */
  markLogReplaced(): void {
    for (const [, revocation] of this.#revocations.entries()) {
      revocation.position = undefined;
    }
    for (const [issuer, forgotten] of this.#forgotten) {
      this.#forgotten.set(issuer, { ...forgotten, position: undefined });
    }
    this.#logReadUpTo = undefined;
    this.#update({ sharedAnswersVoidBefore: Date.now() });
  }

  /** Revocations may be missed from now on. */
  markUnsynced(): void {
    if (this.#sync.receivedUntil > Number.NEGATIVE_INFINITY) {
      this.#unsyncedSince = performance.now();
    }
    this.#update({ receivedUntil: Number.NEGATIVE_INFINITY });
  }

  /**
   * A channel is listened to, again or for the first time. What was revoked before is not known, so
   * all answers from before are void: those of this process, and those that others shared.
   */
  markRestored(): void {
    this.#update({
      receivedUntil: Number.POSITIVE_INFINITY,
      ownAnswersVoidBeforeTurn: this.nextTurn(),
      sharedAnswersVoidBefore: Date.now(),
    });
  }

  /**
   * Whether this process could use an answer that another process gets from the authorization server now.
   * It could not while revocations are not received. It could not for some seconds after shared answers
   * became void either: as clocks may differ, it would take the answer for one from before.
   */
  get acceptsShared(): boolean {
    const { receivedUntil, sharedAnswersVoidBefore, completeSince } = this.#sync;
    if (performance.now() - receivedUntil > this.#limits.maxAgeWhileUnsyncedMs) {
      return false;
    }
    const since = Math.max(sharedAnswersVoidBefore, completeSince);
    return since === 0 || Date.now() + CLOCK_DIFFERENCE - this.#limits.clockToleranceMs >= since;
  }

  /**
   * The log was read to its end, which was at `position`, at the moment `receivedUntil` of the
   * monotonic clock.
   */
  markRead(position: string | undefined, receivedUntil: number): void {
    this.#logReadUpTo = position;
    this.#update({ receivedUntil });
  }

  /**
   * Revocations from before this moment, in milliseconds since the epoch, may be unknown. It only
   * ever moves on. A moment in the future counts as it is: it may be the clock of this process that
   * is behind.
   */
  markCompleteOnlySince(moment: number): void {
    const { completeSince } = this.#sync;
    this.#update({ completeSince: Math.max(moment, completeSince) });
  }

  /** The log had a gap: what this process knows from before is void. */
  markGap(): void {
    this.markCompleteOnlySince(Date.now());
    this.#update({ ownAnswersVoidBeforeTurn: this.nextTurn(), sharedAnswersVoidBefore: Date.now() });
  }

  /**
   * This process may not know a revocation that came after it got an answer: its answers from before this
   * call are void.
   */
  markJoinedLate(): void {
    this.#update({ ownAnswersVoidBeforeTurn: this.nextTurn() });
  }

  /** The latest moment that `markCompleteOnlySince()` was called with; 0 before the first. */
  get completeSince(): number {
    return this.#sync.completeSince;
  }

  /** Resolves when revocations are received, or when they were not received for `maxWait`. */
  untilSynced(): Promise<void> {
    const { receivedUntil } = this.#sync;
    const receivedLast = Math.max(receivedUntil + this.#limits.maxAgeWhileUnsyncedMs, this.#unsyncedSince);
    const milliseconds = receivedLast + this.#maxWait - performance.now();
    if (milliseconds <= 0) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      this.#waiters.add(end);
    });
  }

  /**
   * Whether each token that speaks for itself must wait now. If the wait is in vain, it is introspected or
   * refused.
   */
  get mustTokensWait(): boolean {
    return mustTokensWait(this.#sync, this.#limits, performance.now());
  }

  /**
   * Whether what is known may be used now.
   *
   * @param now by the monotonic clock, in milliseconds
   */
  usability(known: DatedToken, now: number = performance.now()): Usability {
    const isChecked = known.checkedUpTo === this.#addedCount || this.#revocations.size === 0;
    const revocations = isChecked ? none : this.#revocationsAt(revocationKeysOf(known));
    if (revocations.length === 0) {
      known.checkedUpTo = this.#addedCount;
    }
    const forgotten = this.#forgottenOf(known.tokenClaims.issuer);
    return usabilityOf(known, revocations, this.#sync, this.#limits, now, forgotten);
  }

  /**
   * Returns whether a revocation by `tokenHash` names exactly this hash and no issuer. `false` says
   * nothing: revocations of one issuer, such as those of signals and of `revocationEndpoint()`, are not
   * found here, and a signed token is revoked by its canonical hash. Only `usability()` decides.
   *
   * @param name the hash of the token's text, or its canonical hash
   */
  isTokenHashRevokedForAllIssuers(name: string): boolean {
    return this.#revocations.size > 0 && this.#revocations.get(keyOf('tokenHash', name)) !== undefined;
  }

  /**
   * Remembers that revocations of an issuer were forgotten. Any older token of the issuer may be one that
   * they revoked, so that it must not be accepted.
   */
  #forget(issuer: string, revocations: readonly KeptRevocation[]): void {
    const before = this.#forgotten.get(issuer);
    const counts = before !== undefined && !(performance.now() > before.until);
    const all: readonly Forgotten[] = counts ? [before, ...revocations] : revocations;
    const isWritten = all.every(({ position }) => position !== undefined);
    this.#forgotten.set(issuer, {
      turn: all.reduce((latest, { turn }) => Math.max(latest, turn), 0),
      revokedAt: all.reduce((latest, { revokedAt }) => Math.max(latest, revokedAt), 0),
      position: isWritten ? all.map(({ position }) => position).reduce(laterOf, undefined) : undefined,
      until: all.reduce((latest, { until }) => Math.max(latest, until), 0),
    });
  }

  #forgottenOf(issuer: string): readonly Forgotten[] {
    if (this.#forgotten.size === 0) {
      return none;
    }
    const now = performance.now();
    // In doubt it counts: a clock may give NaN.
    return [this.#forgotten.get(''), this.#forgotten.get(issuer)].filter(
      (forgotten): forgotten is Forgotten => forgotten !== undefined && !(now > forgotten.until),
    );
  }

  #update(change: Partial<SyncState>): void {
    this.#sync = { ...this.#sync, ...change };
    if (change.ownAnswersVoidBeforeTurn !== undefined) {
      wake(this.#watchers, 'revocations_unknown');
    }
    if (change.receivedUntil !== undefined && change.receivedUntil > Number.NEGATIVE_INFINITY) {
      for (const end of [...this.#waiters]) {
        end();
      }
    }
  }

  #revocationsAt(keys: ReadonlySet<string>): readonly KeptRevocation[] {
    return [...keys]
      .map((key) => this.#revocations.get(key))
      .filter((revocation) => revocation !== undefined);
  }
}

const none: readonly never[] = Object.freeze([]);

function receiptOf({ at }: RevocationNotice): NoticeReceipt {
  return { at, age: 0 };
}

/**
 * Returns whether a known revocation is stated again with a later time: its writer has merged it with another
 * one of the same name. The time that an entry takes to arrive does not make it later.
 */
function isRestatedLater(stated: RevocationNotice, receipt: NoticeReceipt, known: KeptRevocation): boolean {
  const isCapped = stated.at > receipt.at;
  return (isCapped ? receipt.at - CLOCK_DIFFERENCE : stated.at) > known.revokedAt;
}

/** Positions are ordered as text. */
function laterOf(one: string | undefined, other: string | undefined): string | undefined {
  return one === undefined || (other !== undefined && other > one) ? other : one;
}

/** Throws `TypeError` if the value is no revocation, or if it could concern no token of these issuers. */
export function parseRevocation(given: unknown, issuers: readonly string[]): Revocation {
  const { issuer, ...named } = (typeof given === 'object' && given !== null ? given : {}) as {
    issuer?: unknown;
  };
  const entries = Object.entries(named);
  const [[kind = '', value] = []] = entries;
  const isKnown = revocationKinds.some((name) => name === kind);
  if (entries.length !== 1 || !isKnown || typeof value !== 'string' || value === '') {
    throw new TellableError(
      `revoke() takes one of { ${revocationKinds.join(' }, { ')} }, with a non-empty string`,
    );
  }
  if (!couldMatch(kind, value)) {
    throw new TellableError(`revoke(): ${kind} ${acceptedForm(kind)}`);
  }
  if (issuer !== undefined && !issuers.includes(issuer as string)) {
    throw new TellableError(`revoke(): issuer must be one of the configured issuers: ${issuers.join(', ')}`);
  }
  // A copy: the caller may change its object before this process has sent and kept the revocation.
  return Object.freeze({ [kind]: value, ...(issuer !== undefined && { issuer }) }) as Revocation;
}

/** Returns a revocation as it is written down and sent on. */
export function toWrittenRevocation(revocation: Revocation): WrittenRevocation {
  if (!isOfText(revocation)) {
    // A client chooses the names: long ones must not take more memory in any process.
    const parts = partsOf(revocation);
    return isPlain(parts[1]) ? revocation : revocationOf(keyOf(...parts));
  }
  const { token, ...issuer } = revocation;
  return { tokenHash: revocationHashOf(token), ...issuer };
}

function isOfText(revocation: Revocation): revocation is Extract<Revocation, { token: string }> {
  // Only an own member: a `token` on `Object.prototype` was not given by the caller.
  return Object.hasOwn(revocation, 'token');
}

const kindsOfOneToken: ReadonlySet<string> = new Set(['tokenHash', 'jti', 'jti#']);

/** Limits a revocation to the tokens of one issuer. */
export function limitToIssuer(issuer: string, revocation: Revocation): Revocation {
  return { ...revocation, issuer };
}

function partsOf(
  revocation: WrittenRevocation,
): readonly [kind: string, value: string, issuer: string | undefined] {
  const members = revocation as unknown as Readonly<Record<string, string>>;
  const kinds = Object.keys(members);
  const kind = (kinds[0] === 'issuer' ? kinds[1] : kinds[0]) ?? '';
  return [kind, members[kind] ?? '', members.issuer];
}

/** Equal for revocations that concern the same tokens. */
export function nameOf(revocation: WrittenRevocation): string {
  return keyOf(...partsOf(revocation));
}

/** The issuer whose tokens are revoked; an empty text if the tokens of all issuers are. */
export function issuerOf(revocation: WrittenRevocation): string {
  return partsOf(revocation)[2] ?? '';
}

/** The revocation of a key that `keyOf` made. A long name stays the hash that the key has. */
function revocationOf(key: string): WrittenRevocation {
  const [kind = '', issuer = ''] = key.split(' ', 2);
  const value = key.slice(kind.length + issuer.length + 2);
  return { [kind]: value, ...(issuer !== '' && { issuer }) } as WrittenRevocation;
}

/** The issuer in a key; an empty text if the revocation is for the tokens of all issuers. */
function issuerIn(key: string): string {
  const from = key.indexOf(' ') + 1;
  return key.slice(from, key.indexOf(' ', from));
}

/** Returns the keys of the revocations that concern a token. A claim that the token lacks has no key. */
function revocationKeysOf({ hash, revocationHash, tokenClaims }: Watched): ReadonlySet<string> {
  const named = claimNames
    .map(([kind, claim]) => [kind, readOwnMember(tokenClaims.claims, claim)])
    .concat([
      ['subject', tokenClaims.subject],
      ['clientId', tokenClaims.clientId],
      ...thumbprintsIn(tokenClaims.confirmation).map((thumbprint) => ['thumbprint', thumbprint]),
      ['tokenHash', hash],
      ['tokenHash', revocationHash],
    ])
    .filter((pair): pair is [string, string] => typeof pair[1] === 'string')
    .flatMap(([kind, value]) => [keyOf(kind, value), keyOf(kind, value, tokenClaims.issuer)]);
  return new Set(named);
}

/** A watcher ends its watch when it is called. */
function wake(watchers: Iterable<OnRevoked> | undefined, code: Parameters<OnRevoked>[0]): void {
  for (const watcher of [...(watchers ?? [])]) {
    watcher(code);
  }
}

function unwatched(): void {
  // Nothing was watched.
}

/** An issuer and a kind have no blanks, so no two triples give one key. */
function keyOf(kind: string, value: string, issuer = ''): string {
  // Long names that clients choose must not cost memory. `join` makes one text, where a template would keep
  // its parts in memory too. A hash has a kind of its own (`sub#`), as a short name may be equal to a hash.
  return (isPlain(value) ? [kind, issuer, value] : [`${kind}#`, issuer, hashOf(value)]).join(' ');
}

/** Whether a revocation keeps a name as it is. */
function isPlain(value: string): boolean {
  return value.length <= MAX_PLAIN_LENGTH;
}

/** With `binding: 'report'`, a token that names several thumbprints is accepted too. */
function thumbprintsIn(confirmation: unknown): readonly unknown[] {
  const named =
    typeof confirmation === 'object' && confirmation !== null && 'x5t#S256' in confirmation
      ? confirmation['x5t#S256']
      : undefined;
  return Array.isArray(named) ? named : [named];
}
