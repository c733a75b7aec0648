import type { KeyObject } from 'node:crypto';
import type { errors as JoseErrors, JWTPayload, JWTVerifyOptions } from 'jose';
import {
  createTokenRejection,
  describeClaim,
  describeWrongAudience,
  describeWrongIssuer,
  secondsAgo,
  type TokenRejection,
} from '../token/token-rejection.js';
import type { KeyHeader, RemoteKeys } from './key-set.js';
import { jose } from './lazy-modules.js';
import type { RequesterFacts } from './requester.js';

/**
 * A JWT that is refused for its own fault, as opposed to a failure of the authorization server or
 * of this API. The message is its rejection.
 */
export class JwtRejected extends Error {
  override readonly name = 'JwtRejected';
  readonly rejection: TokenRejection;

  constructor(rejection: TokenRejection) {
    super(rejection);
    this.rejection = rejection;
  }
}

/**
 * The errors of jose that a JWT alone causes. Every other error is trouble, and says nothing about the
 * token.
 */
const faultsOfTheJwt: ReadonlyMap<string, TokenRejection> = new Map([
  ['ERR_JWS_INVALID', 'jwt_malformed'],
  ['ERR_JWS_SIGNATURE_VERIFICATION_FAILED', 'jwt_signature_invalid'],
  ['ERR_JWE_INVALID', 'jwt_malformed: it is not encrypted as decryptionKey demands'],
  ['ERR_JWE_DECRYPTION_FAILED', 'jwt_not_decryptable: no decryptionKey opens it'],
  ['ERR_JWT_INVALID', 'jwt_malformed: its payload is not a JSON object'],
  ['ERR_JOSE_ALG_NOT_ALLOWED', 'jwt_algorithm_not_accepted'],
  ['ERR_JOSE_NOT_SUPPORTED', 'jwt_algorithm_not_accepted'],
]);

/**
 * Returns `JwtRejected` for an error that the JWT alone causes, and the error itself for any other.
 */
export function toJwtRejected(error: unknown, errors: typeof JoseErrors, rules?: JwtRules): unknown {
  if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) {
    return new JwtRejected(rejectClaim(error, rules));
  }
  const rejection = error instanceof errors.JOSEError ? faultsOfTheJwt.get(error.code) : undefined;
  return rejection === undefined ? error : new JwtRejected(rejection);
}

/** Which claim, or which type, of a JWT with a good signature is not as `rules` demand. */
function rejectClaim(
  { claim, reason, payload }: JoseErrors.JWTExpired | JoseErrors.JWTClaimValidationFailed,
  rules: JwtRules | undefined,
): TokenRejection {
  const found = own(payload, claim);
  const now = Date.now() / 1000;
  if (claim === 'exp' && reason === 'check_failed' && typeof found === 'number') {
    return createTokenRejection('token_expired', `exp was ${secondsAgo(now, found)}`);
  }
  if (claim === 'nbf' && reason === 'check_failed' && typeof found === 'number') {
    return createTokenRejection('token_not_yet_valid', `nbf is ${Math.ceil(found - now)} s ahead`);
  }
  if (claim === 'iss' && typeof rules?.issuer === 'string') {
    return createTokenRejection('token_wrong_issuer', describeWrongIssuer(rules.issuer, found));
  }
  if (claim === 'aud' && rules?.audience !== undefined) {
    return createTokenRejection(
      'token_wrong_audience',
      describeWrongAudience([rules.audience].flat(), found),
    );
  }
  return createTokenRejection(
    'token_claims_malformed',
    found === undefined ? `no ${claim}` : `${claim} is not valid`,
  );
}

/**
 * What a JWT must show; `algorithms` is always named. `types` are the values of its header `typ`,
 * compared without regard to case.
 */
export type JwtRules = Omit<JWTVerifyOptions, 'typ'> & {
  readonly algorithms: string[];
  readonly types?: readonly string[];
};

/** A JWT whose signature and claims were verified. */
export interface VerifiedJwt {
  readonly payload: JWTPayload;
  /**
   * The media type in its header `typ`, in lower case and without `application/`; empty where there
   * is none.
   */
  readonly type: string;
}

/**
 * Verifies a JWT by the keys of the authorization server alone. If no known key fits, the keys are
 * fetched again before the JWT is refused. Rejects with `JwtRejected` for a fault of the JWT, with
 * another error for trouble.
 */
export async function verifyJwt(
  jwt: string,
  keys: RemoteKeys,
  rules: JwtRules,
  requester?: RequesterFacts,
): Promise<VerifiedJwt> {
  const arrivedAt = performance.now();
  const header = readHeader(jwt, rules);
  const known = await keys.current({ requester });
  const verified = await verifyByAnyOf(known.candidates(header), jwt, rules);
  if (verified !== undefined) {
    return verified;
  }
  let latest = known;
  if (known.askedAt < arrivedAt) {
    latest = await keys.fetchAfresh({ requester });
    const again =
      latest.candidates === known.candidates
        ? undefined
        : await verifyByAnyOf(latest.candidates(header), jwt, rules);
    if (again !== undefined) {
      return again;
    }
  }
  throw new JwtRejected(rejectSignature(header, latest.candidates(header).length > 0));
}

function rejectSignature({ alg, kid }: KeyHeader, isKeyKnown: boolean): TokenRejection {
  const sought = kid === undefined ? `for ${alg}` : `with kid ${describeClaim(kid)} for ${alg}`;
  return isKeyKnown
    ? createTokenRejection(
        'jwt_signature_invalid',
        `the key of jwks_uri ${sought} did not make its signature`,
      )
    : createTokenRejection('jwt_key_unknown', `jwks_uri has no key ${sought}`);
}

async function verifyByAnyOf(
  keys: readonly KeyObject[],
  jwt: string,
  rules: JwtRules,
): Promise<VerifiedJwt | undefined> {
  const { jwtVerify, errors } = await jose.load();
  for (const key of keys) {
    try {
      const { payload, protectedHeader } = await jwtVerify(jwt, key, joseRules(rules));
      // The header as it was verified: another reader of the same text may see another one.
      checkType(protectedHeader, rules.types);
      return { payload, type: mediaType(protectedHeader.typ) };
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) {
        throw toJwtRejected(error, errors, rules);
      }
    }
  }
  return undefined;
}

/** jose compares with one type alone. */
function joseRules({ types, ...rules }: JwtRules): JWTVerifyOptions {
  return types?.length === 1 && types[0] ? { ...rules, typ: types[0] } : rules;
}

function readHeader(jwt: string, { algorithms, types }: JwtRules): KeyHeader {
  const [encoded = '', ...others] = jwt.split('.');
  const header = others.length === 2 ? parseJson(encoded) : undefined;
  if (header === undefined) {
    const isEncrypted = others.length === 4;
    throw new JwtRejected(
      createTokenRejection(
        'jwt_malformed',
        isEncrypted ? 'it is encrypted; decryptionKey is not set' : 'it is not a JWT',
      ),
    );
  }
  const alg = own(header, 'alg');
  if (typeof alg !== 'string' || !algorithms.includes(alg)) {
    const detail = `expected alg ${algorithms.join(' or ')}, got ${describeClaim(alg)}`;
    throw new JwtRejected(createTokenRejection('jwt_algorithm_not_accepted', detail));
  }
  checkType(header, types);
  const kid = own(header, 'kid');
  if (kid !== undefined && typeof kid !== 'string') {
    throw new JwtRejected(createTokenRejection('jwt_malformed', 'its kid is not a string'));
  }
  return { alg, kid };
}

function checkType(header: unknown, types: JwtRules['types']): void {
  const typ = own(header, 'typ');
  if (types !== undefined && !types.includes(mediaType(typ))) {
    const accepted = types.map((type) => type || 'absent').join(' or ');
    const detail = `expected typ ${accepted}, got ${describeClaim(typ)}`;
    throw new JwtRejected(createTokenRejection('jwt_type_not_accepted', detail));
  }
}

/**
 * The media type in a header `typ`, in lower case and without `application/` (RFC 7515 §4.1.9);
 * empty where there is none.
 */
function mediaType(typ: unknown): string {
  const type = typeof typ === 'string' ? typ.toLowerCase() : typ === undefined ? '' : 'not a string';
  return type.startsWith('application/') ? type.slice('application/'.length) : type;
}

function parseJson(encoded: string): unknown {
  try {
    return JSON.parse(Buffer.from(encoded, 'base64url').toString());
  } catch {
    return undefined;
  }
}

function own(value: unknown, name: string): unknown {
  const isObject = typeof value === 'object' && value !== null && Object.hasOwn(value, name);
  return isObject ? (value as Record<string, unknown>)[name] : undefined;
}
