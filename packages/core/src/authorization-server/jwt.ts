import { type CryptoKey, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import { ConfigurationError, RequestRefused } from '../errors.js';
import { OptionReader } from '../option-rules.js';
import { readTokenClaims, type TokenAnswer } from '../token-claims.js';
import type { TokenSource } from './introspection.js';
import { remoteKeys } from './key-set.js';
import { algorithmList, fapiAlgorithms, type SignatureAlgorithm } from './signature-algorithms.js';

/** Options of `jwtAccessTokens()`. */
export interface JwtAccessTokensOptions {
  /** Algorithms that are accepted. Default those of FAPI 2.0 §5.4.1: PS256, ES256, EdDSA. RS256 only when named. */
  readonly algorithms?: readonly SignatureAlgorithm[];
}

// RFC 9068 §2.2. Their presence also keeps ID tokens and signed introspection answers from passing for access tokens.
const requiredClaims = ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'];

/**
 * Validates JWT access tokens here (RFC 9068 §4), with the keys of the authorization server's `jwks_uri` alone; keys that
 * a token brings or points to are not looked at. Revocation is not seen until the token expires (`introspection()` sees
 * it). What was validated is cached like any answer.
 *
 * @example
 * mtlsBound({ issuer, clientId, clientSecret, audience, tokens: jwtAccessTokens() })
 */
export function jwtAccessTokens(options: JwtAccessTokensOptions = {}): TokenSource {
  const given = new OptionReader('jwtAccessTokens()', options, ['algorithms']);
  const algorithms = [...(given.optional('algorithms', algorithmList) ?? fapiAlgorithms)];
  return ({ issuer, audience, clockTolerance, metadata, http }) => {
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
    return async (token) => {
      try {
        return read((await jwtVerify(token, keys, rules)).payload);
      } catch (error) {
        if (error instanceof errors.JWKSMultipleMatchingKeys) {
          return readByAnyOf(error, token, rules);
        }
        return asDefect(error);
      }
    };
  };
}

function read(payload: JWTPayload): TokenAnswer {
  const { sub, client_id, jti } = payload;
  const areTexts = [sub, client_id, jti].every((claim) => typeof claim === 'string');
  return areTexts ? readTokenClaims(payload) : 'token_claims_malformed';
}

/** Several keys fit the header: the one that made the signature decides (FAPI 2.0 §5.4.3). */
async function readByAnyOf(
  keys: AsyncIterable<CryptoKey>,
  token: string,
  rules: JWTVerifyOptions,
): Promise<TokenAnswer> {
  for await (const key of keys) {
    try {
      return read((await jwtVerify(token, key, rules)).payload);
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) {
        return asDefect(error);
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
