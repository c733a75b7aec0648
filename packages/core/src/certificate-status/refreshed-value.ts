import { reasonOfError, type StatusReason } from './status-reason.js';
import { Urgency } from './urgency.js';

export interface RefreshedValueParts<T> {
  /**
   * Asks for the value. Resolves with `previous` itself if nothing is new. Rejects with why there is
   * none. It is urgent if a caller of `use()` waits for it.
   */
  readonly ask: (previous: T | undefined, urgency: Urgency) => Promise<T>;
  /** Until when a value can be used, in milliseconds since the epoch. */
  readonly until: (value: T) => number;
  /** Seconds between two attempts. */
  readonly interval: number;
  /** There is another value, or another reason why there is none. */
  readonly onChange: () => void;
  /**
   * When the last attempt for this value was over, on the clock of `performance.now()`, if it was dropped,
   * and why there is none until the next one, which does not follow within `LEAST_PAUSE`.
   */
  readonly dropped?: { readonly attemptedAt: number; readonly failure: StatusReason } | undefined;
  /** An attempt failed, for the first time or after a success. */
  readonly onFailure: (why: string) => void;
}

/** A value that is used no more is not refreshed after so many of the times between two refreshes. */
const PAUSES_UNTIL_IDLE = 3;

/**
 * Seconds between two refreshes at least, also of a value that can't be used for as long: its author must not
 * choose how often it is fetched and read.
 */
export const LEAST_PAUSE = 10;

/** Seconds until the second attempt after a failure. Each further one waits twice as long. */
const FIRST_PAUSE = 2;

/** Seconds between two attempts while the value that is offered is one that can't be used any more. */
const PAUSE_WHILE_EXPIRED = 30;

/** A value is refreshed when this part of the time is over that remains until it can't be used. */
const PART_OF_VALIDITY = 0.8;

/** A value that is fetched once by all who need it first, and then again in the background. */
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
   * Notes that the value is needed. Returns what to wait for if it was never asked for, or not for
   * long; `undefined` otherwise, also if the last attempt failed, or was just before it was dropped.
   */
  use(): Promise<void> | undefined {
    const now = performance.now();
    this.#usedAt = now;
    if (this.#isClosed || now < this.#restsUntil) {
      return undefined;
    }
    // One that was not used for long is not refreshed any more, and may be old.
    const isIdle = this.#timer === undefined && this.#underWay === undefined;
    const isOld = now - this.#attemptedAt >= 2_000 * this.#parts.interval;
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
    const idleAfter = PAUSES_UNTIL_IDLE * (this.#failures > 0 ? this.#parts.interval : pause);
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
    const { interval, until } = this.#parts;
    if (this.#failures > 0) {
      return Math.min(interval, FIRST_PAUSE * 2 ** (this.#failures - 1));
    }
    const left = this.#value === undefined ? 0 : (until(this.#value) - Date.now()) / 1_000;
    const pause = left > 0 ? Math.max(LEAST_PAUSE, left * PART_OF_VALIDITY) : PAUSE_WHILE_EXPIRED;
    return Math.min(interval, pause);
  }
}
