import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { TellableError } from '../errors.js';
import { describeError, describeErrorCode } from './shown-error.js';

/**
 * What a path looks like: it begins with a folder, or ends like the name of such a file. A key, a password, a
 * token or a URL with one of these does not.
 */
const pathForms = [
  /^(?:[A-Za-z]:|~|\.{1,2})?[\\/][\w.\\/ ~-]{0,250}$/,
  /^[\w.\\/ ~-]{1,250}\.(?:pem|crt|cer|der|key|crl|json|jwk|txt)$/,
];

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'a part of the path is no directory',
  EISDIR: 'it is a directory',
  EACCES: 'this process may not read it',
  EPERM: 'this process may not read it',
};

/** Shows a path. A text that does not look like a path is not shown: it may be a secret. */
export function describePath(path: string): string {
  return pathForms.some((form) => form.test(path))
    ? JSON.stringify(path)
    : `a path of ${path.length} characters`;
}

/** Says why a file can not be read. The message of the system is left out: it quotes the path. */
export function explainFileError(error: unknown): string {
  const code = describeErrorCode(error);
  const reason = code === undefined ? undefined : reasons[code];
  return reason === undefined ? (code ?? describeError(error)) : `${reason} (${code})`;
}

/** Reads a file. Throws `TellableError` with its path and the reason. */
export function readFileSyncOrExplain(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Reads a file. Rejects with `TellableError`, which has its path and the reason. */
export async function readFileOrExplain(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): TellableError {
  return new TellableError(`${describePath(path)}: ${explainFileError(error)}`);
}
