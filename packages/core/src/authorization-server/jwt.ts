import {
  type CryptoKey,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose';
import { ConfigurationError, RequestRefused } from '../errors.js';
import { functionLike, OptionReader } from '../option-rules.js';
import { readTokenClaims, type TokenAnswer } from '../token-claims.js';
import type { TokenSource } from './introspection.js';
import { remoteKeys } from './key-set.js';
import { type DecryptionKey, decryptionKeys, signedJwtIn } from './nested-jwt.js';
import { acceptedAlgorithms, algorithmList, type SignatureAlgorithm } from './signature-algorithms.js';

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
  return (access) => {
    const { issuer, audience, clockTolerance, metadata, http, permittedAlgorithms } = access;
    const algorithms = acceptedAlgorithms('jwtAccessTokens().algorithms', chosen, permittedAlgorithms);
    if (audience === 'server-enforced') {
      throw new ConfigurationError(
        'audience',
        "'server-enforced' was given beside jwtAccessTokens(); accepted is the identifier of this API (RFC 9068 §4)",
      );
    }
    const keys = remoteKeys(metadata, http);
    const rules: JWTVerifyOptions = {
      typ: 'at+jwt',
      issuer,
      audience: [...audience],
      algorithms,
      clockTolerance,
      requiredClaims,
    };
    const read = async (token: string): Promise<TokenAnswer> => {
      try {
        return await readSigned(await signedJwtIn(token, ownKeys), keys, rules, issuer);
      } catch (error) {
        return asDefect(error);
      }
    };
    return introspection === undefined ? read : Object.assign(read, { introspect: introspection(access) });
  };
}

async function readSigned(
  jwt: string,
  keys: JWTVerifyGetKey,
  rules: JWTVerifyOptions,
  issuer: string,
): Promise<TokenAnswer> {
  try {
    return read((await jwtVerify(jwt, keys, rules)).payload, issuer);
  } catch (error) {
    if (error instanceof errors.JWKSMultipleMatchingKeys) {
      return readByAnyOf(error, jwt, rules, issuer);
    }
    throw error;
  }
}

function read(payload: JWTPayload, issuer: string): TokenAnswer {
  const { sub, client_id, jti } = payload;
  const areTexts = [sub, client_id, jti].every((claim) => typeof claim === 'string');
  return areTexts ? readTokenClaims(payload, issuer) : 'token_claims_malformed';
}

/** Several keys fit the header: the one that made the signature decides (FAPI 2.0 §5.4.3). */
async function readByAnyOf(
  keys: AsyncIterable<CryptoKey>,
  token: string,
  rules: JWTVerifyOptions,
  issuer: string,
): Promise<TokenAnswer> {
  for await (const key of keys) {
    try {
      return read((await jwtVerify(token, key, rules)).payload, issuer);
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) {
        throw error;
      }
    }
  }
  return 'token_inactive';
}

/** What jose finds wrong is wrong with the token; all else is trouble of the server's or ours, and is thrown on. */
function asDefect(error: unknown): TokenAnswer {
  if (error instanceof RequestRefused || !(error instanceof errors.JOSEError)) {
    throw error;
  }
  return 'token_inactive';
}
