/** What an `ExpiringMap` keeps. */
export interface Expiring {
  /** The last moment for which it is kept: milliseconds of the monotonic clock. The map sets it. */
  until: number;
}

/** A full map forgets this share at once: to find the oldest value takes as long as to forget many. */
const SHARE = 0.01;

/** Milliseconds after which a map frees what expired, though no call reaches it. */
const FREEING_INTERVAL = 60_000;

/** Keeps a value for `maxAge` milliseconds, and at most `max` values. The map forgets the oldest value first. */
export class ExpiringMap<V extends Expiring> {
  readonly #max: number;
  readonly #maxAge: number;
  /** From the oldest to the newest. */
  readonly #values = new Map<string, V>();
  #freeing: NodeJS.Timeout | undefined;

  constructor(max: number, maxAge: number) {
    this.#max = max;
    this.#maxAge = maxAge;
  }

  /** How many values are in memory. */
  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    const value = this.#values.get(key);
    // Most keys are not there: they do not even cost a look at the clock.
    return value !== undefined && performance.now() <= value.until ? value : undefined;
  }

  /** Keeps the value for `maxAge` from now on, also if the map has the key. */
  set(key: string, value: V): void {
    // A whole number takes half the memory of a fraction.
    value.until = Math.ceil(performance.now() + this.#maxAge);
    this.#values.delete(key);
    this.#values.set(key, value);
    if (this.#values.size > this.#max) {
      this.#free(this.#max - Math.floor(this.#max * SHARE));
    }
    this.#freeLater();
  }

  /** From the oldest to the newest. */
  entries(): [string, V][] {
    this.#free();
    return [...this.#values];
  }

  #free(max = this.#max): void {
    const now = performance.now();
    for (const [key, { until }] of this.#values) {
      if (now <= until && this.#values.size <= max) {
        return;
      }
      this.#values.delete(key);
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
