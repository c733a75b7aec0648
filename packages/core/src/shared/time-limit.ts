import { TellableError } from '../errors.js';

/** Rejects when `work` takes longer than this many seconds. A later outcome is ignored. */
export async function withTimeLimit<T>(seconds: number, work: () => T | Promise<T>): Promise<T> {
  let starting: NodeJS.Immediate | undefined;
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    const end = (): void => reject(new TellableError(`no answer within ${seconds} s`));
    // After a stall of this process the timer fires first, though the answer may be there: `setImmediate` has
    // it read before `end`.
    // The time starts after the current turn of the event loop, because Redis clients send a command only
    // then.
    starting = setImmediate(() => {
      timer = setTimeout(() => setImmediate(end), seconds * 1000);
    });
  });
  try {
    return await Promise.race([Promise.resolve().then(work), tooLong]);
  } finally {
    clearImmediate(starting);
    clearTimeout(timer);
  }
}
