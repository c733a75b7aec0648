import type { KeyObject } from 'node:crypto';
import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import type { KeyHeader, RemoteKeys } from './key-set.js';

/** A JWT that is refused for its own fault, as opposed to trouble of the server's or ours. */
export class JwtRejected extends Error {
  override readonly name = 'JwtRejected';
}

/** The errors of jose that a JWT alone causes. Each other error is trouble, never a verdict on the token. */
const faultsOfTheJwt: ReadonlySet<string> = new Set([
  'ERR_JWS_INVALID',
  'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  'ERR_JWE_INVALID',
  'ERR_JWE_DECRYPTION_FAILED',
  'ERR_JWT_INVALID',
  'ERR_JWT_EXPIRED',
  'ERR_JWT_CLAIM_VALIDATION_FAILED',
  'ERR_JOSE_ALG_NOT_ALLOWED',
  'ERR_JOSE_NOT_SUPPORTED',
]);

/** Returns `JwtRejected` for an error that the JWT alone causes, and the error itself for any other. */
export function asRejection(error: unknown): unknown {
  return error instanceof errors.JOSEError && faultsOfTheJwt.has(error.code)
    ? new JwtRejected(error.message)
    : error;
}

/** What a JWT must show; `algorithms` is always named. */
export type JwtRules = JWTVerifyOptions & { readonly algorithms: string[] };

/**
 * Verifies a JWT by the keys of the authorization server alone. If no known key fits, the keys are fetched again before
 * the JWT is refused. Rejects with `JwtRejected` for a fault of the JWT, with another error for trouble.
 */
export async function verifiedJwt(jwt: string, keys: RemoteKeys, rules: JwtRules): Promise<JWTPayload> {
  const arrivedAt = performance.now();
  const header = readHeader(jwt, rules.algorithms);
  const known = await keys.current();
  const payload = await verifiedByAnyOf(known.candidates(header), jwt, rules);
  if (payload !== undefined) {
    return payload;
  }
  if (known.askedAt < arrivedAt) {
    const { candidates } = await keys.fetchedFromNowOn();
    const again =
      candidates === known.candidates ? undefined : await verifiedByAnyOf(candidates(header), jwt, rules);
    if (again !== undefined) {
      return again;
    }
  }
  throw new JwtRejected('no key of the authorization server made its signature');
}

async function verifiedByAnyOf(
  keys: readonly KeyObject[],
  jwt: string,
  rules: JwtRules,
): Promise<JWTPayload | undefined> {
  for (const key of keys) {
    try {
      return (await jwtVerify(jwt, key, rules)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) {
        throw asRejection(error);
      }
    }
  }
  return undefined;
}

function readHeader(jwt: string, algorithms: readonly string[]): KeyHeader {
  const [encoded = '', ...others] = jwt.split('.');
  const header = others.length === 2 ? parsed(encoded) : undefined;
  const alg = own(header, 'alg');
  const kid = own(header, 'kid');
  if (typeof alg !== 'string' || !algorithms.includes(alg) || !['undefined', 'string'].includes(typeof kid)) {
    throw new JwtRejected('its header names no accepted algorithm, or a kid that is no string');
  }
  return { alg, kid: kid as string | undefined };
}

function parsed(encoded: string): unknown {
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
