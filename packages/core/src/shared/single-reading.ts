import { TellableError } from '../errors.js';
import { withTimeLimit } from './time-limit.js';

/**
 * Reads files within a time limit, one reading at a time. A file system that does not answer holds a thread
 * of this process until it does, and Node has four of them: no reading begins while an earlier one runs.
 */
export class SingleReading {
  #isRunning = false;

  /**
   * Rejects when `read` takes longer than this many seconds, and at once while an earlier `read` runs. What
   * `read` does after that still counts: nothing newer was read meanwhile.
   */
  async run(seconds: number, read: () => Promise<void>): Promise<void> {
    if (this.#isRunning) {
      throw new TellableError('an earlier reading has not ended');
    }
    this.#isRunning = true;
    await withTimeLimit(seconds, () =>
      read().finally(() => {
        this.#isRunning = false;
      }),
    );
  }
}
