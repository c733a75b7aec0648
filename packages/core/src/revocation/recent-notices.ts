import type { KnownNotice, RevocationNotice } from './revocations.js';

/** Milliseconds. */
const RECENT = 60_000;

/**
 * Remembers what this process revoked within the last two minutes. Nothing older is given: a process
 * that did not know of it refuses each token that it has seen since.
 */
export class RecentNotices {
  /** Two lists, so that none has to be searched for what is old. */
  #newer: KnownNotice[] = [];
  #older: KnownNotice[] = [];
  /** When the newer list began, by the monotonic clock. */
  #newerSince = Number.NEGATIVE_INFINITY;

  add(notice: RevocationNotice): void {
    const knownSince = performance.now();
    this.#forgetOld(knownSince);
    this.#newer.push({ notice, knownSince });
  }

  /** From the oldest to the newest. */
  all(): KnownNotice[] {
    const now = performance.now();
    this.#forgetOld(now);
    return [...this.#older, ...this.#newer].filter(({ knownSince }) => now - knownSince < 2 * RECENT);
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
