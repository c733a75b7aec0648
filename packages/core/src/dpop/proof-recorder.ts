import { TellableError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { type AttemptOutcome, CircuitBreaker, CircuitOpen } from '../shared/circuit-breaker.js';
import { describeStoreError } from '../shared/store-error.js';
import { withTimeLimit } from '../shared/time-limit.js';

/**
 * Where the processes of a fleet record which proofs were used, so that each counts once in all.
 */
export interface ProofStore {
  /**
   * Adds a name in one step, and keeps it for `ttl` milliseconds. Resolves with `true` if the store
   * did not have the name, with `false` if it did.
   */
  add(name: string, ttl: number): Promise<boolean>;
}

const breakerRules = { maxFailures: 5, probeInterval: 1 };

/**
 * Calls of the store that may be unanswered at once: 18 MB in a Redis client. A client keeps each
 * command until Redis answers, however long the request waits.
 */
const MAX_UNANSWERED = 5_000;

/** Seconds between two attempts while the store is away and that many calls are unanswered. */
const LONG_INTERVAL = 10;

/** Why a store did not record a proof. */
interface StoreFailure {
  /** For the operator. */
  readonly detail: string;
  readonly cause: unknown;
}

/**
 * Records used proofs in a store. After some failures in a row the store counts as away: one call at
 * a time tries it from time to time, and no other is made.
 */
export class ProofRecorder {
  readonly #store: ProofStore;
  readonly #timeout: number;
  readonly #maxUnanswered: number;
  readonly #breaker: CircuitBreaker;
  #isAway = false;
  /** Why the store failed last. */
  #failure: unknown;
  /** The calls since the store was away last: that it answers again shows that earlier ones are lost. */
  #calls = { unanswered: 0 };

  /** @param timeout seconds that the store may take to answer */
  constructor(store: ProofStore, timeout: number, report: ReportProblem, maxUnanswered = MAX_UNANSWERED) {
    this.#store = store;
    this.#timeout = timeout;
    this.#maxUnanswered = maxUnanswered;
    this.#breaker = new CircuitBreaker(breakerRules, (isOpen) => {
      this.#isAway = isOpen;
      if (isOpen) {
        const why = describeStoreError(this.#failure);
        report(
          'dpop_store_suspended',
          `dpop.store failed or was too slow 5 times in a row (${why}); it is tried every second`,
        );
      } else {
        this.#calls = { unanswered: 0 };
        report('dpop_store_resumed', 'dpop.store answers again');
      }
    });
  }

  /** Throws while the store is away and `add()` would not try it. */
  checkNotAway(): void {
    this.#breaker.check();
  }

  /**
   * Resolves with what `add()` of the store resolves to. Rejects if the store fails or does not answer
   * in time, and at once while it is away.
   */
  add(name: string, ttl: number): Promise<unknown> {
    return this.#breaker.run(
      () => this.#call(name, ttl),
      (_result, error) => this.#classify(error),
    );
  }

  /** Says why `add()` rejected, or `checkNotAway()` threw. */
  explain(error: unknown): StoreFailure {
    if (!(error instanceof CircuitOpen)) {
      return { detail: describeStoreError(error), cause: error };
    }
    const cause = this.#failure;
    return { detail: `${error.message}; the last failure: ${describeStoreError(cause)}`, cause };
  }

  async #call(name: string, ttl: number): Promise<unknown> {
    const calls = this.#calls;
    const add = async (): Promise<unknown> => {
      try {
        return await this.#store.add(name, ttl);
      } finally {
        calls.unanswered -= 1;
      }
    };
    try {
      // While the store is away, this call is the one that tries it.
      if (this.#isFull && !this.#isAway) {
        throw new TellableError(`${this.#maxUnanswered} calls of add() are unanswered`);
      }
      calls.unanswered += 1;
      return await withTimeLimit(this.#timeout, add);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  get #isFull(): boolean {
    return this.#calls.unanswered >= this.#maxUnanswered;
  }

  #classify(error: unknown): AttemptOutcome {
    if (error === undefined) {
      return 'answered';
    }
    return this.#isFull ? { restFor: LONG_INTERVAL } : 'failed';
  }
}
