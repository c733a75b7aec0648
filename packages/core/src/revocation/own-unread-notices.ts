import { type KnownNotice, nameOf, type RevocationNotice } from './revocations.js';

/** Milliseconds for which a revocation is recent. */
const RECENT = 120_000;

/** Half of the revocations that are remembered at most. */
const MAX_NEWER = 10_000;

/**
 * Remembers revocations that this process wrote into the log and has not read there yet, to write them again
 * after the connection was interrupted. Holds the last one of each name, for at least the 10,000 latest
 * names.
 *
 * Returns only those that are less than two minutes old. A process to which a revocation is new refuses each
 * JWT of this name that it has seen by then, even one that was issued after the revocation.
 */
export class OwnUnreadNotices {
  /** By name. There are two maps, so that neither has to be searched for old revocations. */
  #newer = new Map<string, KnownNotice>();
  #older = new Map<string, KnownNotice>();
  /** When the newer map began, by the monotonic clock. */
  #newerSince = Number.NEGATIVE_INFINITY;
  /** Until when what was forgotten is recent, by the monotonic clock. */
  #lacksUntil = Number.NEGATIVE_INFINITY;

  /** Whether there were too many: some recent ones were forgotten. */
  get hasForgotten(): boolean {
    return performance.now() < this.#lacksUntil;
  }

  add(known: KnownNotice): void {
    const now = performance.now();
    if (now - known.knownSince >= RECENT) {
      return;
    }
    if (now - this.#newerSince >= RECENT) {
      this.#begin(now);
    } else if (this.#newer.size >= MAX_NEWER) {
      this.#lacksUntil = this.#older.size > 0 ? this.#newerSince + RECENT : this.#lacksUntil;
      this.#begin(now);
    }
    const name = nameOf(known.notice.revocation);
    // So that it is the newest, in the order of the map.
    this.#newer.delete(name);
    this.#older.delete(name);
    this.#newer.set(name, known);
  }

  /**
   * This process has read it in the log. A server that lacks it lacks the position up to which this
   * process has read, too: then all that the log lacks is written again.
   */
  markRead({ revocation, id }: RevocationNotice): void {
    if (this.#newer.size + this.#older.size === 0) {
      // This spares making a name for every entry of a long log.
      return;
    }
    const name = nameOf(revocation);
    for (const notices of [this.#newer, this.#older]) {
      if (notices.get(name)?.notice.id === id) {
        notices.delete(name);
      }
    }
  }

  /** From the oldest to the newest. */
  all(): KnownNotice[] {
    const now = performance.now();
    return [...this.#older.values(), ...this.#newer.values()].filter(
      ({ knownSince }) => now - knownSince < RECENT,
    );
  }

  clear(): void {
    this.#newer.clear();
    this.#older.clear();
    this.#lacksUntil = Number.NEGATIVE_INFINITY;
  }

  #begin(now: number): void {
    // After twice that time everything in the map is too old.
    this.#older = now - this.#newerSince < 2 * RECENT ? this.#newer : new Map();
    this.#newer = new Map();
    this.#newerSince = now;
  }
}
