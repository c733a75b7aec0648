import { RequestRefused, TellableError } from '../errors.js';
import { formType, mediaTypeOf } from '../shared/media-type.js';
import { hasHeaderLines, headerValues, indexOfLine } from './header-lines.js';
import { http2StreamOf } from './http2-request.js';
import type { NodeRequest } from './node-request.js';

/**
 * Characters of the scheme and the token together. Node's own limit for the whole header block is
 * 16 KiB unless raised.
 */
const MAX_CREDENTIALS_LENGTH = 16_384;

/** The scheme that an access token is sent with. */
export type TokenScheme = 'Bearer' | 'DPoP';

/** What a request has in its Authorization header. */
export interface Credentials {
  readonly scheme: TokenScheme;
  readonly token: string;
}

// RFC 6750 §2.1: "Bearer" 1*SP b64token; the scheme is case-insensitive (RFC 9110 §11.1).
const bearerCredentials = /^bearer +[\w\-.~+/]+=*$/i;
// RFC 9449 §7.1: "DPoP" 1*SP token68, which has the characters of b64token.
const dpopCredentials = /^dpop +[\w\-.~+/]+=*$/i;
// A scheme ends where no token character (RFC 9110 §5.6.2) follows: "Bearer\tx" is Bearer,
// "Bearerx" is not.
const bearerScheme = /^bearer(?![\w!#$%&'*+\-.^`|~])/i;
const dpopScheme = /^dpop(?![\w!#$%&'*+\-.^`|~])/i;

/**
 * The access token of the Authorization header, the only place it is read from (RFC 6750 §2.1).
 * Throws `RequestRefused`: no credentials 401, malformed, repeated or elsewhere 400.
 *
 * @param parsedBody what a form parser made of the body, when one ran before: a token in it is refused
 * @param acceptsDpop whether the scheme DPoP is accepted, too (RFC 9449 §7.1)
 */
export function readCredentials(req: NodeRequest, parsedBody: unknown, acceptsDpop: boolean): Credentials {
  const hasLines = hasLinesOfNode(req);
  if (hasLines) {
    refuseCutHeaders(req);
  }
  refuseTokenInQuery(req.url);
  refuseTokenInForm(req, parsedBody);
  const credentials = hasLines ? soleAuthorization(req.rawHeaders) : joinedAuthorization(req);
  // The length is checked first, so that no pattern runs over a huge value.
  if (credentials.length > MAX_CREDENTIALS_LENGTH) {
    throw new RequestRefused('credentials_too_long', {
      detail:
        `the Authorization header has ${credentials.length} characters, accepted ` +
        `are ${MAX_CREDENTIALS_LENGTH}`,
    });
  }
  if (bearerCredentials.test(credentials)) {
    return { scheme: 'Bearer', token: tokenBehind('Bearer', credentials) };
  }
  if (acceptsDpop && dpopCredentials.test(credentials)) {
    return { scheme: 'DPoP', token: tokenBehind('DPoP', credentials) };
  }
  throw bearerScheme.test(credentials) || (acceptsDpop && dpopScheme.test(credentials))
    ? new RequestRefused('credentials_malformed', {
        detail:
          `the Authorization header has the scheme ${dpopScheme.test(credentials) ? 'DPoP' : 'Bearer'}, ` +
          'and not one token behind it',
      })
    : new RequestRefused('credentials_missing', { detail: explainMissing(credentials, acceptsDpop) });
}

const SPACE = 0x20;

/** The token of credentials that have this scheme, at least one space, and a token without any. */
function tokenBehind(scheme: TokenScheme, credentials: string): string {
  let start = scheme.length;
  // Each request passes here: `lastIndexOf` would cost as much as the pattern.
  while (credentials.charCodeAt(start) === SPACE) {
    start += 1;
  }
  return credentials.slice(start);
}

/** Returns whether a request has the scheme DPoP. Never throws. */
export function hasDpopScheme(req: NodeRequest): boolean {
  try {
    return headerValues(req, 'authorization').some((credentials) => dpopScheme.test(credentials));
  } catch {
    return false;
  }
}

/**
 * Schemes that clients send instead of Bearer. No other word is named: it may be the token itself.
 */
const otherSchemes = ['DPoP', 'Basic', 'Digest', 'Negotiate', 'MAC', 'Signature', 'Token'] as const;

function explainMissing(credentials: string, acceptsDpop: boolean): string {
  if (credentials === '') {
    return 'there is no Authorization header';
  }
  const accepted = acceptsDpop ? 'Bearer or DPoP' : 'Bearer';
  const start = credentials.slice(0, 20).toLowerCase();
  const scheme = otherSchemes.find((name) => start.startsWith(`${name.toLowerCase()} `));
  return scheme === undefined
    ? `the Authorization header does not begin with the scheme ${accepted}`
    : `the Authorization header: expected the scheme ${accepted}, got ${scheme}`;
}

/**
 * Whether the request has the header lines that Node's parser keeps. Throws for a stand-in for a
 * request, as a tool for tests makes it, that has no headers. Where there are lines, `headers` stays
 * untouched: Node makes that object when it is first read, which costs as much as the rest of a
 * check.
 */
function hasLinesOfNode(req: NodeRequest): boolean {
  const { rawHeaders } = req;
  // The accessor of Node's own requests is no member of their own.
  const isOfNode = !Object.hasOwn(req, 'headers') && 'headers' in req;
  if (isOfNode && Array.isArray(rawHeaders) && rawHeaders.length > 0) {
    return true;
  }
  const { headers } = req;
  if (!Array.isArray(rawHeaders) || typeof headers !== 'object' || headers === null) {
    throw new TellableError(
      'the request has no headers or no rawHeaders; expected both, as Node gives them: ' +
        'see what made the request',
    );
  }
  return hasHeaderLines(req);
}

/**
 * Header lines that Node keeps of a request of HTTP/1.1 where `server.maxHeadersCount` is not set.
 */
const DEFAULT_MAX_HEADERS = 1_000;

/**
 * Refuses a request with as many header lines as Node keeps: it silently drops further ones,
 * and a second certificate, secret or token may be among them. HTTP/2 refuses such a request by
 * itself.
 */
function refuseCutHeaders(req: NodeRequest): void {
  // Not by its version: a request line over HTTP/1 may say HTTP/2.0.
  if (http2StreamOf(req) !== undefined) {
    return;
  }
  const limit = headerLimitOf(req.socket);
  // 0 has Node keep every line.
  if (limit > 0 && req.rawHeaders.length >= 2 * limit) {
    throw new RequestRefused('headers_too_many', { detail: `Node keeps ${limit} header lines of a request` });
  }
}

interface LimitedSocket {
  readonly parser?: { readonly maxHeaderPairs?: unknown } | null;
  readonly server?: { readonly maxHeadersCount?: unknown };
}

/**
 * Returns how many header lines Node keeps of a request on this connection. Its parser knows for
 * certain: `socket.server` is another server where the connection was handed over, and a server may
 * have been changed since the connection began.
 */
function headerLimitOf(socket: unknown): number {
  const { parser, server } = (socket ?? {}) as LimitedSocket;
  if (typeof parser?.maxHeaderPairs === 'number') {
    // Counts names and values each.
    return parser.maxHeaderPairs / 2;
  }
  return typeof server?.maxHeadersCount === 'number' ? server.maxHeadersCount : DEFAULT_MAX_HEADERS;
}

/**
 * Node's `req.headers.authorization` silently keeps the first of several lines: only `rawHeaders`
 * shows them all.
 */
function soleAuthorization(rawHeaders: readonly string[]): string {
  const at = indexOfLine(rawHeaders, 'authorization', 0);
  if (at === -1) {
    return '';
  }
  if (indexOfLine(rawHeaders, 'authorization', at + 2) !== -1) {
    throw new RequestRefused('credentials_repeated');
  }
  return rawHeaders[at + 1] as string;
}

/** Of a request that Node's parser did not make, whose `headers` is all that there is. */
function joinedAuthorization(req: NodeRequest): string {
  const [credentials = '', another] = headerValues(req, 'authorization');
  if (another !== undefined) {
    throw new RequestRefused('credentials_repeated');
  }
  return credentials;
}

function refuseTokenInQuery(url = ''): void {
  const start = url.indexOf('?');
  if (start === -1) {
    return;
  }
  const query = url.slice(start + 1);
  // The name may be percent-encoded; a query with neither is not worth parsing.
  if (
    (query.includes('access_token') || query.includes('%')) &&
    new URLSearchParams(query).has('access_token')
  ) {
    throw new RequestRefused('credentials_in_query');
  }
}

function refuseTokenInForm(req: NodeRequest, body: unknown): void {
  if (
    typeof body === 'object' &&
    body !== null &&
    Object.hasOwn(body, 'access_token') &&
    mediaTypeOf(req.headers['content-type']) === formType
  ) {
    throw new RequestRefused('credentials_in_body');
  }
}
