import {
  acceptedAlgorithms,
  algorithmList,
  permittedByDefaultInWords,
} from '../jose/signature-algorithms.js';
import { onlyOptions } from '../shared/call-arguments.js';
import { createMismatch } from '../shared/option-errors.js';
import {
  nestedRule,
  OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  type SettingsOf,
  withDefault,
} from '../shared/option-group.js';
import { functionLike, type OptionRule, text } from '../shared/option-rules.js';
import { joinConfirmations } from '../token/reconciled-claims.js';
import { claimOf, readTokenClaims, type TokenAnswer, type TokenReader } from '../token/token-claims.js';
import { isCanonical } from '../token/token-hash.js';
import { createTokenRejection } from '../token/token-rejection.js';
import type { AuthorizationServerAccess, TokenSource } from '../token/token-source.js';
import { acceptedTypes, accessTokenType, explainOtherKind } from './access-token-kind.js';
import {
  type ClaimMapping,
  type JwtClaimNames,
  jwtClaimOptions,
  readClaimMapping,
  toStandardAnswer,
  toStandardClaims,
} from './claim-names.js';
import { createRemoteKeys } from './key-set.js';
import { jose } from './lazy-modules.js';
import { decryptionKeys, decryptJwt } from './nested-jwt.js';
import type { RequesterFacts } from './requester.js';
import { JwtRejected, type JwtRules, type VerifiedJwt, verifyJwt } from './verified-jwt.js';

/** Those without which a token is not accepted, whatever the options say. */
const alwaysRequired = ['iss', 'exp', 'aud'];

/** Those of RFC 9068 §2.2. */
const requiredByDefault: readonly string[] = ['sub', 'client_id', 'iat', 'jti'];

const claimList: OptionRule<readonly string[]> = {
  accepted: 'a list of names of claims',
  read: (given) =>
    Array.isArray(given) && Array.from(given).every((name) => text.read(name) !== undefined)
      ? Object.freeze([...given])
      : undefined,
};

export const jwtAccessTokensOptions = optionGroup({
  /**
   * The signature algorithms that are accepted, out of PS256, ES256, EdDSA, Ed25519 (the newer name
   * of EdDSA) and RS256. Default: those of FAPI 2.0 §5.4.1, all but RS256, or those of them that
   * the `profile` permits.
   */
  algorithms: optional(algorithmList, { defaultInWords: permittedByDefaultInWords }),
  /**
   * The values of the header `typ` (RFC 9068 §2.1) that are accepted: `at+jwt`, `JWT`, `absent` for
   * a token without `typ`, or a type of your server that ends in `at+jwt`. ID tokens also have
   * `JWT` or no `typ`. So a token of another type than `at+jwt` must name a scope of an API (not
   * only `openid` and similar scopes) or a claim must say that it is an access token (`typ:
   * Bearer`, `token_use: access`). It is refused if it has a claim of another kind of JWT, for
   * example `nonce` or `events`. Default `['at+jwt']`.
   */
  typ: withDefault(acceptedTypes, [accessTokenType]),
  /**
   * Names of claims, for a server that does not use those of RFC 9068. Their values are used as
   * `client_id`, `scope` and `sub` everywhere: in policies, events, revocations and `auth.claims`.
   * `thumbprint` names a claim that binds a token without `cnf`. Default: the names of RFC 9068.
   */
  claims: optional(nestedRule<SettingsOf<typeof jwtClaimOptions>, JwtClaimNames>(jwtClaimOptions), {
    defaultInWords: 'the names of RFC 9068',
  }),
  /**
   * Claims that a token must have (RFC 9068 §2.2). `iss`, `exp` and `aud` are always required.
   * Write `client_id`, `scope` and `sub` for the claims that `claims` names. Default `['sub',
   * 'client_id', 'iat', 'jti']`.
   */
  requiredClaims: withDefault(claimList, requiredByDefault),
  /**
   * The private key of your API, if the server also encrypts its tokens. A token that is not
   * encrypted is then refused (RFC 9068 §4). To replace the key, give a list of both. Default: not
   * encrypted.
   */
  decryptionKey: optional(decryptionKeys, { defaultInWords: 'not encrypted' }),
  /**
   * `introspection()`, for routes with `requireActive()`, and for JWTs that may have been revoked while
   * this process could not hear of it. Without it these routes and such JWTs get 503. Default: none.
   */
  introspection: optional(functionLike<TokenSource>('introspection()')),
});

/** What `jwtAccessTokens()` has returned. */
const jwtSources = new WeakSet<TokenSource>();

/** Returns whether `jwtAccessTokens()` made the source. Each process validates such tokens itself. */
export function isJwtSource(source: TokenSource): boolean {
  return jwtSources.has(source);
}

/** Options of `jwtAccessTokens()`. */
export interface JwtAccessTokensOptions extends OptionsOf<typeof jwtAccessTokensOptions> {}

/**
 * Validates JWT access tokens here (RFC 9068 §4), with the keys of the authorization server's
 * `jwks_uri` alone; keys that a token brings or points to are not looked at. A token that was revoked
 * at the authorization server alone is accepted until it expires, except on routes behind
 * `requireActive()`. One that is revoked here, by `revoke()`, a revocation request or a signal, is
 * refused at once. What was validated is cached like any answer.
 *
 * @example
 * mtlsBound({ issuer, audience, tokens: jwtAccessTokens() })
 *
 * @example
 * // For a server that signs by RS256, writes no typ, and has the client id in azp and the scopes in scp.
 * mtlsBound({
 *   issuer,
 *   audience,
 *   tokens: jwtAccessTokens({
 *     algorithms: ['RS256'],
 *     typ: ['absent'],
 *     claims: { clientId: 'azp', scope: 'scp' },
 *     requiredClaims: ['sub', 'client_id', 'iat'],
 *   }),
 * })
 */
export function jwtAccessTokens(options?: JwtAccessTokensOptions): TokenSource;
export function jwtAccessTokens(...args: [options?: JwtAccessTokensOptions]): TokenSource {
  const given = new OptionReader(
    'jwtAccessTokens()',
    onlyOptions('jwtAccessTokens()', args),
    jwtAccessTokensOptions,
  );
  const {
    algorithms: chosen,
    typ: types,
    requiredClaims,
    decryptionKey: ownKeys,
    introspection,
  } = given.settings();
  const mapping = readClaimMapping(given.nested('claims'), given.isUnwritten('claims'));
  const source = (access: AuthorizationServerAccess): TokenReader => {
    const { issuer, audience, clockTolerance, metadata, http, permittedAlgorithms } = access;
    const algorithms = acceptedAlgorithms('jwtAccessTokens().algorithms', chosen, permittedAlgorithms);
    if (audience === 'server-enforced') {
      throw createMismatch(
        'audience',
        'the identifier of this API next to jwtAccessTokens() (RFC 9068 §4)',
        "'server-enforced'",
      );
    }
    jose.preload();
    const keys = createRemoteKeys(metadata, http);
    const rules: JwtRules = {
      types,
      issuer,
      audience: [...audience],
      algorithms,
      clockTolerance,
      requiredClaims: alwaysRequired,
    };
    const read = async (token: string, requester?: RequesterFacts): Promise<TokenAnswer> => {
      // Another base64url text of a JWT would have another hash, and would escape the revocation of the JWT.
      if (!isCanonical(token)) {
        return createTokenRejection('jwt_malformed', 'a part of it is not written as base64url demands');
      }
      try {
        const signed = await decryptJwt(token, ownKeys);
        if (!isCanonical(signed)) {
          return createTokenRejection(
            'jwt_malformed',
            'a part of the JWT inside it is not written as base64url demands',
          );
        }
        const jwt = await verifyJwt(signed, keys, rules, requester);
        return readClaims(jwt, { issuer, mapping, requiredClaims });
      } catch (error) {
        return toTokenRejection(error);
      }
    };
    const kind = 'self-contained' as const;
    const ready = async (): Promise<void> => {
      await keys.current();
    };
    if (introspection === undefined) {
      return Object.assign(read, { kind, ready });
    }
    const ask = introspection(access);
    const introspect = mapping.isStandard
      ? ask
      : async (token: string, requester?: RequesterFacts): Promise<TokenAnswer> =>
          readAnswer(await ask(token, requester), mapping);
    const allReady = async (): Promise<void> => {
      await ready();
      await ask.ready?.();
    };
    return Object.assign(read, { kind, introspect, ready: allReady });
  };
  jwtSources.add(source);
  return Object.assign(source, { needs: Object.freeze(['jwks_uri', ...(introspection?.needs ?? [])]) });
}

interface ClaimDemands {
  readonly issuer: string;
  readonly mapping: ClaimMapping;
  readonly requiredClaims: readonly string[];
}

function readClaims({ payload, type }: VerifiedJwt, demands: ClaimDemands): TokenAnswer {
  const { issuer, mapping, requiredClaims } = demands;
  const claims = toStandardClaims(payload, mapping);
  if (typeof claims === 'string') {
    return claims;
  }
  const other = explainOtherKind(type, claims);
  if (other !== undefined) {
    return other;
  }
  const missing = requiredClaims.find((name) => claimOf(claims, name) === undefined);
  if (missing !== undefined) {
    return createTokenRejection('token_claims_malformed', `no ${mapping.names.get(missing) ?? missing}`);
  }
  const jti = claimOf(claims, 'jti');
  if (jti !== undefined && typeof jti !== 'string') {
    return createTokenRejection('token_claims_malformed', 'jti is not a string');
  }
  return readTokenClaims(claims, issuer);
}

/**
 * Reads the server's answer about a JWT by the names that the JWT has, so that the two can be
 * compared.
 */
function readAnswer(answer: TokenAnswer, mapping: ClaimMapping): TokenAnswer {
  if (typeof answer === 'string') {
    return answer;
  }
  const standard = toStandardAnswer(answer.claims, mapping);
  const read = typeof standard === 'string' ? standard : readTokenClaims(standard, answer.issuer);
  if (typeof read === 'string') {
    return read;
  }
  const { subject, clientId, scopes, claims } = read;
  // A source of the user's own may return a confirmation that its claims lack: it counts too.
  const confirmation =
    answer.confirmation === claimOf(answer.claims, 'cnf')
      ? read.confirmation
      : joinConfirmations(answer.confirmation, read.confirmation);
  return { ...answer, subject, clientId, scopes, confirmation, claims };
}

/** A fault of the JWT is the token's; all else is trouble, and is thrown on. */
function toTokenRejection(error: unknown): TokenAnswer {
  if (error instanceof JwtRejected) {
    return error.rejection;
  }
  throw error;
}
