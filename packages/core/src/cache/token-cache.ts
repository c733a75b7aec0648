import { LRUCache } from 'lru-cache';
import type { RequesterFacts } from '../authorization-server/requester.js';
import { type TokenServer, TroubleInOrder } from '../authorization-server/token-server.js';
import { type RefusalCode, RequestRefused } from '../errors.js';
import { publishCache } from '../observe/events.js';
import type { DatedToken, Revocations } from '../revocation/revocations.js';
import type { Usability, UsableAnswer } from '../revocation/usability.js';
import { CircuitOpen } from '../shared/circuit-breaker.js';
import { CLOCK_DIFFERENCE } from '../shared/clock-difference.js';
import { untilAllSettled } from '../shared/promises.js';
import { reconcileClaims } from '../token/reconciled-claims.js';
import { readTokenClaims, type TokenAnswer, type TokenClaims } from '../token/token-claims.js';
import { hashOf, revocationHashOf } from '../token/token-hash.js';
import { createTokenRejection, type TokenRejection } from '../token/token-rejection.js';
import { RejectionTimes } from './rejection-times.js';
import type { SharedCache } from './shared-cache.js';

/** How long answers about tokens are kept. Times in seconds. */
export interface TokenCacheRules {
  /**
   * How long an active token's claims are used; 0 keeps none. Never beyond the token's `exp` (RFC
   * 7662 §4).
   */
  readonly maxAge: number;
  /** How many active tokens are kept. A full cache removes the one that was used longest ago. */
  readonly maxEntries: number;
  /** How many bytes the active tokens may take, by the estimate of `sizeOf()`. */
  readonly maxSize: number;
  /** How long a rejected token is refused without asking or verifying again; 0 asks each time. */
  readonly rejectionMaxAge: number;
  /**
   * Seconds before its expiry from which a used answer is refreshed in the background; `0` disables
   * this.
   */
  readonly refreshAhead: number;
  /** How long an answer is used beyond `maxAge` while the authorization server can't be asked. */
  readonly staleIfError: number;
  /**
   * How many background refreshes run at once. An answer for which none is left is refreshed when
   * it is used the next time.
   */
  readonly maxRefreshes?: number;
}

/**
 * Returns the limit of concurrent background refreshes: a quarter of the exchanges that one
 * endpoint of an authorization server gets. A client that uses many tokens at once leaves places
 * for the readings that requests wait for.
 */
export function maxRefreshesFor(maxConcurrent: number): number {
  return Math.max(1, Math.floor(maxConcurrent / 4));
}

/**
 * A revocation that this process made or heard of concerns the token. The authorization server may
 * not know of it.
 */
const revoked = createTokenRejection('token_inactive', 'revoked here');

/**
 * A revocation of the token may be unknown or forgotten, and no authorization server can be asked.
 */
const mayBeRevoked = createTokenRejection(
  'token_inactive',
  'issued before this process knows all revocations',
);

/**
 * A reading of a token: its hash and its cache key, the requester, and the server that is asked, or whose
 * keys verify the token.
 */
interface Reading {
  readonly token: string;
  readonly server: TokenServer;
  readonly hash: string;
  /** The cache key: the hash of the token and the id of the server. */
  readonly key: string;
  /** Undefined where no request is known. */
  readonly requester: RequesterFacts | undefined;
}

/** An answer, and how long it is fresh: it must be so by both clocks. */
interface Entry extends DatedToken {
  /** Milliseconds since the epoch. */
  readonly freshFrom: number;
  /** Milliseconds since the epoch. */
  readonly freshUntil: number;
  /** Milliseconds of the monotonic clock. */
  readonly freshUntilMonotonic: number;
}

/** A token that was rejected. Times in milliseconds since the epoch. */
interface Rejected {
  readonly rejection: TokenRejection;
  readonly from: number;
  readonly until: number;
}

// Rejections have a region of their own: a flood of bad tokens never displaces a good one.
const MAX_REJECTIONS = 1_000;

/**
 * For how many tokens at least the time of the last rejection is remembered, also after the rejection itself
 * was forgotten.
 */
const REMEMBERED_REJECTIONS = 5_000;

/**
 * The share of an answer's life by which it may end earlier, so that what was learnt together is
 * not forgotten together.
 */
const JITTER = 0.1;

/**
 * Remembers what is known of a token, never a decision on a request: the answer of the authorization
 * server, the claims of a JWT that was verified here, or a rejection. Keyed by a hash, so that the keys
 * reveal no token (RFC 9700 §4.9.3). Troubles are not remembered.
 *
 * An answer is fresh until it is too old by the wall clock, by which tokens expire too, or by the monotonic
 * clock. Two clocks are needed because the monotonic clock stands still while a machine is suspended, and the
 * wall clock can be set back. The age of a shared answer is taken from the wall clocks when it is read,
 * because processes share no monotonic clock. From then on both clocks count for it too.
 *
 * An answer that is no longer fresh stays in the cache until another answer or a rejection replaces it, or
 * the cache is full. It may be used in an outage (`staleIfError`), and that of a JWT keeps the turn at which
 * this process first saw the JWT.
 */
export class TokenCache {
  readonly #rules: TokenCacheRules;
  readonly #revocations: Revocations;
  readonly #shared: SharedCache | undefined;
  readonly #active: LRUCache<string, Entry>;
  readonly #rejections: LRUCache<string, Rejected>;
  readonly #rejectionTimes = new RejectionTimes(REMEMBERED_REJECTIONS);
  /** Readings that have not ended. Requests with the same token join one. */
  readonly #openReadings = new Map<string, Promise<DatedToken | TokenRejection>>();
  /** Readings that begin when the open one of the same name has ended. */
  readonly #nextReadings = new Map<string, Promise<DatedToken | TokenRejection>>();
  /** How many background refreshes run now. */
  #refreshes = 0;
  #isSettling = false;

  constructor(rules: TokenCacheRules, revocations: Revocations, shared?: SharedCache) {
    this.#rules = rules;
    this.#revocations = revocations;
    this.#shared = shared;
    this.#active = new LRUCache<string, Entry>({
      max: rules.maxEntries,
      maxSize: rules.maxSize,
      sizeCalculation: sizeOf,
    });
    this.#rejections = new LRUCache({ max: MAX_REJECTIONS });
  }

  /**
   * Returns the cached answer, or `undefined` if the authorization server must be asked. Begins to
   * refresh the answer in the background if it expires within `refreshAhead` seconds.
   *
   * @param presented the argument of `requesterOf`, which is called only for a refresh
   * @param requesterOf returns the request and the client for which the answer is refreshed; failures
   * of the refresh count for that client. Without it nothing is refreshed
   * @param hash `hashOf(token)`, where it is known
   * @param now milliseconds since the epoch
   */
  useCached<Presented>(
    token: string,
    server: TokenServer,
    presented: Presented,
    requesterOf: ((presented: Presented) => RequesterFacts | undefined) | undefined,
    hash = hashOf(token),
    now = Date.now(),
  ): TokenAnswer | undefined {
    const key = hash + server.id;
    const entry = this.#active.get(key);
    const monotonicNow = performance.now();
    if (entry !== undefined && this.#isFresh(entry, now, monotonicNow)) {
      const usability = this.#revocations.usability(entry, monotonicNow);
      if (usability === 'revoked') {
        return revoked;
      }
      if (usability === 'use') {
        if (requesterOf !== undefined && now >= this.#refreshFrom(entry)) {
          this.#refresh({ token, server, hash, key }, presented, requesterOf);
        }
        return entry.tokenClaims;
      }
    }
    // A shortcut, mainly for a token that is not cached: it needs no reading if its hash is revoked. After
    // a reading `usability()` decides whether the token is revoked.
    if (this.#revocations.isTokenHashRevokedForAllIssuers(hash)) {
      return revoked;
    }
    const rejected = this.#rejections.get(key);
    // An answer that is dated in the future is from before the clock was set back.
    const serves = rejected !== undefined && rejected.from <= now && now < rejected.until;
    return serves ? rejected.rejection : undefined;
  }

  /**
   * Refreshes an answer in the background, unless a reading of this token is open or
   * `maxRefreshes` refreshes run.
   */
  #refresh<Presented>(
    about: Omit<Reading, 'requester'>,
    presented: Presented,
    requesterOf: (presented: Presented) => RequesterFacts | undefined,
  ): void {
    const { maxRefreshes = Number.POSITIVE_INFINITY } = this.#rules;
    if (this.#isSettling || this.#refreshes >= maxRefreshes || this.#openReadings.has(about.key)) {
      return;
    }
    let requester: RequesterFacts | undefined;
    try {
      requester = requesterOf(presented);
    } catch {
      // A function of the user failed, which harms no request with a known token.
      return;
    }
    this.#refreshes += 1;
    // A failed refresh looks for no stale answer: a request that has joined it looks for one itself.
    this.#findOrRead({ ...about, requester })
      .catch(() => undefined)
      .finally(() => {
        this.#refreshes -= 1;
      });
  }

  /**
   * Returns the cached answer, with the turn at which it was decided that it may be used; `undefined`
   * if the authorization server must be asked.
   *
   * @param hash `hashOf(token)`
   * @param requester for whom the answer is refreshed in the background. Without one it is not
   */
  findCached(
    token: string,
    server: TokenServer,
    hash: string,
    requester?: RequesterFacts,
  ): UsableAnswer | undefined {
    const cached = this.useCached(token, server, requester, requester && sameRequester, hash);
    return cached && this.#usableNow(cached);
  }

  /**
   * Reads the answer from the shared cache, or else asks the authorization server, and caches it. Does
   * not look into the cache of this process first: call `findCached()` for that. If the authorization
   * server can't be asked, resolves with an answer of this process that `staleIfError` permits.
   * Requests with the same token join the open reading, which is made for the `requester` of the
   * first.
   *
   * @param hash `hashOf(token)`, where it is known
   */
  readThrough(
    token: string,
    server: TokenServer,
    requester?: RequesterFacts,
    hash = hashOf(token),
  ): Promise<UsableAnswer> {
    const reading = createReading(token, server, requester, hash);
    return this.#decideAtEnd(() => this.#readOrUseStale(reading));
  }

  /**
   * Checks the answer once more for each request that joined the reading. This process may have
   * received a revocation after the reading ended. If the answer can't be used any more, it
   * asks a second time.
   */
  async #decideAtEnd(ask: () => Promise<DatedToken | TokenRejection>): Promise<UsableAnswer> {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const known = await ask();
      if (typeof known === 'string') {
        return known;
      }
      const usability = this.#revocations.usability(known);
      if (usability === 'use') {
        return this.#usableNow(known.tokenClaims);
      }
      if (usability === 'revoked') {
        return revoked;
      }
    }
    return 'token_inactive';
  }

  /**
   * Returns the answer with the latest turn, which says that each revocation up to this turn was compared
   * with it. Call it in the same tick in which that was done: a revocation that is received in between would
   * never be compared.
   */
  #usableNow(answer: TokenAnswer): UsableAnswer {
    return typeof answer === 'string' ? answer : { tokenClaims: answer, turn: this.#revocations.latestTurn };
  }

  /**
   * Returns whether an active answer is cached, fresh or too old, that may be used if the authorization
   * server can't be asked. No client can have made up such a token.
   *
   * @param hash `hashOf(token)`
   */
  hasUsableStale(hash: string, server: TokenServer): boolean {
    const stale = this.#active.peek(hash + server.id);
    return stale !== undefined && this.#isUsableStale(stale);
  }

  /**
   * Returns the answer that this process or, by the shared cache, another one has cached. An answer
   * that is too old is not used: the client itself may have caused that the authorization server is
   * not asked.
   */
  async findWithoutAsking(token: string, server: TokenServer): Promise<UsableAnswer | undefined> {
    const reading = createReading(token, server, undefined);
    const cached = this.findCached(token, server, reading.hash);
    if (cached !== undefined) {
      return cached;
    }
    const shared = this.#usableSharedCacheFor(reading);
    const found = shared && (await this.#findAndCacheShared(shared, reading, false));
    return found && this.#decideAtEnd(async () => found);
  }

  /**
   * Calls `server.read` even if an answer is cached, in a reading that begins after this call. So the
   * authorization server is asked only if `server.read` introspects. Caches only a rejection. Requests with
   * the same token join the next reading, which is made for the `requester` of the first.
   */
  readAfresh(token: string, server: TokenServer, requester?: RequesterFacts): Promise<UsableAnswer> {
    const reading = createReading(token, server, requester);
    const name = `${reading.key} afresh`;
    return this.#decideAtEnd(() => this.#joinNext(name, () => this.#readAndCacheRejection(reading)));
  }

  /** Begins a reading now, or joins the one that begins when the open one has ended. */
  #joinNext(
    name: string,
    ask: () => Promise<DatedToken | TokenRejection>,
  ): Promise<DatedToken | TokenRejection> {
    const open = this.#openReadings.get(name);
    if (open === undefined) {
      return this.#join(name, ask);
    }
    const begin = (): Promise<DatedToken | TokenRejection> => {
      this.#nextReadings.delete(name);
      return this.#join(name, ask);
    };
    const next = this.#nextReadings.get(name) ?? open.then(begin, begin);
    this.#nextReadings.set(name, next);
    return next;
  }

  /** Stops background refreshes. Resolves when each reading that is open has settled. */
  async settleReadings(): Promise<void> {
    this.#isSettling = true;
    while (this.#openReadings.size > 0 || this.#nextReadings.size > 0) {
      await untilAllSettled([...this.#openReadings.values(), ...this.#nextReadings.values()]);
    }
  }

  async #readAndCacheRejection(reading: Reading): Promise<DatedToken | TokenRejection> {
    const known = await this.#readToken(reading);
    if (typeof known === 'string') {
      this.#keepRejection(reading, known);
      await this.#sharedCacheOf(reading.server)?.remove(sharedName(reading));
    }
    return known;
  }

  async #readOrUseStale(reading: Reading): Promise<DatedToken | TokenRejection> {
    try {
      return await this.#findOrRead(reading);
    } catch (trouble) {
      const stale = this.#substitute(reading.key, trouble);
      if (stale === undefined) {
        throw trouble;
      }
      return stale;
    }
  }

  #findOrRead(reading: Reading): Promise<DatedToken | TokenRejection> {
    return this.#join(reading.key, () => this.#findSharedOr(reading, () => this.#readAndCache(reading)));
  }

  /** Joins the open reading of this name, or opens it. */
  #join(name: string, ask: () => Promise<DatedToken | TokenRejection>): Promise<DatedToken | TokenRejection> {
    const open = this.#openReadings.get(name) ?? ask().finally(() => this.#openReadings.delete(name));
    this.#openReadings.set(name, open);
    return open;
  }

  async #findSharedOr(
    reading: Reading,
    ask: () => Promise<DatedToken | TokenRejection>,
  ): Promise<DatedToken | TokenRejection> {
    const shared = this.#usableSharedCacheFor(reading);
    if (shared === undefined) {
      return ask();
    }
    const find = (isUnderLock: boolean) => this.#findAndCacheShared(shared, reading, isUnderLock);
    return (await find(false)) ?? shared.askUnderLock(sharedName(reading), () => find(true), ask);
  }

  /**
   * Returns the shared cache if the answer of another process may be in it and could be used;
   * `undefined` otherwise.
   */
  #usableSharedCacheFor({ key, server }: Reading): SharedCache | undefined {
    const cachedEntry = this.#active.peek(key);
    const isVoid = cachedEntry !== undefined && this.#revocations.usability(cachedEntry) === 'revoked';
    // No shared answer is used for a token that this process knows to be revoked, and none at all
    // while this process may miss revocations: a look would only cost time.
    return isVoid || !this.#revocations.acceptsShared ? undefined : this.#sharedCacheOf(server);
  }

  /** Returns the shared cache if answers of this server are shared; `undefined` otherwise. */
  #sharedCacheOf({ readIntrospects, sharedId }: TokenServer): SharedCache | undefined {
    // To verify a signature costs less than to fetch the answer of another process.
    return readIntrospects && sharedId !== undefined ? this.#shared : undefined;
  }

  /**
   * Returns the answer that another process has put into the shared cache, if it may be used, and caches
   * it here. `undefined` if there is none.
   *
   * @param isUnderLock whether this process holds the lock or waits for it: then a shared rejection counts
   */
  async #findAndCacheShared(
    shared: SharedCache,
    reading: Reading,
    isUnderLock: boolean,
  ): Promise<DatedToken | TokenRejection | undefined> {
    const { key } = reading;
    const answer = await shared.get(sharedName(reading));
    if (answer !== undefined && 'rejection' in answer) {
      // Other processes learn of it only while they wait: a token that is not active now may be so
      // later.
      const isAnswer = isUnderLock && shared.isForLockWaiters(answer, Date.now());
      return isAnswer ? this.#keepRejection(reading, answer.rejection) : undefined;
    }
    const claims = answer && readTokenClaims(answer.claims, answer.issuer);
    if (answer === undefined || claims === undefined || typeof claims === 'string') {
      return undefined;
    }
    const { askedAt, logReadUpTo } = answer;
    const now = Date.now();
    const cachedEntry = this.#active.peek(key);
    // A refresh is for a newer answer than the one that is known; the store may hold that very one.
    const isNewer = cachedEntry === undefined || askedAt > cachedEntry.freshFrom;
    if (!isNewer || askedAt > now + CLOCK_DIFFERENCE) {
      return undefined;
    }
    // The clock of the process that asked may be ahead: it may have asked that much earlier.
    const askedFrom = performance.now() - (now - askedAt) - CLOCK_DIFFERENCE;
    if (askedFrom <= this.#rejectionTimes.latestPossibleRejection(key)) {
      return undefined;
    }
    const known = this.#knownToken(reading, claims, 'server', {
      turn: this.#revocations.nextTurn(),
      turnTime: performance.now() - Math.max(0, now - askedAt),
      shared: { askedAt, logReadUpTo },
    });
    const entry = this.#entry(known, askedAt);
    if (!this.#isFresh(entry, now, performance.now()) || this.#revocations.usability(entry) !== 'use') {
      return undefined;
    }
    this.#active.set(key, entry);
    publishCache('shared_hit');
    return entry;
  }

  async #readAndCache(reading: Reading): Promise<DatedToken | TokenRejection> {
    const { key, server } = reading;
    const askedAt = Date.now();
    const { logReadUpTo } = this.#revocations;
    const known = await this.#readToken(reading);
    if (typeof known === 'string') {
      // An answer that was asked for before may be in the shared cache too.
      const hadServerAnswer = this.#active.peek(key)?.claimsFrom === 'server';
      this.#keepRejection(reading, known);
      await this.#shareRejection(reading, known, hadServerAnswer);
      return known;
    }
    const entry = this.#entry(known, known.claimsFrom === 'server' ? askedAt : Date.now());
    const seconds = (entry.freshUntil - Date.now()) / 1000;
    if (seconds > 0) {
      this.#active.set(key, entry);
      if (known.claimsFrom === 'server') {
        const { claims, issuer } = known.tokenClaims;
        // The process that holds the lock releases it only when other processes find the answer.
        await this.#sharedCacheOf(server)?.put(
          sharedName(reading),
          { claims, issuer, askedAt, logReadUpTo },
          seconds,
        );
      }
    } else {
      this.#active.delete(key);
    }
    return known;
  }

  async #shareRejection(
    reading: Reading,
    rejection: TokenRejection,
    hadServerAnswer: boolean,
  ): Promise<void> {
    const shared = this.#sharedCacheOf(reading.server);
    if (shared === undefined) {
      return;
    }
    if (hadServerAnswer) {
      await shared.remove(sharedName(reading));
    }
    if (this.#rules.rejectionMaxAge > 0) {
      await shared.putForLockWaiters(sharedName(reading), { rejection, rejectedAt: Date.now() });
    }
  }

  /**
   * Asks, and decides whether the answer may be used: while it was on its way a revocation may have
   * been received, or another reading may have found the token not active.
   */
  async #readToken(reading: Reading): Promise<DatedToken | TokenRejection> {
    const { token, server, key, requester } = reading;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const turn = this.#revocations.nextTurn();
      const turnTime = performance.now();
      const answer = await this.#ask(reading, () => server.read(token, requester));
      if (typeof answer === 'string') {
        return answer;
      }
      const known = server.isIntrospected(answer)
        ? this.#knownToken(reading, answer, 'server', { turn, turnTime: turnTime, shared: undefined })
        : this.#knownSelfContained(reading, answer, turn, turnTime);
      const usability = await this.#usabilityInTime(known);
      if (known.claimsFrom === 'server' && known.turnTime <= this.#rejectionTimes.rejectedAt(key)) {
        continue;
      }
      if (server.countsOwnClaims === true && this.#isRevokedByOwnClaims(reading, answer, turn, turnTime)) {
        return revoked;
      }
      if (usability === 'use') {
        return known;
      }
      if (usability === 'revoked') {
        return revoked;
      }
      if (usability !== 'outdated') {
        return this.#introspectToo(reading, answer, usability);
      }
    }
    return 'token_inactive';
  }

  /**
   * Throws the trouble of the issuer of the cached answer if several issuers were asked in order, because no
   * other trouble lets that answer be used when it is too old. If that issuer said that the token is not
   * active, the cached answer ends, whatever trouble another issuer has.
   */
  async #ask<Answer>(reading: Reading, ask: () => Promise<Answer>): Promise<Answer> {
    try {
      return await ask();
    } catch (thrown) {
      if (!(thrown instanceof TroubleInOrder)) {
        throw thrown;
      }
      const issuer = this.#active.peek(reading.key)?.tokenClaims.issuer;
      if (issuer !== undefined && !thrown.isTroubled(issuer)) {
        this.#endAnswer(reading);
        await this.#sharedCacheOf(reading.server)?.remove(sharedName(reading));
      }
      throw thrown.troubleOf(issuer);
    }
  }

  /** Whether a revocation concerns a token that was introspected, by what it says of itself. */
  #isRevokedByOwnClaims(reading: Reading, answer: TokenClaims, turn: number, turnTime: number): boolean {
    const known = this.#knownSelfContained(reading, answer, turn, turnTime);
    return this.#revocations.usability(known) === 'revoked';
  }

  /** The claims of a self-contained token count from when this process first saw the token. */
  #knownSelfContained(reading: Reading, answer: TokenClaims, turn: number, turnTime: number): DatedToken {
    const before = this.#active.peek(reading.key);
    const first = before?.claimsFrom === 'token' ? before : { turn, turnTime };
    return this.#knownToken(reading, answer, 'token', {
      turn: first.turn,
      turnTime: first.turnTime,
      shared: undefined,
    });
  }

  /** A request waits for a moment until revocations are received, rather than be refused. */
  async #usabilityInTime(known: DatedToken): Promise<Usability> {
    const usability = this.#revocations.usability(known);
    if (usability !== 'wait') {
      return usability;
    }
    await this.#revocations.untilSynced();
    return this.#revocations.usability(known);
  }

  /**
   * Introspects a token that was accepted by its signature: the authorization server says whether
   * it is revoked. The claims of the token count as before.
   */
  async #introspectToo(
    reading: Reading,
    tokenClaims: TokenClaims,
    why: 'wait' | 'may-be-revoked',
  ): Promise<DatedToken | TokenRejection> {
    const { token, server, key, requester } = reading;
    const turn = this.#revocations.nextTurn();
    const turnTime = performance.now();
    const answer = await this.#ask(reading, async () => server.introspect?.(token, tokenClaims, requester));
    if (answer === undefined) {
      if (why === 'may-be-revoked') {
        return mayBeRevoked;
      }
      const detail =
        'revocations are not heard at the moment, and the token does not say whether it was revoked';
      throw new RequestRefused('revocations_unknown', { detail });
    }
    const agreed = reconcileClaims(tokenClaims, answer);
    if (typeof agreed === 'string') {
      return agreed;
    }
    const known = this.#knownToken(reading, agreed, 'server', {
      turn,
      turnTime: turnTime,
      shared: undefined,
    });
    if (turnTime <= this.#rejectionTimes.rejectedAt(key)) {
      return 'token_inactive';
    }
    const usability = this.#revocations.usability(known);
    if (usability === 'use') {
      return known;
    }
    return usability === 'revoked' ? revoked : 'token_inactive';
  }

  #knownToken(
    { token, hash }: Reading,
    tokenClaims: TokenClaims,
    claimsFrom: DatedToken['claimsFrom'],
    when: Pick<DatedToken, 'turn' | 'turnTime' | 'shared'>,
  ): DatedToken {
    // What is cached should not keep two texts where one will do.
    const revocationHash = revocationHashOf(token, hash);
    return {
      tokenClaims,
      claimsFrom,
      hash,
      revocationHash: revocationHash === hash ? hash : revocationHash,
      checkedUpTo: Number.NaN,
      turn: when.turn,
      turnTime: when.turnTime,
      shared: when.shared,
    };
  }

  /** `from` in milliseconds since the epoch. */
  #entry(known: DatedToken, from: number): Entry {
    const maxAgeMs = this.#rules.maxAge * 1000;
    // Another process's clock may be ahead of this one's: no entry is used longer for it.
    const freshFrom = Math.min(from, Date.now());
    const freshUntil = Math.min(freshFrom + maxAgeMs * (1 - Math.random() * JITTER), expiryOf(known));
    // What a token says of itself was checked again just now.
    const freshFromMonotonic = known.claimsFrom === 'token' ? performance.now() : known.turnTime;
    const freshUntilMonotonic = freshFromMonotonic + maxAgeMs;
    const { tokenClaims, claimsFrom, hash, revocationHash, checkedUpTo, turn, turnTime, shared } = known;
    // Not by `...known`: V8 may give each such object a hidden class of its own. Then each request
    // finds the members of its entry the slow way, and each entry takes more memory.
    return {
      tokenClaims,
      claimsFrom,
      hash,
      revocationHash,
      checkedUpTo,
      turn,
      turnTime,
      shared,
      freshFrom,
      freshUntil,
      freshUntilMonotonic,
    };
  }

  #isFresh(
    { freshFrom, freshUntil, freshUntilMonotonic }: Entry,
    now: number,
    monotonicNow: number,
  ): boolean {
    return freshFrom <= now && now < freshUntil && monotonicNow < freshUntilMonotonic;
  }

  #refreshFrom({ freshUntil }: Entry): number {
    const { refreshAhead } = this.#rules;
    return refreshAhead > 0 ? freshUntil - refreshAhead * 1000 : Number.POSITIVE_INFINITY;
  }

  #usableUntil(entry: Entry): number {
    return Math.min(entry.freshUntil + this.#rules.staleIfError * 1000, expiryOf(entry));
  }

  #substitute(key: string, trouble: unknown): DatedToken | undefined {
    const stale = this.#active.peek(key);
    if (stale === undefined || !this.#maySubstitute(stale, trouble)) {
      return undefined;
    }
    publishCache('stale');
    return stale;
  }

  /** Only in an outage that a single client can't have caused. */
  #maySubstitute(stale: Entry, trouble: unknown): boolean {
    return showsOutage(trouble) && this.#isUsableStale(stale);
  }

  /** Only where the user chose availability, and never beyond `exp`. */
  #isUsableStale(stale: Entry): boolean {
    const now = Date.now();
    const monotonicNow = performance.now();
    const monotonicEnd = stale.freshUntilMonotonic + this.#rules.staleIfError * 1000;
    const isInTime = stale.freshFrom <= now && now < this.#usableUntil(stale) && monotonicNow < monotonicEnd;
    return isInTime && this.#revocations.usability(stale) === 'use';
  }

  #endAnswer({ key, server }: Reading): void {
    this.#active.delete(key);
    if (server.readIntrospects) {
      this.#rejectionTimes.noteRejection(key);
    }
  }

  #keepRejection(reading: Reading, rejection: TokenRejection): TokenRejection {
    this.#endAnswer(reading);
    const from = Date.now();
    this.#rejections.set(reading.key, { rejection, from, until: from + this.#rules.rejectionMaxAge * 1000 });
    return rejection;
  }
}

function sameRequester(requester: RequesterFacts | undefined): RequesterFacts | undefined {
  return requester;
}

function createReading(
  token: string,
  server: TokenServer,
  requester: RequesterFacts | undefined,
  hash = hashOf(token),
): Reading {
  return { token, server, hash, key: hash + server.id, requester };
}

/** A question about the token was sent, and the authorization server gave no answer to it. */
const unanswered: ReadonlySet<RefusalCode> = new Set<RefusalCode>([
  'authorization_server_timeout',
  'authorization_server_unreachable',
  'authorization_server_overloaded',
  'authorization_server_failed',
  'authorization_server_invalid_answer',
]);

/**
 * Returns whether the authorization server can't be asked about a known token: this question got no
 * answer, or earlier ones about known tokens got none. A client can cause every other refusal, by
 * made-up tokens or by many questions at once, to have its revoked token accepted.
 */
function showsOutage(trouble: unknown): boolean {
  if (!RequestRefused.isRefusal(trouble)) {
    return false;
  }
  const { code, cause } = trouble;
  return unanswered.has(code) || (cause instanceof CircuitOpen && cause.kind === 'known');
}

/** What an answer is called in the tier that processes share. */
function sharedName({ hash, server }: Reading): string {
  return `${hash} ${server.sharedId}`;
}

/** Milliseconds since the epoch. */
function expiryOf({ tokenClaims }: DatedToken): number {
  return (tokenClaims.expiresAt ?? Number.POSITIVE_INFINITY) * 1000;
}

/** Bytes, roughly: what an entry takes besides its claims, and what their text takes as objects. */
const ENTRY_SIZE = 650;
const SIZE_PER_CHARACTER = 3;
/** Characters that an object or a list counts at least: `{}` has two and takes 60 bytes. */
const LEAST_LENGTH = 20;

/** What a token takes in the cache, for `maxSize`. */
export function sizeOf({ tokenClaims }: Pick<Entry, 'tokenClaims'>): number {
  return ENTRY_SIZE + textLengthOf(tokenClaims.claims) * SIZE_PER_CHARACTER;
}

/**
 * The length of a value as JSON, but for escapes and small objects. Does not recurse: claims may nest
 * deeper than the stack.
 */
function textLengthOf(value: unknown): number {
  const open = [value];
  let length = 0;
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) {
      length += typeof next === 'string' ? next.length + 2 : String(next).length;
      continue;
    }
    const isList = Array.isArray(next);
    const names = Object.keys(next);
    let ownLength = 2 + Math.max(0, names.length - 1);
    for (const name of names) {
      ownLength += isList ? 0 : name.length + 3;
      open.push((next as Record<string, unknown>)[name]);
    }
    length += Math.max(ownLength, LEAST_LENGTH);
  }
  return length;
}
