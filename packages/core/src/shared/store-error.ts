import { isTellable } from '../errors.js';
import { describeError, describeErrorCode, isErrorName } from './shown-error.js';

/** What the messages of Redis' errors begin with. */
const redisCodes: ReadonlySet<string> = new Set([
  ...['ERR', 'WRONGPASS', 'NOAUTH', 'NOPERM', 'NOPROTO', 'LOADING', 'READONLY', 'OOM', 'MISCONF', 'BUSY'],
  ...['MOVED', 'ASK', 'TRYAGAIN', 'CROSSSLOT', 'CLUSTERDOWN', 'MASTERDOWN', 'NOREPLICAS', 'UNKILLABLE'],
  ...['WRONGTYPE', 'NOSCRIPT', 'EXECABORT', 'BUSYGROUP', 'NOGROUP', 'UNBLOCKED', 'INPROG', 'IOERR'],
]);

/**
 * What Redis says about a missing right: it names the command, and nothing that was sent with it.
 */
const missingRight = /^NOPERM .*\b(no permissions to run the '[\w|]{1,40}' command)/;

/** How many errors are looked at: an error and its causes. */
const MAX_CAUSES = 10;

/**
 * Returns what an operator reads about the error of a store: the first code found in the error and its
 * causes. Of the message of another package's error only a known code at its beginning is shown: the rest may
 * quote an address or a command with a password.
 */
export function describeStoreError(error: unknown): string {
  return codeOfStoreError(error) ?? classOf(error) ?? describeError(error);
}

/**
 * Returns the first code found in an error and its causes, with its text; `undefined` if none has a code. The
 * code of an aborted call does not count.
 */
export function codeOfStoreError(error: unknown): string | undefined {
  for (const one of withCauses(error)) {
    const code = read(one, 'code') === 'ABORT_ERR' ? undefined : explainCode(one);
    if (code !== undefined) {
      return code;
    }
  }
  return undefined;
}

function explainCode(error: unknown): string | undefined {
  if (isTellable(error)) {
    return error.message;
  }
  const message = String(read(error, 'message'));
  const [first = ''] = message.split(/\W/, 1);
  const [, right] = missingRight.exec(message) ?? [];
  if (right !== undefined) {
    return `NOPERM ${right}`;
  }
  return shownFirst(first) ?? (describeErrorCode(error) === undefined ? undefined : describeError(error));
}

/** An error, its cause and so on, and the errors of an AggregateError: a name may have several addresses. */
function withCauses(error: unknown): unknown[] {
  const found = [error];
  for (let index = 0; index < Math.min(found.length, MAX_CAUSES); index += 1) {
    const cause = read(found[index], 'cause');
    const errors = read(found[index], 'errors');
    const all = [...(cause === undefined ? [] : [cause]), ...(Array.isArray(errors) ? errors : [])];
    found.push(...all.filter((one) => !found.includes(one)).slice(0, MAX_CAUSES));
  }
  return found.slice(0, MAX_CAUSES);
}

/** node-redis tells its errors apart by their classes alone: each has the name `Error`. */
function classOf(error: unknown): string | undefined {
  const name = read(read(error, 'constructor'), 'name');
  const isPlain = read(error, 'name') === 'Error';
  return isPlain && typeof name === 'string' && isErrorName(name) ? name : undefined;
}

/** Never throws. */
function read(holder: unknown, member: string): unknown {
  try {
    return Object(holder)[member];
  } catch {
    return undefined;
  }
}

function shownFirst(word: string): string | undefined {
  return redisCodes.has(word) ? word : describeErrorCode({ code: word });
}
