import { constants } from 'node:os';

/**
 * Names of error classes. A name is a text that the code which throws chooses, so only this form is
 * shown.
 */
const errorName = /^(?:[A-Z][A-Za-z]{0,40})?(?:Error|Exception)$/;

/** Codes of Node, OpenSSL, undici, jose and oauth4webapi: words after a known first one. */
const prefixedCode = new RegExp(
  '^(?=.{1,60}$)(?:ERR|UND_ERR|EAI|HPE|OAUTH|UNABLE_TO|CERT|CRL|ERROR_IN|DEPTH_ZERO|SELF_SIGNED' +
    '|INVALID|HOSTNAME|PATH_LENGTH)(?:_[A-Z]{1,15}\\d{0,3}){1,12}$',
);

/** Codes without such a first word: those of the system, and of name resolution. */
const plainCodes: ReadonlySet<string> = new Set([
  ...Object.keys(constants.errno),
  ...['ENOTFOUND', 'ENODATA', 'ESERVFAIL', 'EREFUSED', 'ETIMEOUT', 'ABORT_ERR', 'MODULE_NOT_FOUND'],
]);

/**
 * Returns the name and the code of an error for a log. Its message is left out: an error of a
 * function that got headers of this package, or that has secrets of its own, may quote them. A name
 * or a code of another form than those of error classes and of Node is left out too.
 */
export function describeError(error: unknown): string {
  if (typeof error !== 'object' || error === null) {
    return 'something that is no Error';
  }
  const name = readText(error, 'name');
  const words = [isErrorName(name) ? name : undefined, describeErrorCode(error)].filter(
    (word) => word !== undefined,
  );
  return words.length === 0 ? 'an error without a known name' : words.join(' ');
}

/**
 * Returns the code of an error if it is one of Node's or of a library that is used here. Never
 * throws.
 */
export function describeErrorCode(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null ? readText(error, 'code') : undefined;
  return code !== undefined && (plainCodes.has(code) || prefixedCode.test(code)) ? code : undefined;
}

/** Whether a name has the form of the name of an error class. */
export function isErrorName(name: string | undefined): boolean {
  return name === 'RequestRefused' || (name !== undefined && errorName.test(name));
}

function readText(error: object, member: string): string | undefined {
  try {
    const value: unknown = Reflect.get(error, member);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
