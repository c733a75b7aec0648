/** A pause that doubles from one trouble to the next, so that lasting trouble costs little. */
export class GrowingPause {
  readonly #first: number;
  readonly #longest: number;
  #pause = 0;
  /** When the last trouble was, by the monotonic clock. */
  #lastAt = Number.NEGATIVE_INFINITY;

  /** @param longest milliseconds. Trouble after twice that time without any begins with `first` again */
  constructor(first: number, longest: number) {
    this.#first = first;
    this.#longest = longest;
  }

  /** Whether the pause after the last trouble has passed. */
  get hasPassed(): boolean {
    return performance.now() - this.#lastAt >= this.#pause;
  }

  /** There is trouble now. Returns for how many milliseconds to pause. */
  next(): number {
    const now = performance.now();
    const isOften = now - this.#lastAt < 2 * this.#longest;
    this.#pause = isOften ? Math.min(2 * this.#pause, this.#longest) : this.#first;
    this.#lastAt = now;
    return this.#pause;
  }
}
