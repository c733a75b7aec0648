/**
 * Remembers when tokens were last rejected: an answer to a question that was asked before the rejection no
 * longer counts. Times are milliseconds of the monotonic clock. The last `size` tokens or more are
 * remembered, at most twice as many.
 */
export class RejectionTimes {
  readonly #size: number;
  #newer = new Map<string, number>();
  #older = new Map<string, number>();
  /** The last time among the older ones. */
  #olderUntil = Number.NEGATIVE_INFINITY;
  #forgottenUntil = Number.NEGATIVE_INFINITY;

  constructor(size: number) {
    this.#size = size;
  }

  /** Notes that the token was rejected just now. */
  noteRejection(key: string): void {
    const now = performance.now();
    if (this.#newer.size >= this.#size) {
      this.#forgottenUntil = this.#olderUntil;
      this.#older = this.#newer;
      this.#olderUntil = now;
      this.#newer = new Map();
    }
    this.#newer.set(key, now);
  }

  /** Returns when this token was last rejected, `-Infinity` if that is not remembered. */
  rejectedAt(key: string): number {
    return this.#newer.get(key) ?? this.#older.get(key) ?? Number.NEGATIVE_INFINITY;
  }

  /**
   * Returns the last moment at which this token may have been rejected. A token that is not
   * remembered may be one of those that were forgotten, so it gets the last moment of all these.
   */
  latestPossibleRejection(key: string): number {
    return Math.max(this.rejectedAt(key), this.#forgottenUntil);
  }
}
