import type { JWTPayload } from 'jose';
import { ConfigurationError } from '../errors.js';
import { functionLike, OptionReader } from '../option-rules.js';
import { claimOf, readTokenClaims, type TokenAnswer, type TokenReader } from '../token-claims.js';
import { defectOf } from '../token-defect.js';
import { isCanonical } from '../token-identity.js';
import type { AuthorizationServerAccess, TokenSource } from './introspection.js';
import { remoteKeys } from './key-set.js';
import { type DecryptionKey, decryptionKeys, signedJwtIn } from './nested-jwt.js';
import { acceptedAlgorithms, algorithmList, type SignatureAlgorithm } from './signature-algorithms.js';
import { JwtRejected, type JwtRules, verifiedJwt } from './verified-jwt.js';

/** Options of `jwtAccessTokens()`. */
export interface JwtAccessTokensOptions {
  /**
   * Algorithms that are accepted: of PS256, ES256, EdDSA, Ed25519 (EdDSA's newer name) and RS256. Default: those of
   * FAPI 2.0 §5.4.1, all but RS256, or those of them that the `profile` permits.
   */
  readonly algorithms?: readonly SignatureAlgorithm[];
  /**
   * Our private key, when tokens are encrypted to us as well; a token that is not is then refused (RFC 9068 §4). A list
   * while one key replaces the other. Default: not encrypted.
   */
  readonly decryptionKey?: DecryptionKey | readonly DecryptionKey[];
  /** `introspection()`, for the routes that `requireActive()` guards: without it they answer 503. Default: none. */
  readonly introspection?: TokenSource;
}

// RFC 9068 §2.2. Their presence also keeps ID tokens and signed introspection answers from passing for access tokens.
const requiredClaims = ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'];

/**
 * Validates JWT access tokens here (RFC 9068 §4), with the keys of the authorization server's `jwks_uri` alone; keys that
 * a token brings or points to are not looked at. Revocation is not seen until the token expires, except on routes behind
 * `requireActive()`. What was validated is cached like any answer.
 *
 * @example
 * mtlsBound({ issuer, audience, tokens: jwtAccessTokens() })
 */
export function jwtAccessTokens(options: JwtAccessTokensOptions = {}): TokenSource {
  const given = new OptionReader('jwtAccessTokens()', options, [
    'algorithms',
    'decryptionKey',
    'introspection',
  ]);
  const chosen = given.optional('algorithms', algorithmList);
  const ownKeys = given.optional('decryptionKey', decryptionKeys);
  const introspection = given.optional('introspection', functionLike<TokenSource>('introspection()'));
  const source = (access: AuthorizationServerAccess): TokenReader => {
    const { issuer, audience, clockTolerance, metadata, http, permittedAlgorithms } = access;
    const algorithms = acceptedAlgorithms('jwtAccessTokens().algorithms', chosen, permittedAlgorithms);
    if (audience === 'server-enforced') {
      throw new ConfigurationError(
        'audience',
        "'server-enforced' was given beside jwtAccessTokens(); accepted is the identifier of this API (RFC 9068 §4)",
      );
    }
    const keys = remoteKeys(metadata, http);
    const rules: JwtRules = {
      types: ['at+jwt'],
      issuer,
      audience: [...audience],
      algorithms,
      clockTolerance,
      requiredClaims,
    };
    const read = async (token: string): Promise<TokenAnswer> => {
      // The same JWT in another spelling would be unknown here, and would not be the one that was revoked.
      if (!isCanonical(token)) {
        return defectOf('jwt_malformed', 'a part of it is not written as base64url demands');
      }
      try {
        return readClaims(await verifiedJwt(await signedJwtIn(token, ownKeys), keys, rules), issuer);
      } catch (error) {
        return asDefect(error);
      }
    };
    return introspection === undefined ? read : Object.assign(read, { introspect: introspection(access) });
  };
  return Object.assign(source, { needs: Object.freeze(['jwks_uri', ...(introspection?.needs ?? [])]) });
}

function readClaims(payload: JWTPayload, issuer: string): TokenAnswer {
  const missing = requiredClaims.find((name) => claimOf(payload, name) === undefined);
  if (missing !== undefined) {
    return defectOf('token_claims_malformed', `no ${missing}`);
  }
  if (typeof payload.jti !== 'string') {
    return defectOf('token_claims_malformed', 'jti is not a string');
  }
  return readTokenClaims(payload, issuer);
}

/** A fault of the JWT is the token's; all else is trouble, and is thrown on. */
function asDefect(error: unknown): TokenAnswer {
  if (error instanceof JwtRejected) {
    return error.defect;
  }
  throw error;
}
