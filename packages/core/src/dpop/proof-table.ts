/** 96 bits of a hash, as three numbers of 32 bits. */
export type ProofName = readonly [first: number, second: number, third: number];

/** A slot holds the three numbers of a name, and its span. */
const WORDS = 4;

/**
 * The process stands still while a table is rebuilt: for a tenth of a second if it has a million
 * names. Each shard is rebuilt by itself.
 */
const SHARDS = 256;

/** Slots of an empty shard. Every size of a shard is a power of two. */
const FIRST_SLOTS = 16;

/** A shard has twice as many slots as soon as more than this share is in use. */
const MAX_LOAD = 0.75;

/**
 * Remembers names in typed arrays, each with the number of a span: 16 to 43 bytes a name. A `Set` of
 * texts needs 150, and the garbage collector visits each text. The names must be hashes with a
 * secret: with names of its choice a client could fill neighbouring slots.
 */
export class ProofTable {
  readonly #shards = Array.from({ length: SHARDS }, () => new Shard());
  /**
   * Removed spans whose names are still in some shards, each with the value of `#rebuilds` from which on none
   * is left.
   */
  readonly #removed = new Map<number, number>();
  /** How many shards were rebuilt to free the slots of removed spans. */
  #rebuilds = 0;

  has(name: ProofName): boolean {
    const span = this.#shardOf(name).spanOf(name);
    return span !== 0 && !this.#removed.has(span);
  }

  /**
   * Adds a name that the table does not have.
   *
   * @param span from 1 to 2^32 - 1; none that was removed
   */
  add(name: ProofName, span: number): void {
    this.#freeSlots();
    this.#shardOf(name).add(name, span);
  }

  /** Removes the names of these spans at once. The next `add()` calls free their slots. */
  removeSpans(spans: Iterable<number>): void {
    for (const span of spans) {
      this.#removed.set(span, this.#rebuilds + SHARDS);
    }
  }

  /** Frees the slots of removed spans in one shard. The next call does so in the next shard. */
  #freeSlots(): void {
    if (this.#removed.size === 0) {
      return;
    }
    (this.#shards[this.#rebuilds % SHARDS] as Shard).removeSpans(this.#removed);
    this.#rebuilds += 1;
    for (const [span, end] of this.#removed) {
      if (end === this.#rebuilds) {
        this.#removed.delete(span);
      }
    }
  }

  #shardOf(name: ProofName): Shard {
    return this.#shards[name[2] % SHARDS] as Shard;
  }
}

/** The numbers of spans. */
type Spans = Pick<ReadonlyMap<number, unknown>, 'has'>;

/**
 * A hash table with open addressing: a name is in the first free slot from its own slot on. Takes names
 * apart by index: destructuring makes an object for each number.
 */
class Shard {
  /** All numbers of a free slot are 0. */
  #slots = new Uint32Array(FIRST_SLOTS * WORDS);
  /**
   * An upper bound of the used slots: a name that is added again before the slot of its removed span is freed
   * counts twice.
   */
  #count = 0;

  /** Returns the span of a name, and 0 for a name that the shard does not have. */
  spanOf(name: ProofName): number {
    return this.#slots[this.#find(name) + 3] as number;
  }

  add(name: ProofName, span: number): void {
    if (this.#count + 1 > (this.#slots.length / WORDS) * MAX_LOAD) {
      this.#rebuild(this.#slots.length * 2);
    }
    this.#put(name, span);
  }

  removeSpans(spans: Spans): void {
    this.#rebuild(this.#slots.length, spans);
  }

  /** Moves the names to a new array, without those of the spans. */
  #rebuild(length: number, without?: Spans): void {
    const earlier = this.#slots;
    this.#slots = new Uint32Array(length);
    this.#count = 0;
    for (let at = 0; at < earlier.length; at += WORDS) {
      const span = earlier[at + 3] as number;
      if (span !== 0 && without?.has(span) !== true) {
        const name = [earlier[at], earlier[at + 1], earlier[at + 2]] as unknown as ProofName;
        this.#put(name, span);
      }
    }
  }

  #put(name: ProofName, span: number): void {
    const at = this.#find(name);
    const slots = this.#slots;
    slots[at] = name[0];
    slots[at + 1] = name[1];
    slots[at + 2] = name[2];
    slots[at + 3] = span;
    this.#count += 1;
  }

  /** Returns where the slot of a name begins: the one that has it, otherwise a free one. */
  #find(name: ProofName): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = (name[0] * WORDS) & mask;
    while (
      slots[at + 3] !== 0 &&
      (slots[at] !== name[0] || slots[at + 1] !== name[1] || slots[at + 2] !== name[2])
    ) {
      at = (at + WORDS) & mask;
    }
    return at;
  }
}
