import { ConfigurationError } from '../errors.js';
import { problemReporter } from '../observe/events.js';

const report = problemReporter();

/**
 * Throws `ConfigurationError` if a function that makes a middleware was put among the handlers
 * without being called: it then gets a request, or the context of Koa. Express and Koa answer 503.
 */
export function refuseUncalledMiddleware(name: string, given: unknown): void {
  if (isRequest(given) || isRequest((given as { req?: unknown } | undefined)?.req)) {
    const message = `it was put among the handlers without being called; put ${name} there`;
    report('middleware_not_called', `${name}: ${message}`);
    throw new ConfigurationError(name, message);
  }
}

function isRequest(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'rawHeaders' in value;
}
