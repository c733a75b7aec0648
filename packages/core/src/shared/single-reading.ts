import { TellableError } from '../errors.js';
import { requestPlace } from './reading-places.js';
import { withTimeLimit } from './time-limit.js';

/**
 * Reads files within a time limit, one reading at a time. A file system that does not answer holds a thread
 * of this process until it does, and Node has four of them. So no reading begins while an earlier one runs,
 * and all objects of this class together have two places for readings.
 */
export class SingleReading {
  #isRunning = false;

  /**
   * Rejects when `read` takes longer than this many seconds, the wait for a place included. Rejects at once
   * while an earlier `read` runs, or while others that were not waited for hold all places. What `read` does
   * after that still counts: nothing newer was read meanwhile. It must read one file after the other.
   */
  async run(seconds: number, read: () => Promise<void>): Promise<void> {
    if (this.#isRunning) {
      throw new TellableError('an earlier reading has not ended');
    }
    const place = requestPlace();
    if (place === undefined) {
      throw withoutPlace();
    }
    this.#isRunning = true;
    try {
      await withTimeLimit(seconds, async () => {
        await place.granted;
        try {
          await read();
        } finally {
          this.#isRunning = false;
          place.release();
        }
      });
    } catch (error) {
      if (place.giveUp()) {
        this.#isRunning = false;
        throw withoutPlace();
      }
      throw error;
    }
  }
}

function withoutPlace(): TellableError {
  return new TellableError('it was not read, as files of other options take long or do not answer');
}
