import { refuseFurtherArguments } from '../shared/call-arguments.js';
import { refuseUncalledMiddleware } from './middleware-not-called.js';

/**
 * Checks how a function that makes a middleware or its policy was called. Throws `ConfigurationError` if
 * it was put among the handlers without being called, and for more arguments than it takes.
 *
 * @param calledAs the function that errors name
 * @param accepted what the function takes, as errors say it
 */
export function checkMiddlewareCall(
  calledAs: string,
  given: readonly unknown[],
  most: number,
  accepted: string,
): void {
  refuseUncalledMiddleware(calledAs, given[0]);
  refuseFurtherArguments(calledAs, given, most, accepted);
}

/**
 * Returns the one argument of a function that makes a middleware or its policy. Throws
 * `ConfigurationError` as `checkMiddlewareCall()` does.
 */
export function readMiddlewareArgument<T>(calledAs: string, given: readonly T[], accepted: string): T {
  checkMiddlewareCall(calledAs, given, 1, accepted);
  return given[0] as T;
}
