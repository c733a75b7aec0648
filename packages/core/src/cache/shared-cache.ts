import { setTimeout as sleep } from 'node:timers/promises';
import type { ReportProblem } from '../observe/events.js';
import { type AttemptOutcome, CircuitBreaker, CircuitOpen } from '../shared/circuit-breaker.js';
import { ignoreRejection } from '../shared/promises.js';
import { createSeal, type Seal } from '../shared/sealing.js';
import { describeStoreError } from '../shared/store-error.js';
import { withTimeLimit } from '../shared/time-limit.js';
import { isTokenRejection, type TokenRejection } from '../token/token-rejection.js';

/** The methods that this library calls of a Keyv instance. */
export interface SharedStore {
  /** What was stored; `undefined` or `null` for nothing. */
  get(key: string): Promise<unknown>;
  /** `ttl` in milliseconds. */
  set(key: string, value: string, ttl?: number): Promise<unknown>;
  /** Keyv reports a broken connection by this event; without a listener the process would end. */
  on?(event: 'error', listener: (error: unknown) => void): unknown;
}

/**
 * A lock that the processes of a fleet share, so that one of them introspects a token for all:
 * `redisLock(client)`.
 */
export interface SharedLock {
  /**
   * Resolves with whether this process holds the lock now. The lock expires after `ttl`
   * milliseconds.
   */
  acquire(name: string, ttl: number): Promise<boolean>;
  /**
   * Releases the lock before it expires. Called only by a process that acquired it, and only as long as
   * the lock has not expired by the clock of that process: then another process may hold it.
   */
  release(name: string): Promise<unknown>;
}

export interface SharedCacheRules {
  readonly store: SharedStore;
  /** The first secret seals, and each one opens what it sealed: so a new secret can replace an old one. */
  readonly secret: readonly string[];
  readonly lock: SharedLock | undefined;
  /** Seconds that the store may take. */
  readonly timeout: number;
  /** Seconds for which other processes wait for the process that holds the lock. */
  readonly lockTimeout: number;
}

/**
 * The authorization server's answer about an active token, as processes share it: the claims that
 * `readTokenClaims` reads, and when the server was asked.
 */
export interface SharedAnswer {
  readonly issuer: string;
  readonly claims: Record<string, unknown>;
  /** Milliseconds since the epoch, by the clock of the process that asked. */
  readonly askedAt: number;
  /**
   * Up to where that process had read the log of revocations when it asked; undefined without a
   * log.
   */
  readonly logReadUpTo: string | undefined;
}

/** A rejection of a token, as it is shared with the processes that wait for the answer. */
export interface SharedRejection {
  readonly rejection: TokenRejection;
  /** When the rejection was known: milliseconds since the epoch, by the clock of the process that asked. */
  readonly rejectedAt: number;
}

/**
 * Milliseconds until the first look for the answer of another process; each further wait is twice
 * as long.
 */
const FIRST_WAIT = 15;
const LONGEST_WAIT = 500;

const breakerRules = { maxFailures: 5, probeInterval: 1 };

/**
 * A tier of the cache that several processes share. It can save a question, and do no more: a text
 * that does not arrive in time, or that no process of the fleet sealed under this name, is ignored.
 */
export class SharedCache {
  readonly #rules: SharedCacheRules;
  readonly #seals: readonly [Seal, ...Seal[]];
  readonly #breaker: CircuitBreaker;
  /** Why the store or the lock failed last. */
  #failure: unknown;

  constructor(rules: SharedCacheRules, report: ReportProblem) {
    this.#rules = rules;
    const [first = '', ...others] = rules.secret;
    this.#seals = [createSeal(first, 'tokens'), ...others.map((secret) => createSeal(secret, 'tokens'))];
    this.#breaker = new CircuitBreaker(breakerRules, (isOpen) =>
      report(
        isOpen ? 'shared_cache_suspended' : 'shared_cache_resumed',
        isOpen
          ? 'sharedCache.store failed or was too slow 5 times in a row ' +
              `(${describeStoreError(this.#failure)}); it is tried every second`
          : 'sharedCache.store answers again',
      ),
    );
    ignoreRejection(rules.store.on?.('error', () => undefined));
  }

  /** Never rejects. */
  async get(key: string): Promise<SharedAnswer | SharedRejection | undefined> {
    for (const seal of this.#seals) {
      const name = `mtls-bound:token:${seal.nameOf(key)}`;
      const text = seal.open(name, await this.#try(() => this.#rules.store.get(name)));
      if (text !== undefined) {
        return readAnswer(text);
      }
    }
    return undefined;
  }

  /** `maxAge` in seconds. Never rejects. */
  async put(key: string, answer: SharedAnswer | SharedRejection, maxAge: number): Promise<void> {
    const [seal] = this.#seals;
    const name = `mtls-bound:token:${seal.nameOf(key)}`;
    const text = textOf(answer);
    if (text !== undefined) {
      const sealed = seal.seal(name, text);
      await this.#try(() => this.#rules.store.set(name, sealed, Math.ceil(maxAge * 1000)));
    }
  }

  /** Removes an answer, as far as the store can be reached. Never rejects. */
  async remove(key: string): Promise<void> {
    for (const seal of this.#seals) {
      // Nothing opens an empty text, and a millisecond later it is gone.
      await this.#try(() => this.#rules.store.set(`mtls-bound:token:${seal.nameOf(key)}`, '', 1));
    }
  }

  /**
   * Shares a rejection with the processes that wait for the lock of the process that asked. Never
   * rejects.
   */
  async putForLockWaiters(key: string, rejection: SharedRejection): Promise<void> {
    const { lock, lockTimeout } = this.#rules;
    if (lock !== undefined) {
      await this.put(key, rejection, lockTimeout);
    }
  }

  /** Whether a shared rejection is new enough for the processes that waited for the lock. */
  isForLockWaiters({ rejectedAt }: SharedRejection, now: number): boolean {
    return Math.abs(now - rejectedAt) <= this.#rules.lockTimeout * 1000;
  }

  /**
   * Returns what `ask` resolves to in the process that holds the lock. The other processes wait,
   * and return what `look` finds. A process that has waited for `lockTimeout` calls `ask` as well,
   * without the lock.
   * `ask` puts the answer into this cache. Rejects only if `ask` rejects, with the same value.
   */
  async askUnderLock<T>(key: string, look: () => Promise<T | undefined>, ask: () => Promise<T>): Promise<T> {
    const { lock, lockTimeout } = this.#rules;
    if (lock === undefined) {
      return ask();
    }
    const name = `mtls-bound:lock:${this.#seals[0].nameOf(key)}`;
    const deadline = performance.now() + lockTimeout * 1000;
    let wait = FIRST_WAIT;
    while (performance.now() < deadline) {
      const expiry = performance.now() + lockTimeout * 1000;
      const isAcquired = await this.#try(() => lock.acquire(name, lockTimeout * 1000));
      // A store that is away does not keep this process from asking the authorization server.
      if (isAcquired ?? true) {
        return this.#askWithLock(look, ask, () => {
          if (isAcquired !== undefined && performance.now() < expiry) {
            void this.#try(() => lock.release(name));
          }
        });
      }
      await sleep(wait * (1 + Math.random()));
      wait = Math.min(2 * wait, LONGEST_WAIT);
      const found = await look();
      if (found !== undefined) {
        return found;
      }
    }
    return ask();
  }

  async #askWithLock<T>(
    look: () => Promise<T | undefined>,
    ask: () => Promise<T>,
    release: () => void,
  ): Promise<T> {
    try {
      // Another process may have asked before this one had the lock.
      return (await look()) ?? (await ask());
    } finally {
      release();
    }
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await withTimeLimit(this.#rules.timeout, work);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  async #try<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#breaker.run(() => this.#call(work), classifyOutcome);
    } catch {
      return undefined;
    }
  }
}

/**
 * Returns `undefined` for an answer that is not shared because its claims can't be written as JSON: a
 * user's token source may return such claims.
 */
function textOf(answer: SharedAnswer | SharedRejection): string | undefined {
  try {
    return JSON.stringify(answer);
  } catch {
    return undefined;
  }
}

/** A process of the fleet sealed the text, but it may run another version. */
function readAnswer(text: string): SharedAnswer | SharedRejection | undefined {
  const { issuer, claims, askedAt, logReadUpTo, rejection, rejectedAt } = JSON.parse(text) as Partial<
    SharedAnswer & SharedRejection
  >;
  if (rejection !== undefined) {
    const isDated = typeof rejectedAt === 'number';
    return isDated && isTokenRejection(rejection) ? { rejection, rejectedAt } : undefined;
  }
  const isAbout = typeof issuer === 'string' && typeof claims === 'object' && claims !== null;
  return isAbout && typeof askedAt === 'number' ? { issuer, claims, askedAt, logReadUpTo } : undefined;
}

function classifyOutcome(_result: unknown, error: unknown): AttemptOutcome {
  return error === undefined || error instanceof CircuitOpen ? 'answered' : 'failed';
}
