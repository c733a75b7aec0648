import type { OptionRule } from '../shared/option-rules.js';
import { claimOf } from '../token/token-claims.js';
import { createTokenRejection, describeClaim, type TokenRejection } from '../token/token-rejection.js';

/** The header `typ` of RFC 9068, which access tokens alone have. */
export const accessTokenType = 'at+jwt';

/** The word for a JWT without `typ`. */
const absent = 'absent';

/**
 * The option `typ`, as media types in lower case without `application/`; an empty one is a JWT
 * without `typ`.
 */
export const acceptedTypes: OptionRule<readonly string[]> = {
  accepted:
    "a list of 'at+jwt', 'JWT', 'absent' for a token without typ, or a server's own type that ends in at+jwt",
  read: (given) => {
    const types = Array.isArray(given) ? Array.from(given, typeOf) : [];
    return types.length > 0 && types.every((type) => type !== undefined) ? Object.freeze(types) : undefined;
  },
};

/**
 * Other types are those of other JWTs, as `logout+jwt`: none of them may pass for an access token
 * (RFC 8725 §3.11).
 */
function typeOf(given: unknown): string | undefined {
  const type = typeof given === 'string' ? given.toLowerCase().replace(/^application\//, '') : '';
  if (given === absent) {
    return '';
  }
  return type === 'jwt' || /^(?:[a-z0-9.-]+-)?at\+jwt$/.test(type) ? type : undefined;
}

type ClaimsByKind = Readonly<Record<string, readonly string[]>>;

const claimsOfRefreshTokens = ['granted_scopes', 'ati'] as const;

/** Claims that access tokens do not have, by the JWT that has them. */
const claimsOfOthers: ClaimsByKind = {
  'an ID token': [
    'at_hash',
    'c_hash',
    's_hash',
    'ds_hash',
    'urn:openid:params:jwt:claim:rt_hash',
    'urn:openid:params:jwt:claim:auth_req_id',
  ],
  'a refresh token': claimsOfRefreshTokens,
  'a logout token or a security event token': ['events'],
  'an introspection answer': ['token_introspection', 'active'],
  'an authorization response': ['code', 'access_token', 'id_token', 'error'],
  'a verifiable credential': ['vct', '_sd', '_sd_alg'],
  'a client registration': ['software_statement'],
};

/**
 * Claims of other JWTs that an access token may have for something else: it then has to say that it
 * is an access token.
 */
const likelyClaimsOfOthers: ClaimsByKind = {
  'an ID token': ['nonce'],
  'a security event token': ['toe', 'txn', 'sub_id'],
  'an authorization response': ['state'],
  'a request object': ['response_type', 'redirect_uri', 'code_challenge'],
  'a client registration': ['redirect_uris'],
};

interface KindClaim {
  readonly name: string;
  /** Its values in access tokens, as `wordOf` returns them. */
  readonly access: readonly string[];
  /**
   * Its values in other JWTs, as `wordOf` returns them; undefined if every value that is not in `access`
   * is one.
   */
  readonly others: readonly string[] | undefined;
}

const accessWords = ['access', 'accesstoken', 'atjwt'];
const otherWords = ['id', 'identity', 'refresh', 'offline', 'logout', 'registration', 'authorizationcode']
  .flatMap((word) => [word, `${word}token`])
  .concat('rtjwt');

/** Claims by which some servers say what a JWT is. */
const kindClaims: readonly KindClaim[] = [
  { name: 'typ', access: ['bearer', 'atjwt'], others: undefined },
  { name: 'token_use', access: ['access', 'accesstoken'], others: undefined },
  { name: 'tokenName', access: ['accesstoken'], others: undefined },
  // These names may have another meaning too: an unknown word, as in `token_type: Bearer`, neither
  // accepts nor refuses a JWT.
  ...['purpose', 'type', 'tokenType', 'token_type', 'use', 'tokenUse', 'kind', 'tokenKind'].map((name) => ({
    name,
    access: accessWords,
    others: otherWords,
  })),
];

/**
 * Returns why a JWT may be something else than an access token; undefined for one that shows that
 * it is one. The type of RFC 9068 shows it. Without that type it has to name a scope of an API, or
 * to say by a claim of its server that it is an access token, and must have no claim of another
 * kind of JWT. `claims` have the standard names.
 */
export function explainOtherKind(
  type: string,
  claims: Readonly<Record<string, unknown>>,
): TokenRejection | undefined {
  if (type === accessTokenType) {
    return undefined;
  }
  const other = otherClaim(claims, claimsOfOthers) ?? otherWord(claims);
  if (other !== undefined) {
    return createTokenRejection('jwt_type_not_accepted', other);
  }
  if (kindClaims.some((one) => kindSaidBy(one, claimOf(claims, one.name)) === 'access-token')) {
    return undefined;
  }
  const doubt = otherClaim(claims, likelyClaimsOfOthers) ?? missingScope(claims, type);
  return doubt === undefined ? undefined : createTokenRejection('jwt_type_not_accepted', doubt);
}

function otherClaim(
  claims: Readonly<Record<string, unknown>>,
  claimsByKind: ClaimsByKind,
): string | undefined {
  for (const [kind, names] of Object.entries(claimsByKind)) {
    const found = names.find((name) => claimOf(claims, name) !== undefined);
    if (found !== undefined) {
      return `it has ${found}, as ${kind} has`;
    }
  }
  return undefined;
}

function otherWord(claims: Readonly<Record<string, unknown>>): string | undefined {
  const other = kindClaims.find((one) => kindSaidBy(one, claimOf(claims, one.name)) === 'another-kind');
  return other && `its claim ${other.name} is ${describeKind(claimOf(claims, other.name))}`;
}

/**
 * Values of `token_use` and `typ` in introspection answers about access tokens, besides those of
 * JWTs.
 */
const accessInAnswers = ['access', 'access_token', 'jwt'];

/**
 * Returns why an introspection answer is about something else than an access token, where it says
 * so: servers introspect refresh tokens and ID tokens too (RFC 7662 §2.1).
 */
export function explainOtherKindOfAnswer(
  answer: Readonly<Record<string, unknown>>,
): TokenRejection | undefined {
  for (const one of kindClaims) {
    const value = claimOf(answer, one.name);
    const isAccess = typeof value === 'string' && accessInAnswers.includes(value.toLowerCase());
    if (!isAccess && kindSaidBy(one, value) === 'another-kind') {
      return createTokenRejection('token_wrong_type', `its ${one.name} is ${describeKind(value)}`);
    }
  }
  const found = claimsOfAnswersAboutOthers.find((name) => claimOf(answer, name) !== undefined);
  return found === undefined
    ? undefined
    : createTokenRejection(
        'token_wrong_type',
        `the answer has ${found}, as one about an ID token or another JWT has`,
      );
}

const claimsOfAnswersAboutOthers = [
  'at_hash',
  'c_hash',
  's_hash',
  'events',
  'token_introspection',
  ...claimsOfRefreshTokens,
] as const;

function kindSaidBy(
  { access, others }: KindClaim,
  value: unknown,
): 'access-token' | 'another-kind' | undefined {
  if (value === undefined) {
    return undefined;
  }
  const word = wordOf(value);
  if (access.includes(word)) {
    return 'access-token';
  }
  return others === undefined || others.includes(word) ? 'another-kind' : undefined;
}

/** Words by which servers say what a token is, without prefix and separators. */
const knownWords: ReadonlySet<string> = new Set([
  ...accessWords,
  ...otherWords,
  'bearer',
  'jwt',
  'serializedid',
]);

/**
 * Describes the kind that a token says to be: any other value than a known word is not shown, as it
 * may say something of a person.
 */
function describeKind(value: unknown): string {
  const isKnown =
    typeof value === 'string' &&
    knownWords.has(wordOf(value.replace(/^urn:ietf:params:oauth:token-type:/, ''))) &&
    /^(?:urn:ietf:params:oauth:token-type:)?[a-z\s_+-]{1,30}$/i.test(value);
  return isKnown ? describeClaim(value) : 'another value';
}

/**
 * Returns `refreshtoken` for `Refresh-Token` and for
 * `urn:ietf:params:oauth:token-type:refresh_token`.
 */
function wordOf(value: unknown): string {
  const text = typeof value === 'string' ? value.toLowerCase() : '';
  return text.slice(text.lastIndexOf(':') + 1).replaceAll(/[\s_+-]/g, '');
}

/** The scopes of OpenID Connect, which some servers write into ID tokens too. */
const openIdScopes = ['openid', 'profile', 'email', 'address', 'phone', 'offline_access', 'device_sso'];

/**
 * Returns why the scope of a JWT does not show that it is an access token; undefined if it names a
 * scope of an API.
 */
function missingScope(claims: Readonly<Record<string, unknown>>, type: string): string | undefined {
  const scope = claimOf(claims, 'scope');
  const names = typeof scope === 'string' ? scope.split(/\s/).filter((name) => name !== '') : [];
  if (names.some((name) => !openIdScopes.includes(name.toLowerCase()))) {
    return undefined;
  }
  const found = names.length === 0 ? 'names no scope' : 'names scopes of OpenID Connect alone';
  return `it ${found}, so that it may be an ID token; its typ is ${type === '' ? 'none' : 'not at+jwt'}`;
}
