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
 * The limit of calls of the store that are waited for, together with those of the last minute that were given
 * up and are unanswered. They take up to 18 MB in a Redis client, which keeps a command until Redis answers.
 */
const MAX_UNANSWERED = 5_000;

/**
 * The limit of calls that are waited for, together with those of the last hour that were given up and are
 * unanswered: this many times the other limit. They take up to 72 MB. `ROOM_SHARE` and `TRIAL_INTERVAL` add
 * up to 12 MB within an hour.
 */
const MAX_MINUTES = 4;

/** The part of the limit for which an answer makes room, once a minute: 50 calls. */
const ROOM_SHARE = 0.01;

/** Milliseconds after which a call that was given up counts for the limit of an hour alone. */
const LOST_AFTER = 60_000;

/** Milliseconds after which a call that was given up is forgotten. */
const FORGOTTEN_AFTER = 3_600_000;

/** Milliseconds between two calls while as many as the limit are unanswered. */
const TRIAL_INTERVAL = 10_000;

/**
 * Milliseconds after which as many unanswered calls as the limit are no burst of one client, but a failure.
 */
const STALLED_AFTER = 10_000;

/**
 * Milliseconds that a stalled store must leave room, and answer, to count as one that works. A store that
 * still leaves too many calls unanswered takes the room of a minute within that time.
 */
const WORKS_AFTER = 60_000;

/** Thrown in place of a call while this process waits for too many. It says nothing about the store. */
class TooManyCalls extends TellableError {}

/** Thrown for a call without an answer in time, if the store answered another one meanwhile. */
class SlowCall extends TellableError {}

/** Thrown in place of a call while too many have stayed unanswered for long. */
class StalledStore extends TellableError {}

/** Whether an error means that the store failed, rather than that this process was busy. */
function isStoreFault(error: unknown): boolean {
  return !(error instanceof TooManyCalls || error instanceof SlowCall);
}

/** A call that was given up. */
interface OverdueCall {
  /** When it began. */
  readonly since: number;
}

/** Why a store did not record a proof. */
interface StoreFailure {
  /** For the operator. */
  readonly detail: string;
  readonly cause: unknown;
  /** Whether the store failed. If not, this process was busy, and no proof may be accepted for that. */
  readonly isStoreFault: boolean;
}

/**
 * Records used proofs in a store. After some failures in a row the store counts as unavailable for all
 * clients: one call at a time tries it from time to time, and no other is made. Calls that are only delayed
 * by a burst of one client are no failures of the store.
 */
export class ProofRecorder {
  readonly #store: ProofStore;
  readonly #timeout: number;
  readonly #report: ReportProblem;
  readonly #maxUnanswered: number;
  readonly #breaker: CircuitBreaker;
  /** Why the store failed last. */
  #failure: unknown;
  /** The calls that are waited for. */
  #waiting = 0;
  /** The calls of the last minute that were given up and are unanswered, the oldest first. */
  readonly #overdue = new Set<OverdueCall>();
  /** The calls that were given up and are unanswered, from more than a minute and less than an hour ago. */
  readonly #lost = new Set<OverdueCall>();
  /** Since when too many calls are unanswered. Times by the monotonic clock, in milliseconds. */
  #fullSince: number | undefined;
  /** When too many calls were unanswered last. */
  #lastFull = Number.NEGATIVE_INFINITY;
  /** Whether too many calls were unanswered for long, and the store does not work again yet. */
  #isStalled = false;
  /** Whether the breaker is open. */
  #hasFailed = false;
  /** Whether the last report was `dpop_store_suspended`. */
  #isSuspended = false;
  /** When the store answered last in time. */
  #lastAnswer = Number.NEGATIVE_INFINITY;
  /** When lost calls were forgotten to make room for further calls. */
  #madeRoomAt = Number.NEGATIVE_INFINITY;
  /** When the store may be tried next while too many calls are unanswered. */
  #nextTrial = Number.NEGATIVE_INFINITY;

  /** @param timeout seconds that the store may take to answer */
  constructor(store: ProofStore, timeout: number, report: ReportProblem, maxUnanswered = MAX_UNANSWERED) {
    this.#store = store;
    this.#timeout = timeout;
    this.#report = report;
    this.#maxUnanswered = maxUnanswered;
    this.#breaker = new CircuitBreaker(breakerRules, (isOpen) => {
      this.#hasFailed = isOpen;
      this.#reportChange(
        `dpop.store failed or was too slow 5 times in a row (${describeStoreError(this.#failure)}); it is ` +
          `tried every second, or every ${TRIAL_INTERVAL / 1000} seconds while ${maxUnanswered} calls of ` +
          'add() are unanswered',
      );
    });
  }

  /** Throws if `add()` would not ask the store now. */
  throwIfItWouldNotAsk(): void {
    this.#breaker.check();
    this.#checkLimits();
  }

  /**
   * Resolves with what `add()` of the store resolves to. Rejects if the store fails or does not answer
   * in time, and at once while it is unavailable or too many calls are unanswered.
   */
  add(name: string, ttl: number): Promise<unknown> {
    return this.#breaker.run(
      () => this.#call(name, ttl),
      (_result, error) => {
        if (error === undefined) {
          return 'answered';
        }
        return isStoreFault(error) && !(error instanceof StalledStore) ? 'failed' : 'inconclusive';
      },
    );
  }

  /** Says why `add()` rejected, or `throwIfItWouldNotAsk()` threw. */
  explain(error: unknown): StoreFailure {
    if (!(error instanceof CircuitOpen)) {
      return { detail: describeStoreError(error), cause: error, isStoreFault: isStoreFault(error) };
    }
    const cause = this.#failure;
    const detail = `${error.message}; the last failure: ${describeStoreError(cause)}`;
    return { detail, cause, isStoreFault: true };
  }

  async #call(name: string, ttl: number): Promise<unknown> {
    this.#checkLimits();
    try {
      return await this.#ask(name, ttl);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  async #ask(name: string, ttl: number): Promise<unknown> {
    const began = performance.now();
    const call: OverdueCall = { since: began };
    let isSettled = false;
    let isGivenUp = false;
    const add = async (): Promise<unknown> => {
      try {
        const isNew = await this.#store.add(name, ttl);
        if (!isGivenUp) {
          this.#lastAnswer = performance.now();
        }
        return isNew;
      } finally {
        isSettled = true;
        this.#overdue.delete(call);
        this.#lost.delete(call);
      }
    };
    this.#waiting += 1;
    this.#delayTrial();
    try {
      const isNew = await withTimeLimit(this.#timeout, add);
      this.#makeRoom();
      return isNew;
    } catch (error) {
      if (isSettled) {
        throw error;
      }
      isGivenUp = true;
      this.#overdue.add(call);
      this.#delayTrial();
      throw this.#lastAnswer >= began ? new SlowCall(describeStoreError(error)) : error;
    } finally {
      this.#waiting -= 1;
    }
  }

  get #unanswered(): number {
    return this.#waiting + this.#overdue.size + this.#lost.size;
  }

  /** How many calls may be waited for; 0 or less if too many are unanswered. */
  get #room(): number {
    const { size } = this.#overdue;
    return Math.min(this.#maxUnanswered - size, this.#maxUnanswered * MAX_MINUTES - size - this.#lost.size);
  }

  /**
   * Forgets the oldest lost calls, once a minute while the limit of an hour has less room than a minute may
   * need. So a store that works again gets more calls at once each minute. A store that hangs in part leaves
   * few more unanswered.
   */
  #makeRoom(): void {
    const now = performance.now();
    const excess = this.#overdue.size + this.#lost.size - this.#maxUnanswered * MAX_MINUTES;
    if (excess <= -this.#maxUnanswered || now - this.#madeRoomAt < LOST_AFTER) {
      return;
    }
    this.#madeRoomAt = now;
    const count = Math.max(excess, 0) + Math.ceil(this.#maxUnanswered * ROOM_SHARE);
    for (const call of [...this.#lost].slice(0, count)) {
      this.#lost.delete(call);
    }
  }

  /** Sets the next trial to `TRIAL_INTERVAL` after the last call that was made or given up. */
  #delayTrial(): void {
    this.#nextTrial = performance.now() + TRIAL_INTERVAL;
  }

  #checkLimits(): void {
    if (this.#waiting >= this.#maxUnanswered) {
      throw new TooManyCalls(`this process waits for ${this.#waiting} answers already`);
    }
    const now = performance.now();
    for (const call of takeOlder(this.#overdue, now - LOST_AFTER)) {
      this.#lost.add(call);
    }
    takeOlder(this.#lost, now - FORGOTTEN_AFTER);
    const room = this.#room;
    this.#checkStalled(now, room <= 0);
    const isTrial = room <= 0 && now >= this.#nextTrial;
    if (this.#waiting >= room && !isTrial) {
      const what = `${this.#unanswered} calls of add() are unanswered`;
      throw this.#isStalled ? new StalledStore(what) : new TooManyCalls(what);
    }
  }

  #checkStalled(now: number, isFull: boolean): void {
    if (isFull) {
      this.#fullSince ??= now;
      this.#lastFull = now;
      this.#isStalled ||= now - this.#fullSince >= STALLED_AFTER;
    } else {
      this.#fullSince = undefined;
      this.#isStalled &&= this.#lastAnswer - this.#lastFull < WORKS_AFTER;
    }
    this.#reportChange(
      `dpop.store leaves ${this.#unanswered} calls of add() unanswered; ` +
        `it is tried every ${TRIAL_INTERVAL / 1000} seconds`,
    );
  }

  /** @param why why the store is suspended now, if it is */
  #reportChange(why: string): void {
    const isSuspended = this.#hasFailed || this.#isStalled;
    if (isSuspended === this.#isSuspended) {
      return;
    }
    this.#isSuspended = isSuspended;
    if (isSuspended) {
      this.#report('dpop_store_suspended', why);
    } else {
      this.#report('dpop_store_resumed', 'dpop.store answers again');
    }
  }
}

/** Removes and returns the calls that began before a moment. The oldest calls come first. */
function takeOlder(calls: Set<OverdueCall>, before: number): OverdueCall[] {
  const taken: OverdueCall[] = [];
  for (const call of calls) {
    if (call.since > before) {
      break;
    }
    calls.delete(call);
    taken.push(call);
  }
  return taken;
}
