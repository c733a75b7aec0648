import type { RequesterFacts } from '../authorization-server/requester.js';
import { TellableError } from '../errors.js';
import { MAX_NESTING, nestsTooDeep } from '../shared/json-nesting.js';
import { readOwnMember } from '../shared/own-member.js';
import { InternCache } from './intern-cache.js';
import { createTokenRejection, isTokenRejection, type TokenRejection } from './token-rejection.js';

/**
 * What is known of an active access token, read once and frozen; every source of claims ends here.
 */
export interface TokenClaims {
  /** `sub` */
  readonly subject: string | undefined;
  /** `client_id` */
  readonly clientId: string | undefined;
  /** `scope`, one by one; empty where the token names none. */
  readonly scopes: readonly string[];
  /**
   * The issuer whose authorization server vouches for the token, whether or not it says so in
   * `iss`.
   */
  readonly issuer: string;
  /** `aud`. Undefined when the token names no audience. */
  readonly audience: readonly string[] | undefined;
  /** `token_type` */
  readonly tokenType: string | undefined;
  /** `exp`, seconds since the epoch. */
  readonly expiresAt: number | undefined;
  /** `nbf`, seconds since the epoch. */
  readonly notBefore: number | undefined;
  /** `iat`, seconds since the epoch. */
  readonly issuedAt: number | undefined;
  /** The `cnf` claim as it stands, whatever its type (RFC 7800 §3.1). */
  readonly confirmation: unknown;
  /** Every claim as it came, deeply frozen. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The claims of an active token, or why it is none. */
export type TokenAnswer = TokenClaims | TokenRejection;

/**
 * How a token becomes claims. Resolves with the claims of an active token or with its rejection,
 * and rejects with `RequestRefused` when that could not be found out: only what was resolved is
 * ever cached.
 */
export interface TokenReader {
  /** `requester` is for `http` and for the readers that this one calls: pass it on. */
  (token: string, requester?: RequesterFacts): Promise<TokenAnswer>;
  /**
   * Says where the answers come from. `introspection`: the authorization server is asked about each
   * token. `self-contained`: the token itself is read, as a JWT is, and does not say whether it was
   * revoked. Default `self-contained`, and `introspection` for a reader that is its own `introspect`.
   */
  readonly kind?: 'introspection' | 'self-contained';
  /**
   * Asks the authorization server about a token, for a reader that is `self-contained`. Not used
   * for one of the kind `introspection`, which asks in any case.
   */
  readonly introspect?: (token: string, requester?: RequesterFacts) => Promise<TokenAnswer>;
  /**
   * Asks the authorization server what reading a token needs, and rejects with `RequestRefused` if
   * it does not answer so.
   */
  readonly ready?: () => Promise<void>;
}

/**
 * Reads claims whose types are settled by RFC 7662 §2.2 and RFC 7519 §4.1. A claim that is `null`
 * counts as absent, as some servers write what they have no value for. A member of `cnf` that is `null`
 * does not: a token is refused if it names a method of confirmation that can't be verified. A claim of
 * another type makes the token malformed: it is never guessed at. `issuer` is whose server said so.
 *
 * Takes over `claims`: deeply freezes this very object, and may replace texts in it by equal ones. Give it a
 * copy if you change the object later.
 */
export function readTokenClaims(claims: Record<string, unknown>, issuer: string): TokenAnswer {
  for (const { name, accepted, is } of claimTypes) {
    const value = claimOf(claims, name);
    if (value !== undefined && !is(value)) {
      return createTokenRejection('token_claims_malformed', `${name} is not ${accepted}`);
    }
  }
  if (nestsTooDeep(claims)) {
    return tooDeep;
  }
  const aud = claimOf(claims, 'aud') as string | string[] | undefined;
  const audience = typeof aud === 'string' ? audienceOf(aud) : aud;
  return new ParsedTokenClaims(claims, issuer, claimOf(claims, 'scope') as string | undefined, audience);
}

interface ClaimType {
  readonly name: string;
  readonly accepted: string;
  readonly is: (value: unknown) => boolean;
}

/** The claims that every token is read for. */
const claimTypes: readonly ClaimType[] = [
  ...['sub', 'client_id', 'scope', 'iss', 'token_type', 'jti', 'sid'].map((name) => ({
    name,
    accepted: 'a string',
    is: isString,
  })),
  {
    name: 'aud',
    accepted: 'a string or a list of strings',
    is: (value) => isString(value) || isStringArray(value),
  },
  ...['exp', 'nbf', 'iat'].map((name) => ({
    name,
    accepted: 'a number of seconds since 1970',
    is: isTime,
  })),
];

const tooDeep = createTokenRejection(
  'token_claims_malformed',
  `the claims nest deeper than ${MAX_NESTING} levels`,
);

/** Returns a claim of the token's own; undefined where it is absent or `null`. */
export function claimOf(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  return readOwnMember(claims, name) ?? undefined;
}

/**
 * Returns the answer of a token source as a frozen copy, which the source can't change any more.
 * Each member is read once. What `readTokenClaims` returned is returned as it is. Throws
 * `TypeError`, which holds no value, for what a source must not return.
 */
export function parseTokenAnswer(answer: unknown): TokenAnswer {
  if (isTokenRejection(answer) || ParsedTokenClaims.isParsedTokenClaims(answer)) {
    return answer;
  }
  if (typeof answer !== 'object' || answer === null) {
    throw new TellableError(
      'the token source returned something that is neither TokenClaims nor a rejection',
    );
  }
  const { subject, clientId, scopes, issuer, audience, tokenType, expiresAt, notBefore, issuedAt } =
    answer as Partial<TokenClaims>;
  const { confirmation, claims } = answer as Partial<TokenClaims>;
  requireWhatClaimsSay(claims, {
    sub: subject,
    client_id: clientId,
    aud: audience,
    token_type: tokenType,
    exp: expiresAt,
    nbf: notBefore,
    iat: issuedAt,
    cnf: confirmation,
  });
  const copiedClaims = checked('claims', copyOfJson('claims', claims), isRecord);
  if (nestsTooDeep(copiedClaims)) {
    return tooDeep;
  }
  const nameless = ['jti', 'sid'].find((name) => !optionalString(claimOf(copiedClaims, name)));
  if (nameless !== undefined) {
    return createTokenRejection('token_claims_malformed', `${nameless} is not a string`);
  }
  return Object.freeze({
    subject: checked('subject', subject, optionalString),
    clientId: checked('clientId', clientId, optionalString),
    scopes: Object.freeze(checked('scopes', copyOfArray(scopes), isStringArray)),
    issuer: checked('issuer', issuer, isString),
    audience: Object.freeze(
      checked('audience', copyOfArray(audience), (value) => isOptional(value, isStringArray)),
    ),
    tokenType: checked('tokenType', tokenType, optionalString),
    expiresAt: checked('expiresAt', expiresAt, optionalTime),
    notBefore: checked('notBefore', notBefore, optionalTime),
    issuedAt: checked('issuedAt', issuedAt, optionalTime),
    confirmation: copyOfJson('confirmation', confirmation),
    claims: copiedClaims,
  } satisfies TokenClaims);
}

/** Throws if a source left out the member for a claim: the check that reads this member would not run. */
function requireWhatClaimsSay(claims: unknown, members: Readonly<Record<string, unknown>>): void {
  for (const [claim, member] of Object.entries(members)) {
    const isSaid =
      typeof claims === 'object' &&
      claims !== null &&
      claimOf(claims as Record<string, unknown>, claim) !== undefined;
    if (isSaid && member === undefined) {
      throw new TellableError(
        `the token source returned TokenClaims without the member for the claim ${claim}`,
      );
    }
  }
}

function checked<T>(name: keyof TokenClaims, value: unknown, is: (value: unknown) => value is T): T {
  if (!is(value)) {
    throw wrongType(name);
  }
  return value;
}

function wrongType(name: keyof TokenClaims): TypeError {
  return new TellableError(`the token source returned TokenClaims whose member ${name} has a wrong type`);
}

/** Returns an array as one without holes: a hole is `undefined` then. */
function copyOfArray(value: unknown): unknown {
  return Array.isArray(value) ? Array.from({ length: value.length }, (_hole, i) => value[i]) : value;
}

/**
 * Returns a frozen copy of a value that JSON can write, with the members of its objects read once.
 * Without recursion: claims may nest deeper than the stack. Throws `TypeError` for any other value,
 * as for a `Date` or a function: it could change later.
 */
function copyOfJson(name: keyof TokenClaims, root: unknown): unknown {
  const copies = new Map<object, object>();
  const pending: [object, object][] = [];
  const copyOf = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) {
      if (typeof value === 'function' || typeof value === 'symbol') {
        throw wrongType(name);
      }
      return value;
    }
    const known = copies.get(value);
    if (known !== undefined) {
      return known;
    }
    if (!Array.isArray(value) && !isPlain(value)) {
      throw wrongType(name);
    }
    const copy = Array.isArray(value) ? [] : {};
    copies.set(value, copy);
    pending.push([value, copy]);
    return copy;
  };
  const copied = copyOf(root);
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    const [from, to] = pair;
    const members = Array.isArray(from)
      ? Object.entries(copyOfArray(from) as unknown[])
      : Object.entries(from);
    for (const [key, value] of members) {
      // A member may be named `__proto__`.
      Object.defineProperty(to, key, { value: copyOf(value), enumerable: true });
    }
    Object.freeze(to);
  }
  return copied;
}

/** Whether an object is no instance of a class, in whichever realm it was made. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Each member is its own and enumerable, so that a copy by spread, as a user's token source may
 * make one, has it too.
 */
class ParsedTokenClaims implements TokenClaims {
  readonly subject: string | undefined;
  readonly clientId: string | undefined;
  readonly scopes: readonly string[];
  readonly issuer: string;
  readonly audience: readonly string[] | undefined;
  readonly tokenType: string | undefined;
  readonly expiresAt: number | undefined;
  readonly notBefore: number | undefined;
  readonly issuedAt: number | undefined;
  readonly confirmation: unknown;
  readonly claims: Readonly<Record<string, unknown>>;
  // Marks what this class made: nothing else is passed on without a copy.
  readonly #isRead = true;

  /** The claims' types were checked. */
  constructor(
    claims: Record<string, unknown>,
    issuer: string,
    scope: string | undefined,
    audience: readonly string[] | undefined,
  ) {
    const read = deepFreeze(withInternedTexts(claims));
    this.subject = claimOf(read, 'sub') as string | undefined;
    this.clientId = claimOf(read, 'client_id') as string | undefined;
    this.scopes = scope === undefined ? noScopes : scopesIn(scope);
    this.issuer = issuer;
    this.audience = audience;
    this.tokenType = claimOf(read, 'token_type') as string | undefined;
    this.expiresAt = claimOf(read, 'exp') as number | undefined;
    this.notBefore = claimOf(read, 'nbf') as number | undefined;
    this.issuedAt = claimOf(read, 'iat') as number | undefined;
    this.confirmation = claimOf(read, 'cnf');
    this.claims = read;
    Object.freeze(this);
  }

  static isParsedTokenClaims(value: unknown): value is ParsedTokenClaims {
    return typeof value === 'object' && value !== null && #isRead in value && value.#isRead;
  }
}

const scopesIn = new InternCache((scope) => Object.freeze(scope.split(' ').filter((name) => name !== ''))).of;
const audienceOf = new InternCache((name) => Object.freeze([name])).of;
const textOf = new InternCache((text) => text).of;
const noScopes: readonly string[] = Object.freeze([]);

/** Claims whose values many tokens share: `JSON.parse` makes a new string for each token. */
const internedClaims = ['iss', 'aud', 'client_id', 'scope', 'token_type'] as const;

function withInternedTexts(claims: Record<string, unknown>): Record<string, unknown> {
  if (Object.isFrozen(claims)) {
    return claims;
  }
  for (const name of internedClaims) {
    const value = readOwnMember(claims, name);
    if (typeof value === 'string') {
      claims[name] = textOf(value);
    }
  }
  return claims;
}

function isOptional<T>(value: unknown, is: (value: unknown) => value is T): value is T | undefined {
  return value === undefined || is(value);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isStringArray(value: unknown): value is string[] {
  // Not every(), which leaves out holes.
  return Array.isArray(value) && Array.from(value).every(isString);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Seconds: the latest that a `Date` can hold. JSON can say 1e400, which parses as Infinity. */
const LATEST = 8_640_000_000_000;

/** A NumericDate (RFC 7519 §2). */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LATEST;
}

const optionalString = (value: unknown): value is string | undefined => isOptional(value, isString);
const optionalTime = (value: unknown): value is number | undefined => isOptional(value, isTime);

/** Freezes without recursion: a hostile answer may nest deeper than the stack. */
function deepFreeze<T extends object>(root: T): T {
  const pending: object[] = [root];
  for (let object = pending.pop(); object !== undefined; object = pending.pop()) {
    Object.freeze(object);
    for (const value of Object.values(object)) {
      if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
        pending.push(value);
      }
    }
  }
  return root;
}
