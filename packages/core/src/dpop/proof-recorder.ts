import { TellableError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { CircuitBreaker, CircuitOpen } from '../shared/circuit-breaker.js';
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
 * Calls of the store that may be waited for at once, and calls that may be unanswered after they were
 * given up: each 18 MB in a Redis client, which keeps a command until Redis answers.
 */
const MAX_UNANSWERED = 5_000;

/** Milliseconds after which a call that was given up counts as lost. */
const LOST_AFTER = 60_000;

/** Milliseconds between two calls while that many are unanswered. */
const TRIAL_INTERVAL = 10_000;

/** Milliseconds after its last answer in time for which a store counts as one that answers. */
const ANSWERS_LATELY = 30_000;

/** Thrown in place of a call while this process waits for too many. It says nothing of the store. */
class TooManyCalls extends TellableError {}

/** Thrown for a call without an answer in time, if the store answered another one meanwhile. */
class SlowCall extends TellableError {}

function isOfStore(error: unknown): boolean {
  return !(error instanceof TooManyCalls || error instanceof SlowCall);
}

/** Why a store did not record a proof. */
interface StoreFailure {
  /** For the operator. */
  readonly detail: string;
  readonly cause: unknown;
  /** Whether the store failed. If not, this process was busy, and no proof may be accepted for that. */
  readonly isOfStore: boolean;
}

/**
 * Records used proofs in a store. After some failures in a row the store counts as away: one call at
 * a time tries it from time to time, and no other is made. Calls that a burst of one client delays are
 * no failures of the store, which is away for all clients.
 */
export class ProofRecorder {
  readonly #store: ProofStore;
  readonly #timeout: number;
  readonly #maxUnanswered: number;
  readonly #breaker: CircuitBreaker;
  /** Why the store failed last. */
  #failure: unknown;
  /** The calls that are waited for. */
  #waiting = 0;
  /** The calls that were given up and are unanswered, the oldest first. Milliseconds. */
  readonly #overdue = new Set<{ readonly since: number }>();
  /** When the store answered last in time, by the monotonic clock. */
  #lastAnswer = Number.NEGATIVE_INFINITY;
  /** When the store may be tried next while too many calls are unanswered. */
  #nextTrial = Number.NEGATIVE_INFINITY;

  /** @param timeout seconds that the store may take to answer */
  constructor(store: ProofStore, timeout: number, report: ReportProblem, maxUnanswered = MAX_UNANSWERED) {
    this.#store = store;
    this.#timeout = timeout;
    this.#maxUnanswered = maxUnanswered;
    this.#breaker = new CircuitBreaker(breakerRules, (isOpen) => {
      if (isOpen) {
        const why = describeStoreError(this.#failure);
        report(
          'dpop_store_suspended',
          `dpop.store failed or was too slow 5 times in a row (${why}); it is tried every second, or every ` +
            `${TRIAL_INTERVAL / 1000} seconds while ${maxUnanswered} calls of add() are unanswered`,
        );
      } else {
        report('dpop_store_resumed', 'dpop.store answers again');
      }
    });
  }

  /** Throws if `add()` would not ask the store now. */
  checkAsks(): void {
    this.#breaker.check();
    this.#checkLimits();
  }

  /**
   * Resolves with what `add()` of the store resolves to. Rejects if the store fails or does not answer
   * in time, and at once while it is away or too many calls are unanswered.
   */
  add(name: string, ttl: number): Promise<unknown> {
    return this.#breaker.run(
      () => this.#call(name, ttl),
      (_result, error) => {
        if (error === undefined) {
          return 'answered';
        }
        return isOfStore(error) ? 'failed' : 'inconclusive';
      },
    );
  }

  /** Says why `add()` rejected, or `checkAsks()` threw. */
  explain(error: unknown): StoreFailure {
    if (!(error instanceof CircuitOpen)) {
      return { detail: describeStoreError(error), cause: error, isOfStore: isOfStore(error) };
    }
    const cause = this.#failure;
    const detail = `${error.message}; the last failure: ${describeStoreError(cause)}`;
    return { detail, cause, isOfStore: true };
  }

  async #call(name: string, ttl: number): Promise<unknown> {
    try {
      this.#checkLimits();
      return await this.#ask(name, ttl);
    } catch (error) {
      if (!(error instanceof TooManyCalls)) {
        this.#failure = error;
      }
      throw error;
    }
  }

  async #ask(name: string, ttl: number): Promise<unknown> {
    const began = performance.now();
    let isSettled = false;
    const overdue = { since: began };
    const add = async (): Promise<unknown> => {
      try {
        const isNew = await this.#store.add(name, ttl);
        if (!this.#overdue.has(overdue)) {
          this.#lastAnswer = performance.now();
        }
        return isNew;
      } finally {
        isSettled = true;
        this.#overdue.delete(overdue);
      }
    };
    this.#waiting += 1;
    this.#delayTrial();
    try {
      return await withTimeLimit(this.#timeout, add);
    } catch (error) {
      if (isSettled) {
        throw error;
      }
      this.#overdue.add(overdue);
      this.#delayTrial();
      throw this.#lastAnswer >= began ? new SlowCall(describeStoreError(error)) : error;
    } finally {
      this.#waiting -= 1;
    }
  }

  #delayTrial(): void {
    if (this.#overdue.size >= this.#maxUnanswered) {
      this.#nextTrial = performance.now() + TRIAL_INTERVAL;
    }
  }

  #checkLimits(): void {
    if (this.#waiting >= this.#maxUnanswered) {
      throw new TooManyCalls(`this process waits for ${this.#waiting} answers already`);
    }
    for (const call of this.#overdue) {
      if (performance.now() - call.since < LOST_AFTER) {
        break;
      }
      this.#overdue.delete(call);
    }
    const now = performance.now();
    if (this.#overdue.size >= this.#maxUnanswered && now < this.#nextTrial) {
      const what = `${this.#overdue.size} calls of add() are unanswered`;
      throw now - this.#lastAnswer < ANSWERS_LATELY ? new TooManyCalls(what) : new TellableError(what);
    }
  }
}
