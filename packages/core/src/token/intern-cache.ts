import { LRUCache } from 'lru-cache';

// More clients and scopes than most authorization servers have; beyond them a value is made again,
// as without this cache.
const MAX_ENTRIES = 2_000;

/** Longer texts are not shared by many tokens, and would make the memory unbounded. */
const MAX_LENGTH = 512;

/**
 * Memoizes `make` for short strings that many tokens share (bounded LRU). Values must be immutable.
 */
export class InternCache<T extends NonNullable<unknown>> {
  readonly #known = new LRUCache<string, T>({ max: MAX_ENTRIES });
  readonly #make: (text: string) => T;

  constructor(make: (text: string) => T) {
    this.#make = make;
  }

  readonly of = (text: string): T => {
    if (text.length > MAX_LENGTH) {
      return this.#make(text);
    }
    const known = this.#known.get(text);
    if (known !== undefined) {
      return known;
    }
    const made = this.#make(text);
    this.#known.set(text, made);
    return made;
  };
}
