/** What an `ExpiringMap` keeps. */
export interface Expiring {
  /** The last moment for which it is kept: milliseconds of the monotonic clock. The map sets it. */
  until: number;
}

/** How keys are divided into groups, which share the capacity of the map. */
export interface Grouping<V> {
  readonly groupOf: (key: string) => string;
  /**
   * Called when the map was full and has forgotten values of a group too early. The values come from the
   * oldest to the newest.
   */
  readonly onForgotten: (group: string, values: readonly V[]) => void;
}

/**
 * A full map forgets this share of a group at once: to find the oldest value takes as long as to
 * forget many.
 */
const SHARE = 0.01;

/** Milliseconds after which a map frees expired values, also without a call. */
const FREEING_INTERVAL = 60_000;

/**
 * Keeps a value for `maxAgeMs` milliseconds, and at most `max` values. A full map forgets the oldest
 * values of the group that has the most: a group with fewer values than its equal share of the map
 * loses none to the others.
 */
export class ExpiringMap<V extends Expiring> {
  readonly #max: number;
  readonly #maxAgeMs: number;
  /** From the oldest to the newest. */
  readonly #values = new Map<string, V>();
  /** How many values each group has. */
  readonly #counts = new Map<string, number>();
  readonly #grouping: Grouping<V>;
  #freeing: NodeJS.Timeout | undefined;

  constructor(max: number, maxAgeMs: number, grouping: Grouping<V>) {
    this.#max = max;
    this.#maxAgeMs = maxAgeMs;
    this.#grouping = grouping;
  }

  /** How many values are in memory. */
  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    const value = this.#values.get(key);
    // Most keys are not there: they do not even cost a look at the clock.
    return value !== undefined && !hasEnded(value, performance.now()) ? value : undefined;
  }

  /**
   * Keeps the value for `maxAgeMs` milliseconds, also if the map has the key, or until its `until` if
   * that is later.
   *
   * @param ageMs for how many of these milliseconds the value was kept elsewhere
   */
  set(key: string, value: V, ageMs = 0): void {
    // A whole number takes half the memory of a fraction.
    value.until = Math.max(value.until, Math.ceil(performance.now() - ageMs + this.#maxAgeMs));
    this.#delete(key);
    this.#values.set(key, value);
    const group = this.#grouping.groupOf(key);
    this.#counts.set(group, (this.#counts.get(group) ?? 0) + 1);
    if (this.#values.size > this.#max) {
      this.#free();
    }
    if (this.#values.size > this.#max) {
      this.#forget();
    }
    this.#freeLater();
  }

  /** From the oldest to the newest. */
  entries(): [string, V][] {
    this.#free();
    const now = performance.now();
    // A value that was kept elsewhere before may expire earlier than values in front of it.
    return [...this.#values].filter(([, value]) => !hasEnded(value, now));
  }

  #free(): void {
    const now = performance.now();
    for (const [key, value] of this.#values) {
      if (!hasEnded(value, now)) {
        return;
      }
      this.#delete(key);
    }
  }

  #forget(): void {
    const [[largest = '', count = 0] = []] = [...this.#counts].sort(([, one], [, other]) => other - one);
    const most = Math.ceil(count * SHARE);
    const forgotten: V[] = [];
    for (const [key, value] of this.#values) {
      if (this.#grouping.groupOf(key) === largest) {
        this.#delete(key);
        if (forgotten.push(value) >= most) {
          break;
        }
      }
    }
    this.#grouping.onForgotten(largest, forgotten);
  }

  #delete(key: string): void {
    if (this.#values.delete(key)) {
      const group = this.#grouping.groupOf(key);
      const left = (this.#counts.get(group) ?? 0) - 1;
      if (left > 0) {
        this.#counts.set(group, left);
      } else {
        this.#counts.delete(group);
      }
    }
  }

  #freeLater(): void {
    if (this.#freeing === undefined && this.#values.size > 0) {
      // The timer keeps neither the process running nor the map in memory.
      const map = new WeakRef(this);
      this.#freeing = setTimeout(() => {
        const found = map.deref();
        if (found !== undefined) {
          found.#freeing = undefined;
          found.#free();
          found.#freeLater();
        }
      }, FREEING_INTERVAL).unref();
    }
  }
}

/** Returns false if a clock gave no number, so that nothing is forgotten too early. */
function hasEnded({ until }: Expiring, now: number): boolean {
  return now > until;
}
