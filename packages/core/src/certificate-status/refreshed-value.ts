import { reasonOfError, type StatusReason } from './status-reason.js';
import { Urgency } from './urgency.js';

export interface RefreshedValueParts<T> {
  /**
   * Fetches the value. Resolves with `previous` itself if nothing is new. Rejects with the reason why there
   * is none. `urgency` says whether a caller of `use()` waits for it.
   */
  readonly ask: (previous: T | undefined, urgency: Urgency) => Promise<T>;
  /** Until when a value can be used, in milliseconds since the epoch. */
  readonly until: (value: T) => number;
  /**
   * Seconds between two attempts at most. A pause is shorter before the value expires, and after failures.
   */
  readonly longestPause: number;
  /** There is another value, or another reason why there is none. */
  readonly onChange: () => void;
  /**
   * For a value that was dropped: when the last attempt to fetch it ended, on the clock of
   * `performance.now()`. For `LEAST_PAUSE` seconds after that attempt the value is not fetched, and
   * `RefreshedValue.failure` returns the given `failure`.
   */
  readonly dropped?: { readonly attemptedAt: number; readonly failure: StatusReason } | undefined;
  /** An attempt failed, for the first time or after a success. */
  readonly onFailure: (why: string) => void;
}

/** A value is not refreshed any more after this many pauses between two refreshes without a use. */
const PAUSES_UNTIL_IDLE = 3;

/**
 * Seconds between two refreshes at least, also of a value that can't be used for as long: its author must not
 * choose how often it is fetched and read.
 */
export const LEAST_PAUSE = 10;

/** Seconds until the second attempt after a failure. Each further one waits twice as long. */
const FIRST_PAUSE = 2;

/** Seconds between two attempts while the fetched value is one that has expired already. */
const PAUSE_WHILE_EXPIRED = 30;

/** A value is refreshed after this part of the validity that it had left at the last attempt. */
const PART_OF_VALIDITY = 0.8;

/**
 * A value that is fetched when it is first needed: all callers share that fetch. Later ones run in the
 * background.
 */
export class RefreshedValue<T> {
  readonly #parts: RefreshedValueParts<T>;
  #value: T | undefined;
  #failure: StatusReason | undefined;
  #failures = 0;
  #underWay: Promise<void> | undefined;
  #urgency = new Urgency(false);
  #timer: NodeJS.Timeout | undefined;
  #attemptedAt = Number.NEGATIVE_INFINITY;
  #usedAt = 0;
  /** On the clock of `performance.now()`. */
  #restsUntil = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(parts: RefreshedValueParts<T>) {
    this.#parts = parts;
    const { dropped } = parts;
    const restsUntil = (dropped?.attemptedAt ?? Number.NEGATIVE_INFINITY) + 1_000 * LEAST_PAUSE;
    if (dropped !== undefined && performance.now() < restsUntil) {
      this.#attemptedAt = dropped.attemptedAt;
      this.#failure = dropped.failure;
      this.#restsUntil = restsUntil;
    }
  }

  /** When the last attempt was over, on the clock of `performance.now()`; now while one is under way. */
  get attemptedAt(): number {
    return this.#underWay === undefined ? this.#attemptedAt : performance.now();
  }

  /** The last value that could be had. */
  get value(): T | undefined {
    return this.#value;
  }

  /** Why the last attempt failed; `undefined` if it did not. */
  get failure(): StatusReason | undefined {
    return this.#failure;
  }

  /**
   * Notes that the value is needed. Returns what to wait for if the value was not fetched yet, or not for a
   * long time. Returns `undefined` otherwise, also if the last attempt failed, and if the value was fetched
   * less than `LEAST_PAUSE` seconds ago and then dropped.
   */
  use(): Promise<void> | undefined {
    const now = performance.now();
    this.#usedAt = now;
    if (this.#isClosed || now < this.#restsUntil) {
      return undefined;
    }
    // A value that was not used for a long time is not refreshed any more, and may be old.
    const isIdle = this.#timer === undefined && this.#underWay === undefined;
    const isOld = now - this.#attemptedAt >= 2_000 * this.#parts.longestPause;
    if (isIdle || isOld) {
      this.#urgency.begin();
      return this.#refresh();
    }
    return undefined;
  }

  /** Refreshes nothing from now on. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #refresh(): Promise<void> {
    this.#underWay ??= this.#attempt().finally(() => {
      this.#underWay = undefined;
      this.#urgency = new Urgency(false);
      this.#attemptedAt = performance.now();
      this.#schedule();
    });
    return this.#underWay;
  }

  async #attempt(): Promise<void> {
    const { ask, onChange, onFailure } = this.#parts;
    const before = { value: this.#value, failure: this.#failure };
    try {
      this.#value = await ask(before.value, this.#urgency);
      this.#failure = undefined;
      this.#failures = 0;
    } catch (error) {
      this.#failure = reasonOfError(error);
      this.#failures += 1;
      if (this.#failures === 1 && !this.#isClosed) {
        onFailure(this.#failure.why);
      }
    }
    if (before.value !== this.#value || before.failure?.why !== this.#failure?.why) {
      onChange();
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isClosed) {
      return;
    }
    const pause = this.#pause();
    const idleAfter = PAUSES_UNTIL_IDLE * (this.#failures > 0 ? this.#parts.longestPause : pause);
    // Up to a tenth earlier by chance: a fleet does not ask at once.
    const earlier = 1 - Math.random() / 10;
    this.#timer = setTimeout(() => this.#onTime(idleAfter), pause * earlier * 1_000);
    this.#timer.unref();
  }

  #onTime(idleAfter: number): void {
    this.#timer = undefined;
    const unused = performance.now() - this.#usedAt;
    if (unused < idleAfter * 1_000) {
      void this.#refresh();
    }
  }

  /** Seconds until the next attempt. */
  #pause(): number {
    const { longestPause, until } = this.#parts;
    if (this.#failures > 0) {
      return Math.min(longestPause, FIRST_PAUSE * 2 ** (this.#failures - 1));
    }
    const left = this.#value === undefined ? 0 : (until(this.#value) - Date.now()) / 1_000;
    const pause = left > 0 ? Math.max(LEAST_PAUSE, left * PART_OF_VALIDITY) : PAUSE_WHILE_EXPIRED;
    return Math.min(longestPause, pause);
  }
}
