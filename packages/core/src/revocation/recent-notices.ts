import type { RevocationNotice } from './revocations.js';

/** Milliseconds. */
const RECENT = 60_000;

interface Dated {
  readonly notice: RevocationNotice;
  /** When this process revoked it, by the monotonic clock. */
  readonly revokedAt: number;
}

/**
 * Remembers what this process revoked within the last two minutes. Nothing older is given: what is
 * written into the log again counts as revoked just now, and refuses tokens that were issued since.
 */
export class RecentNotices {
  /** Two lists, so that none has to be searched for what is old. */
  #newer: Dated[] = [];
  #older: Dated[] = [];
  /** When the newer list began, by the monotonic clock. */
  #newerSince = Number.NEGATIVE_INFINITY;

  add(notice: RevocationNotice): void {
    const revokedAt = performance.now();
    this.#forgetOld(revokedAt);
    this.#newer.push({ notice, revokedAt });
  }

  /** From the oldest to the newest. */
  all(): RevocationNotice[] {
    const now = performance.now();
    this.#forgetOld(now);
    return [...this.#older, ...this.#newer]
      .filter(({ revokedAt }) => now - revokedAt < 2 * RECENT)
      .map(({ notice }) => notice);
  }

  #forgetOld(now: number): void {
    const age = now - this.#newerSince;
    if (age >= RECENT) {
      this.#older = age < 3 * RECENT ? this.#newer : [];
      this.#newer = [];
      this.#newerSince = now;
    }
  }
}
