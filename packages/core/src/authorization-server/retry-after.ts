/** Seconds. A server that asks for longer is asked again after this all the same. */
const MAX_RETRY_AFTER = 300;

/**
 * Reads a `Retry-After` of either form, delay-seconds or HTTP-date (RFC 9110 §10.2.3), as whole seconds from 1 to
 * 300; nothing when it is absent or senseless.
 */
export function readRetryAfter(value: string | null): { retryAfter?: number } {
  if (value === null) {
    return {};
  }
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  if (!(seconds > 0)) {
    return {};
  }
  return { retryAfter: Math.min(Math.ceil(seconds), MAX_RETRY_AFTER) };
}
