import { createProblemReporter } from '../observe/events.js';
import { createMismatch } from '../shared/option-errors.js';

const report = createProblemReporter();

/**
 * Throws `ConfigurationError` if a function that makes a middleware was put among the handlers
 * without being called: it then gets a request, or the context of Koa. Express and Koa answer 503.
 */
export function refuseUncalledMiddleware(name: string, given: unknown): void {
  if (isRequest(given) || isRequest((given as { req?: unknown } | undefined)?.req)) {
    const error = createMismatch(name, `${name} among the handlers`, 'the function, which was not called');
    report('middleware_not_called', error.message);
    throw error;
  }
}

function isRequest(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'rawHeaders' in value;
}
