import { RequestRefused } from '../errors.js';
import { mediaTypeOf } from '../shared/media-type.js';

/** Seconds. A server that asks for longer is asked again after this all the same. */
const MAX_RETRY_AFTER = 300;

/**
 * Reads a `Retry-After` of either form, delay-seconds or HTTP-date (RFC 9110 §10.2.3), as whole
 * seconds from 1 to 300; nothing when it is absent or senseless.
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

/**
 * Returns what an error status says about the server alone, whatever was asked: 429 and 5xx, with
 * the server's own `Retry-After`. `undefined` for every other status.
 */
export function serverTrouble({ status, headers }: Response, asked: string): RequestRefused | undefined {
  if (status !== 429 && status < 500) {
    return undefined;
  }
  const code = status === 429 ? 'authorization_server_overloaded' : 'authorization_server_failed';
  return new RequestRefused(code, {
    detail: `${asked} answered ${status}`,
    ...readRetryAfter(headers.get('retry-after')),
  });
}

/**
 * Whether an error answer was written by a firewall or a proxy in front of the server, and not by
 * the server.
 */
export function looksLikeGatewayPage({ headers }: Response): boolean {
  const isHtml = mediaTypeOf(headers.get('content-type')) === 'text/html';
  return isHtml && !headers.has('www-authenticate');
}
