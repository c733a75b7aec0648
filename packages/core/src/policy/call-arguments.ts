import { createMismatch } from '../shared/option-errors.js';
import { refuseUncalledMiddleware } from './middleware-not-called.js';

/**
 * Throws `ConfigurationError` for more arguments than a function takes: the others would be ignored
 * without a word. Throws it too if the function was put among the handlers without being called.
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
  refuseUncalledMiddleware(calledAs, given[0]);
  if (given.length > most) {
    throw createMismatch(
      calledAs,
      accepted,
      `${given.length} ${given.length === 1 ? 'argument' : 'arguments'}`,
    );
  }
}

/** Returns the one argument of a function. Throws `ConfigurationError` as `refuseFurtherArguments()` does. */
export function onlyArgument<T>(calledAs: string, given: readonly T[], accepted: string): T {
  refuseFurtherArguments(calledAs, given, 1, accepted);
  return given[0] as T;
}
