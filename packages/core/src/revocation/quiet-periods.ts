import { QUIET_TIME } from './log-timing.js';

/** A time without entries, by the clocks of the writers, in milliseconds since the epoch. */
interface QuietPeriod {
  readonly from: number;
  readonly to: number;
}

/**
 * The times without entries that no process is known to have read the log through: the fleet was
 * down, or entries were lost.
 */
export class QuietPeriods {
  #periods: QuietPeriod[] = [];

  /** Notes the time between an entry and the next one, if it is too long for a fleet that runs. */
  noteBetween(from: number, to: number): void {
    if (to - from > QUIET_TIME) {
      this.#periods.push({ from, to });
    }
  }

  /** A process says that it has read the log since this moment: a period that began later does not count. */
  noteSyncedSince(syncedSince: number): void {
    if (this.#periods.length > 0) {
      this.#periods = this.#periods.filter(({ from }) => from < syncedSince);
    }
  }

  /**
   * Until when the log was quiet last, or 0, and forgets all periods.
   *
   * @param newestAt when the newest entry was written
   */
  takeLastEnd(newestAt: number): number {
    this.noteBetween(newestAt, Date.now());
    const end = Math.max(0, ...this.#periods.map(({ to }) => to));
    this.#periods = [];
    return end;
  }
}
