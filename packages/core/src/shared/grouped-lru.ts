/**
 * Keeps at most `max` values, each of a group. A full one forgets a value of the group that has the most,
 * the one that was not used for longest: a group with fewer values than its equal share loses none to the
 * others. Finding the largest group takes as long as there are groups.
 */
export class GroupedLru<V> {
  readonly #max: number;
  readonly #groupOf: (value: V) => string;
  /** The groups of all keys. */
  readonly #groups = new Map<string, string>();
  /** The values of each group, in the order of their last use. */
  readonly #values = new Map<string, Map<string, V>>();

  constructor(max: number, groupOf: (value: V) => string) {
    this.#max = max;
    this.#groupOf = groupOf;
  }

  /** Returns a value, which counts as a use of it. */
  get(key: string): V | undefined {
    const values = this.#values.get(this.#groups.get(key) ?? '');
    const value = values?.get(key);
    if (value !== undefined) {
      values?.delete(key);
      values?.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.#delete(key);
    const group = this.#groupOf(value);
    const values = this.#values.get(group) ?? new Map<string, V>();
    this.#groups.set(key, group);
    this.#values.set(group, values);
    values.set(key, value);
    if (this.#groups.size > this.#max) {
      this.#deleteOne();
    }
  }

  #deleteOne(): void {
    let most: ReadonlyMap<string, V> | undefined;
    for (const values of this.#values.values()) {
      most = most === undefined || values.size > most.size ? values : most;
    }
    for (const key of most?.keys() ?? []) {
      this.#delete(key);
      return;
    }
  }

  #delete(key: string): void {
    const group = this.#groups.get(key);
    if (group === undefined) {
      return;
    }
    const values = this.#values.get(group);
    this.#groups.delete(key);
    values?.delete(key);
    if (values?.size === 0) {
      this.#values.delete(group);
    }
  }
}
