import { createMismatch } from './option-errors.js';

/**
 * Throws `ConfigurationError` for more arguments than a function takes: the function would ignore them.
 * Trailing `undefined` arguments are accepted: `promise.then(tlsSocket)` passes one.
 *
 * @param calledAs the function that errors name
 * @param accepted what the function takes, as errors say it
 */
export function refuseFurtherArguments(
  calledAs: string,
  given: readonly unknown[],
  most: number,
  accepted: string,
): void {
  const count = given.findLastIndex((argument) => argument !== undefined) + 1;
  if (count > most) {
    throw createMismatch(calledAs, accepted, `${count} ${count === 1 ? 'argument' : 'arguments'}`);
  }
}

/** Returns the one argument of a function. Throws `ConfigurationError` for more arguments. */
export function onlyArgument<T>(calledAs: string, given: readonly T[], accepted: string): T {
  refuseFurtherArguments(calledAs, given, 1, accepted);
  return given[0] as T;
}

/**
 * Returns the object of options that is the one argument of a function, or an object without options if
 * the function was called without an argument. Throws `ConfigurationError` for more arguments.
 */
export function onlyOptions(calledAs: string, given: readonly unknown[]): unknown {
  const options = onlyArgument(calledAs, given, 'one object of options');
  return options === undefined ? {} : options;
}
