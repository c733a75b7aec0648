import { shownError } from '../authorization-server/shown-error.js';

/** An error of ours about a store, whose message holds nothing of anyone else. */
export class StoreTrouble extends Error {
  readonly #isOurs = true;

  static isOurs(value: unknown): value is StoreTrouble {
    return typeof value === 'object' && value !== null && #isOurs in value && value.#isOurs;
  }
}

/** The code that an error of Redis or of the system begins with, as NOPERM or ECONNREFUSED. */
const code = /^[A-Z]{2,20}\b/;

/** What Redis says of a right that is missing: it names the command, and nothing that was sent with it. */
const missingRight = /^NOPERM .*\b(no permissions to run the '[\w|]{1,40}' command)/;

/**
 * Returns what an operator is told of the error of a store. The message of an error that is not ours is left out but for the code that it
 * begins with: it may quote an address with its password, or a command with it.
 */
export function shownTrouble(error: unknown): string {
  if (StoreTrouble.isOurs(error)) {
    return error.message;
  }
  try {
    const message = String((error as { message?: unknown }).message);
    const [found] = code.exec(message) ?? [];
    const [, right] = missingRight.exec(message) ?? [];
    return right === undefined ? (found ?? shownError(error)) : `NOPERM ${right}`;
  } catch {
    return shownError(error);
  }
}

/** Rejects when `work` takes longer than this many seconds; what comes of it later is nobody's concern. */
export async function within<T>(seconds: number, work: () => T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    const end = (): void => reject(new StoreTrouble(`no answer within ${seconds} s`));
    // After a stall of this process the timer comes first, though the answer may be there: it is read before `end`.
    timer = setTimeout(() => setImmediate(end), seconds * 1000);
  });
  try {
    return await Promise.race([Promise.resolve().then(work), tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
