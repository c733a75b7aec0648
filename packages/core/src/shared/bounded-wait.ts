import { isTellable, TellableError } from '../errors.js';
import { describeError, describeErrorCode } from './shown-error.js';

/** What the messages of Redis' errors begin with. */
const redisCodes: ReadonlySet<string> = new Set([
  ...['ERR', 'WRONGPASS', 'NOAUTH', 'NOPERM', 'NOPROTO', 'LOADING', 'READONLY', 'OOM', 'MISCONF', 'BUSY'],
  ...['MOVED', 'ASK', 'TRYAGAIN', 'CROSSSLOT', 'CLUSTERDOWN', 'MASTERDOWN', 'NOREPLICAS', 'UNKILLABLE'],
  ...['WRONGTYPE', 'NOSCRIPT', 'EXECABORT', 'BUSYGROUP', 'NOGROUP', 'UNBLOCKED', 'INPROG', 'IOERR'],
]);

/**
 * What Redis says of a right that is missing: it names the command, and nothing that was sent with
 * it.
 */
const missingRight = /^NOPERM .*\b(no permissions to run the '[\w|]{1,40}' command)/;

/**
 * Returns what an operator reads of the error of a store. The message of another package's error is
 * left out but for a known code that it begins with: it may quote an address with its password, or
 * a command with it.
 */
export function describeStoreError(error: unknown): string {
  if (isTellable(error)) {
    return error.message;
  }
  try {
    const message = String((error as { message?: unknown }).message);
    const [first = ''] = message.split(/\W/, 1);
    const [, right] = missingRight.exec(message) ?? [];
    return right === undefined ? (shownFirst(first) ?? describeError(error)) : `NOPERM ${right}`;
  } catch {
    return describeError(error);
  }
}

function shownFirst(word: string): string | undefined {
  return redisCodes.has(word) ? word : describeErrorCode({ code: word });
}

/** Rejects when `work` takes longer than this many seconds. A later outcome is ignored. */
export async function within<T>(seconds: number, work: () => T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    const end = (): void => reject(new TellableError(`no answer within ${seconds} s`));
    // After a stall of this process the timer comes first, though the answer may be there: it is
    // read before `end`.
    timer = setTimeout(() => setImmediate(end), seconds * 1000);
  });
  try {
    return await Promise.race([Promise.resolve().then(work), tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
