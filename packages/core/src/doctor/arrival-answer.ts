import { TellableError } from '../errors.js';
import type { Arrival } from './arrival.js';
import type { Finding } from './finding.js';

/** A name of a header (RFC 9110 §5.1), as Node gives it. */
const headerForm = /^[!#$%&'*+.^`|~\w-]{1,200}$/;

/**
 * Reads the JSON with which a listener answers. A server of another party may answer in its place:
 * each member is checked and copied. Throws `TypeError` for any other text.
 */
export function readArrival(text: string): Arrival {
  const { peer, tls, headers, thumbprint, isConfigured, header, verifyHeader, findings } = parse(text);
  if (
    typeof peer !== 'string' ||
    typeof tls !== 'boolean' ||
    typeof isConfigured !== 'boolean' ||
    !isOptional(thumbprint, isString) ||
    !isOptional(header, isHeaderName) ||
    !isOptional(verifyHeader, isHeaderName) ||
    !isObject(headers) ||
    !Array.isArray(findings)
  ) {
    throw notAnArrival();
  }
  return {
    peer,
    tls,
    isConfigured,
    thumbprint,
    header,
    verifyHeader,
    headers: linesOf(headers),
    findings: findings.map(findingOf),
  };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) {
      // Own members only: members of `Object.prototype` were not sent.
      return Object.assign(Object.create(null), value);
    }
  } catch {
    // The message of the error quotes the text.
  }
  throw notAnArrival();
}

function linesOf(headers: Readonly<Record<string, unknown>>): Arrival['headers'] {
  const lines: Record<string, readonly string[]> = Object.create(null);
  for (const [name, values] of Object.entries(headers)) {
    if (!Array.isArray(values) || !values.every(isString)) {
      throw notAnArrival();
    }
    lines[name] = values;
  }
  return lines;
}

function findingOf(given: unknown): Finding {
  const { status, code, message, fix, thumbprint } = isObject(given) ? given : {};
  const isStatus = status === 'ok' || status === 'warning' || status === 'problem';
  if (
    !isStatus ||
    !isString(code) ||
    !isString(message) ||
    !isOptional(fix, isString) ||
    !isOptional(thumbprint, isString)
  ) {
    throw notAnArrival();
  }
  return {
    status,
    code,
    message,
    ...(fix === undefined ? {} : { fix }),
    ...(thumbprint === undefined ? {} : { thumbprint }),
  };
}

function notAnArrival(): TellableError {
  return new TellableError('the answer is not one of `mtls-doctor listen`, though its header says so');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isHeaderName(value: unknown): value is string {
  return isString(value) && headerForm.test(value);
}

function isOptional<T>(value: unknown, is: (value: unknown) => value is T): value is T | undefined {
  return value === undefined || is(value);
}
