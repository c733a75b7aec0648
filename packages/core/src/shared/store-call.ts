import { setImmediate as nextLoop } from 'node:timers/promises';
import { TellableError } from '../errors.js';
import { codeOfStoreError } from './store-error.js';
import { withTimeLimit } from './time-limit.js';

/**
 * Calls a store. The signal aborts when the call is over, or after this many seconds: then this rejects. If
 * the aborted call rejects with the reason why it had no answer, this rejection names that reason too.
 *
 * @param closing aborts the call as well
 */
export async function callStore<T>(
  seconds: number,
  call: (signal: AbortSignal) => Promise<T>,
  closing?: AbortSignal,
): Promise<T> {
  const ended = new AbortController();
  const signal = closing === undefined ? ended.signal : AbortSignal.any([closing, ended.signal]);
  let failure: unknown;
  let isPending = true;
  const run = async (): Promise<T> => {
    try {
      return await call(signal);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      isPending = false;
    }
  };
  try {
    return await withTimeLimit(seconds, run);
  } catch (error) {
    if (!isPending) {
      throw error;
    }
    ended.abort();
    await nextLoop();
    const code = codeOfStoreError(failure);
    throw code === undefined ? error : new TellableError(`${(error as Error).message}: ${code}`);
  } finally {
    ended.abort();
  }
}
