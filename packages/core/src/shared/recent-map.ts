/**
 * Remembers the last `size` different keys or more, at most twice as many. Each call takes the same
 * time, however many there are.
 */
export class RecentMap<K, V> {
  readonly #size: number;
  #newer = new Map<K, V>();
  #older = new Map<K, V>();
  #hasForgotten = false;

  constructor(size: number) {
    this.#size = size;
  }

  /** The oldest key that is remembered for sure; undefined while each key is. */
  get oldest(): K | undefined {
    return this.#hasForgotten ? this.#older.keys().next().value : undefined;
  }

  get(key: K): V | undefined {
    return this.#newer.get(key) ?? this.#older.get(key);
  }

  set(key: K, value: V): void {
    if (this.#newer.size >= this.#size) {
      this.#hasForgotten ||= this.#older.size > 0;
      this.#older = this.#newer;
      this.#newer = new Map();
    }
    this.#newer.set(key, value);
  }

  clear(): void {
    this.#newer.clear();
    this.#older.clear();
    this.#hasForgotten = false;
  }
}
