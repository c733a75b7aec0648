import { QUIET_TIME } from './log-timing.js';

/** Milliseconds. A process that ended a quiet period so lately may still join, and then reports it. */
const JOIN_TIME = 10_000;

/** A time without entries, by the clocks of the writers, in milliseconds since the epoch. */
export interface QuietPeriod {
  readonly from: number;
  readonly to: number;
  /** Whether another process has reported the period, or will. */
  readonly isReported: boolean;
}

/**
 * The times without entries during which no process is known to have been reading the log: the fleet was
 * down, or entries were lost.
 */
export class QuietPeriods {
  #periods: QuietPeriod[] = [];

  /**
   * Notes the time between an entry and the next one, if it is too long for a fleet that runs.
   *
   * @param isOwn whether this process wrote the entry that ended the period
   */
  noteBetween(from: number, to: number, isOwn: boolean): void {
    if (to - from > QUIET_TIME) {
      this.#periods.push({ from, to, isReported: !isOwn && Date.now() - to < JOIN_TIME });
    }
  }

  /**
   * Notes a statement of a process: it has read the log since this moment without a break. Forgets the
   * periods that began later, as that process ran in them and read the log. A period that ended before the
   * moment counts as reported: that process found it when it joined.
   */
  noteSyncedSince(syncedSince: number): void {
    if (this.#periods.length > 0) {
      this.#periods = this.#periods
        .filter(({ from }) => from < syncedSince)
        .map((period) => (period.to <= syncedSince ? { ...period, isReported: true } : period));
    }
  }

  /**
   * The end of the last period plus `QUIET_TIME`, in milliseconds since the epoch; 0 without a period.
   *
   * A running process attests since which moment it knows all revocations. If that moment is not later than
   * this one, the quiet period is the reason for it. If it is later, entries were lost. `QUIET_TIME` is added
   * because processes do not all read the log again at once when Redis is back.
   */
  get explainsUntil(): number {
    const end = this.#lastOf(this.#periods)?.to;
    return end === undefined ? 0 : end + QUIET_TIME;
  }

  /**
   * Returns the period that ended last, if any, and forgets all of them.
   *
   * @param newestAt when the newest entry was written
   */
  takeLast(newestAt: number): QuietPeriod | undefined {
    this.noteBetween(newestAt, Date.now(), true);
    const last = this.#lastOf(this.#periods);
    this.#periods = [];
    return last;
  }

  #lastOf(periods: readonly QuietPeriod[]): QuietPeriod | undefined {
    return periods.reduce<QuietPeriod | undefined>(
      (last, period) => (last !== undefined && last.to >= period.to ? last : period),
      undefined,
    );
  }
}
