import { LRUCache } from 'lru-cache';

// More clients and scopes than most authorization servers have; beyond them a value is made anew, no worse than without.
const MAX_ENTRIES = 2_000;

/** Longer texts are nobody's common ones, and would make the memory unbounded. */
const MAX_LENGTH = 512;

/** What is made of a text, made once for the same text again and again: for values that do not change. */
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
    const known = this.#known.get(text) ?? this.#make(text);
    this.#known.set(text, known);
    return known;
  };
}
