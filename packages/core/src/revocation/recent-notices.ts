import type { RevocationNotice } from './revocations.js';

/** Milliseconds. */
const RECENT = 60_000;

/** Remembers what this process revoked within the last minute, and at most the minute before. */
export class RecentNotices {
  /** Two lists, so that none has to be searched for what is old. */
  #newer: RevocationNotice[] = [];
  #older: RevocationNotice[] = [];
  /** When the newer list began, by the monotonic clock. */
  #newerSince = Number.NEGATIVE_INFINITY;

  add(notice: RevocationNotice): void {
    const now = performance.now();
    if (now - this.#newerSince >= RECENT) {
      this.#older = this.#newer;
      this.#newer = [];
      this.#newerSince = now;
    }
    this.#newer.push(notice);
  }

  /** From the oldest to the newest. */
  all(): RevocationNotice[] {
    return [...this.#older, ...this.#newer];
  }
}
