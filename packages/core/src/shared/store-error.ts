import { isTellable } from '../errors.js';
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
