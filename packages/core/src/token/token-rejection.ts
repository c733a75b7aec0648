import type { RefusalCode } from '../errors.js';
import { redactIdentifier } from '../shared/shown-url.js';

/** The refusals that a token earns by itself, with each client: these answers may be cached. */
const rejectionCodes = [
  'token_inactive',
  'token_expired',
  'token_not_yet_valid',
  'token_wrong_audience',
  'token_wrong_issuer',
  'token_wrong_type',
  'token_claims_malformed',
  'jwt_malformed',
  'jwt_not_decryptable',
  'jwt_algorithm_not_accepted',
  'jwt_type_not_accepted',
  'jwt_key_unknown',
  'jwt_signature_invalid',
] as const satisfies readonly RefusalCode[];

type RejectionCode = (typeof rejectionCodes)[number];

/**
 * Why a token is refused, independent of the client that presents it: the code of the refusal, and
 * after a colon and a blank the text for the operator, as in `token_claims_malformed: scope
 * is not a string`.
 */
export type TokenRejection = RejectionCode | `${RejectionCode}: ${string}`;

/** Characters of the text for the operator. */
const MAX_DETAIL = 500;

const isCode = (text: string): text is RejectionCode => rejectionCodes.some((code) => code === text);

export function isTokenRejection(value: unknown): value is TokenRejection {
  return typeof value === 'string' && value.length <= MAX_DETAIL && isCode(codeOf(value));
}

export function createTokenRejection(code: RejectionCode, detail: string): TokenRejection {
  return `${code}: ${detail}`.slice(0, MAX_DETAIL) as TokenRejection;
}

/** Returns the two parts of a rejection. */
export function readTokenRejection(rejection: TokenRejection): { code: RejectionCode; detail?: string } {
  const code = codeOf(rejection) as RejectionCode;
  return code === rejection ? { code } : { code, detail: rejection.slice(code.length + 2) };
}

function codeOf(rejection: string): string {
  const end = rejection.indexOf(': ');
  return end < 0 ? rejection : rejection.slice(0, end);
}

/**
 * Returns a text of a token, or of its header, as the operator reads it: in quotes, without
 * control characters, without what may hold credentials in a URL, and at most 100 characters. Of
 * any other value only what it is.
 */
export function describeClaim(value: unknown): string {
  if (value === undefined || value === null) {
    return 'none';
  }
  if (typeof value === 'string') {
    const text = redactIdentifier(value);
    const cut = text.length > 100 ? `${text.slice(0, 100)}...` : text;
    return `"${cut.replaceAll(/[^\x20-\x7e]/g, '?')}"`;
  }
  if (Array.isArray(value)) {
    return value.length === 0 ? 'an empty list' : `a list of ${describeList(value)}`;
  }
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** Returns the texts of a list that may be one, as `describeClaim()` writes each of them. */
export function describeNames(value: unknown): string {
  return Array.isArray(value) && value.length > 0 ? describeList(value) : describeClaim(value);
}

/** Characters. A secret of 128 bits has 22 in base64url. */
const MAX_SHORT = 20;

/**
 * Returns a text that a client wrote where a short name is expected, in quotes. Of a longer one only
 * its length: it may be a token or a private key. Of any other value only what it is.
 */
export function describeShortClaim(value: unknown): string {
  if (typeof value === 'string' && value.length > MAX_SHORT) {
    return `a text of ${value.length} characters`;
  }
  return Array.isArray(value) && value.length > 0
    ? `a list of ${describeList(value, describeShortClaim)}`
    : describeClaim(value);
}

function describeList(values: readonly unknown[], describe = describeClaim): string {
  const shown = values.slice(0, 3).map((value) => (Array.isArray(value) ? 'a list' : describe(value)));
  return values.length > 3 ? `${shown.join(', ')} and ${values.length - 3} more` : shown.join(', ');
}

export function describeWrongIssuer(expected: string, got: unknown): string {
  return `expected iss ${expected}, got ${describeClaim(got)}`;
}

export function describeWrongAudience(expected: readonly string[], got: unknown): string {
  return `expected aud ${expected.join(' or ')}, got ${describeNames(got)}`;
}

export function secondsAgo(now: number, time: number): string {
  return `${Math.max(0, Math.round(now - time))} s ago`;
}
