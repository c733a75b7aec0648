/** The group of a value, and a smaller one within it. */
export interface GroupNames {
  readonly outer: string;
  readonly inner: string;
}

/** The values of an inner group, in the order of their last use. */
interface Group<V> {
  readonly names: GroupNames;
  readonly values: Map<string, V>;
}

interface OuterGroup<V> {
  count: number;
  readonly groups: Map<string, Group<V>>;
}

/**
 * Keeps at most `max` values, each of a group within another one. A full one forgets the value that was not
 * used for longest, of the largest inner group in the largest outer group. A group with fewer values than its
 * equal share loses none to other groups, however many inner groups these have. The time to find the largest
 * group grows with the number of groups.
 */
export class GroupedLru<V> {
  readonly #max: number;
  readonly #groupOf: (value: V) => GroupNames;
  /** The groups of all keys. */
  readonly #groups = new Map<string, Group<V>>();
  readonly #outer = new Map<string, OuterGroup<V>>();

  constructor(max: number, groupOf: (value: V) => GroupNames) {
    this.#max = max;
    this.#groupOf = groupOf;
  }

  /** Returns a value, which counts as a use of it. */
  get(key: string): V | undefined {
    const values = this.#groups.get(key)?.values;
    const value = values?.get(key);
    if (value !== undefined) {
      values?.delete(key);
      values?.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.#delete(key);
    const names = this.#groupOf(value);
    const outer = this.#outer.get(names.outer) ?? { count: 0, groups: new Map<string, Group<V>>() };
    const group = outer.groups.get(names.inner) ?? { names, values: new Map<string, V>() };
    this.#outer.set(names.outer, outer);
    outer.groups.set(names.inner, group);
    outer.count += 1;
    group.values.set(key, value);
    this.#groups.set(key, group);
    if (this.#groups.size > this.#max) {
      this.#deleteOne();
    }
  }

  #delete(key: string): void {
    const group = this.#groups.get(key);
    const outer = this.#outer.get(group?.names.outer ?? '');
    if (group === undefined || outer === undefined) {
      return;
    }
    this.#groups.delete(key);
    group.values.delete(key);
    outer.count -= 1;
    if (group.values.size === 0) {
      outer.groups.delete(group.names.inner);
    }
    if (outer.count === 0) {
      this.#outer.delete(group.names.outer);
    }
  }

  #deleteOne(): void {
    const outer = largest(this.#outer.values(), ({ count }) => count);
    const group = largest(outer?.groups.values() ?? [], ({ values }) => values.size);
    for (const key of group?.values.keys() ?? []) {
      this.#delete(key);
      return;
    }
  }
}

/** Returns the group with the most; of several with as many, the first. */
function largest<G>(groups: Iterable<G>, sizeOf: (group: G) => number): G | undefined {
  let most: G | undefined;
  for (const group of groups) {
    most = most === undefined || sizeOf(group) > sizeOf(most) ? group : most;
  }
  return most;
}
