import type { Deadline } from '../shared/deadline.js';

/** Runs at most so many calls at once. Further ones wait for a place, in order. */
export class ConcurrencyLimit {
  readonly #max: number;
  #running = 0;
  /** What begins each call that waits. */
  readonly #waiting = new Set<() => void>();

  constructor(max: number) {
    this.#max = max;
  }

  /** The calls that run or wait. */
  get count(): number {
    return this.#running + this.#waiting.size;
  }

  /**
   * Calls `work`, at once if fewer than `max` calls run. Rejects with what `noPlace` makes if the time
   * is over before; `work` is not called then.
   */
  async run<T>(deadline: Deadline, noPlace: () => Error, work: () => Promise<T>): Promise<T> {
    if (deadline.isOver) {
      throw noPlace();
    }
    if (this.#running < this.#max) {
      this.#running += 1;
    } else {
      // The call that ends hands its place on.
      await this.#waitForPlace(deadline, noPlace);
    }
    try {
      if (deadline.isOver) {
        throw noPlace();
      }
      return await work();
    } finally {
      this.#end();
    }
  }

  #waitForPlace(deadline: Deadline, noPlace: () => Error): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        forget();
        resolve();
      };
      const forget = deadline.whenOver(() => {
        this.#waiting.delete(begin);
        reject(noPlace());
      });
      this.#waiting.add(begin);
    });
  }

  #end(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
