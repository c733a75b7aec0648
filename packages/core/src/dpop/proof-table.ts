/** 96 bits of a hash, as three numbers of 32 bits. */
export type ProofName = readonly [first: number, second: number, third: number];

/** A slot holds the three numbers of a name, and its span. */
const WORDS = 4;

/**
 * The process stands still while a table grows, for a tenth of a second if it has a million names.
 * Each shard grows by itself.
 */
const SHARDS = 64;

/** Slots of an empty shard. A power of two, as each size of a shard. */
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

  has(name: ProofName): boolean {
    return this.#shardOf(name).has(name);
  }

  /**
   * Adds a name that the table does not have.
   *
   * @param span from 1 to 2^32 - 1
   */
  add(name: ProofName, span: number): void {
    this.#shardOf(name).add(name, span);
  }

  /** Removes the names of these spans. */
  removeSpans(spans: ReadonlySet<number>): void {
    for (const shard of this.#shards) {
      shard.removeSpans(spans);
    }
  }

  #shardOf([, , third]: ProofName): Shard {
    return this.#shards[third % SHARDS] as Shard;
  }
}

/** A hash table with open addressing: a name is in the first free slot from its own slot on. */
class Shard {
  /** Of a free slot each number is 0. */
  #slots = new Uint32Array(FIRST_SLOTS * WORDS);
  #count = 0;

  has(name: ProofName): boolean {
    return this.#slots[this.#find(name) + 3] !== 0;
  }

  add(name: ProofName, span: number): void {
    if (this.#count + 1 > (this.#slots.length / WORDS) * MAX_LOAD) {
      this.#rebuild(this.#slots.length * 2);
    }
    this.#put(name, span);
  }

  removeSpans(spans: ReadonlySet<number>): void {
    this.#rebuild(this.#slots.length, spans);
  }

  /** Moves the names to a new array, without those of the spans. */
  #rebuild(length: number, without?: ReadonlySet<number>): void {
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
    [slots[at], slots[at + 1], slots[at + 2]] = name;
    slots[at + 3] = span;
    this.#count += 1;
  }

  /** Returns where the slot of a name begins: the one that has it, otherwise a free one. */
  #find([first, second, third]: ProofName): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = (first * WORDS) & mask;
    while (
      slots[at + 3] !== 0 &&
      (slots[at] !== first || slots[at + 1] !== second || slots[at + 2] !== third)
    ) {
      at = (at + WORDS) & mask;
    }
    return at;
  }
}
