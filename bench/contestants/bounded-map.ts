interface Node<V> {
  readonly key: string;
  readonly value: V;
  newer: Node<V> | undefined;
  older: Node<V> | undefined;
}

/** A Map that forgets the value that was used longest ago, with as little work for each look-up as that takes. */
export class BoundedMap<V> {
  readonly #max: number;
  readonly #nodes = new Map<string, Node<V>>();
  #newest: Node<V> | undefined;
  #oldest: Node<V> | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): V | undefined {
    const node = this.#nodes.get(key);
    if (node === undefined) {
      return undefined;
    }
    if (node !== this.#newest) {
      this.#unlink(node);
      this.#append(node);
    }
    return node.value;
  }

  set(key: string, value: V): void {
    const before = this.#nodes.get(key);
    if (before !== undefined) {
      this.#unlink(before);
    }
    const node: Node<V> = { key, value, newer: undefined, older: undefined };
    this.#nodes.set(key, node);
    this.#append(node);
    const oldest = this.#oldest;
    if (this.#nodes.size > this.#max && oldest !== undefined) {
      this.#unlink(oldest);
      this.#nodes.delete(oldest.key);
    }
  }

  #append(node: Node<V>): void {
    node.older = this.#newest;
    node.newer = undefined;
    if (this.#newest === undefined) {
      this.#oldest = node;
    } else {
      this.#newest.newer = node;
    }
    this.#newest = node;
  }

  #unlink(node: Node<V>): void {
    if (node.older === undefined) {
      this.#oldest = node.newer;
    } else {
      node.older.newer = node.newer;
    }
    if (node.newer === undefined) {
      this.#newest = node.older;
    } else {
      node.newer.older = node.older;
    }
  }
}
