import type { OptionRule } from '../option-rules.js';
import { claimOf } from '../token-claims.js';
import { defectOf, shownClaim, type TokenDefect } from '../token-defect.js';

/** The header `typ` of RFC 9068, which access tokens alone have. */
export const accessTokenType = 'at+jwt';

/** The word for a JWT without `typ`. */
const absent = 'absent';

/** The option `typ`, as media types in lower case without `application/`; an empty one is a JWT without `typ`. */
export const acceptedTypes: OptionRule<readonly string[]> = {
  accepted:
    "a list of 'at+jwt', 'JWT', 'absent' for a token without typ, or a server's own type that ends in at+jwt",
  read: (given) => {
    const types = Array.isArray(given) ? Array.from(given, typeOf) : [];
    return types.length > 0 && types.every((type) => type !== undefined) ? Object.freeze(types) : undefined;
  },
};

/** Other types are those of other JWTs, as `logout+jwt`: none of them may pass for an access token (RFC 8725 §3.11). */
function typeOf(given: unknown): string | undefined {
  const type = typeof given === 'string' ? given.toLowerCase().replace(/^application\//, '') : '';
  if (given === absent) {
    return '';
  }
  return type === 'jwt' || /^(?:[a-z0-9.-]+-)?at\+jwt$/.test(type) ? type : undefined;
}

/** Claims that access tokens do not have, by the JWT that has them. */
const claimsOfOthers: Readonly<Record<string, readonly string[]>> = {
  'an ID token': ['at_hash', 'c_hash', 's_hash'],
  'a logout token or a security event token': ['events'],
  'an introspection answer': ['token_introspection'],
  'an authorization response': ['code', 'access_token', 'id_token', 'error'],
};

interface KindClaim {
  readonly name: string;
  /** Its values in access tokens, in lower case. */
  readonly access: readonly string[];
  /** Its values in other JWTs; undefined for each other value. */
  readonly others: readonly string[] | undefined;
}

/** Claims by which some servers say what a JWT is. */
const kindClaims: readonly KindClaim[] = [
  { name: 'typ', access: ['bearer', 'at+jwt'], others: undefined },
  { name: 'token_use', access: ['access'], others: undefined },
  { name: 'tokenName', access: ['access_token'], others: undefined },
  // A word that an access token may have for something else.
  { name: 'purpose', access: ['access_token'], others: ['id', 'id_token', 'refresh_token'] },
];

/**
 * Returns why a JWT may be something else than an access token; undefined for one that shows that it is one. The type of
 * RFC 9068 shows it. Without that type it has to name a scope, or to say by a claim of its server that it is an access token, and
 * must have no claim of another kind of JWT. `claims` have the standard names.
 */
export function otherKind(type: string, claims: Readonly<Record<string, unknown>>): TokenDefect | undefined {
  if (type === accessTokenType) {
    return undefined;
  }
  for (const [kind, names] of Object.entries(claimsOfOthers)) {
    const found = names.find((name) => claimOf(claims, name) !== undefined);
    if (found !== undefined) {
      return defectOf('jwt_type_not_accepted', `it has ${found}, as ${kind} has`);
    }
  }
  const said = kindClaims.map((one) => kindSaidBy(one, claimOf(claims, one.name)));
  const other = said.indexOf('another kind');
  if (other >= 0) {
    const { name = '' } = kindClaims[other] ?? {};
    return defectOf('jwt_type_not_accepted', `its claim ${name} is ${shownClaim(claimOf(claims, name))}`);
  }
  if (said.includes('access token')) {
    return undefined;
  }
  if (claimOf(claims, 'nonce') !== undefined) {
    return defectOf('jwt_type_not_accepted', 'it has nonce, as an ID token has');
  }
  return hasScope(claims)
    ? undefined
    : defectOf(
        'jwt_type_not_accepted',
        `it names no scope, so that it may be an ID token; its typ is ${type === '' ? 'none' : 'not at+jwt'}`,
      );
}

/** Values of `token_use` and `typ` in introspection answers about access tokens, besides those of JWTs. */
const accessInAnswers = ['access', 'access_token', 'jwt'];

/**
 * Returns why an introspection answer is about something else than an access token, where it says so: servers introspect refresh
 * tokens and ID tokens too (RFC 7662 §2.1).
 */
export function otherKindOfAnswer(answer: Readonly<Record<string, unknown>>): TokenDefect | undefined {
  for (const one of kindClaims) {
    const value = claimOf(answer, one.name);
    const isAccess = typeof value === 'string' && accessInAnswers.includes(value.toLowerCase());
    if (!isAccess && kindSaidBy(one, value) === 'another kind') {
      return defectOf('token_wrong_type', `its ${one.name} is ${shownClaim(value)}`);
    }
  }
  const found = claimsOfAnswersAboutOthers.find((name) => claimOf(answer, name) !== undefined);
  return found === undefined
    ? undefined
    : defectOf('token_wrong_type', `the answer has ${found}, as one about an ID token or another JWT has`);
}

const claimsOfAnswersAboutOthers = ['at_hash', 'c_hash', 's_hash', 'events', 'token_introspection'] as const;

function kindSaidBy(
  { access, others }: KindClaim,
  value: unknown,
): 'access token' | 'another kind' | undefined {
  if (value === undefined) {
    return undefined;
  }
  const word = typeof value === 'string' ? value.toLowerCase() : '';
  if (access.includes(word)) {
    return 'access token';
  }
  return others === undefined || others.includes(word) ? 'another kind' : undefined;
}

/** ID tokens name no scope. */
function hasScope(claims: Readonly<Record<string, unknown>>): boolean {
  const scope = claimOf(claims, 'scope');
  return typeof scope === 'string' && scope.trim() !== '';
}
