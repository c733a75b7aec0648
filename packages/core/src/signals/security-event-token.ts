import { MAX_NESTING, nestsTooDeep } from '../nesting.js';
import { ownMember } from '../own-member.js';

/** The error codes that a receiver answers with (RFC 8935 §2.4, SSF 1.0 §8.1.4.1). */
export type SetErrorCode =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'invalid_state';

/** A Security Event Token that is refused for its own fault. The message is fixed: it repeats nothing of the token. */
export class SetRefused extends Error {
  override readonly name = 'SetRefused';
  readonly err: SetErrorCode;

  constructor(err: SetErrorCode, description: string) {
    super(description);
    this.err = err;
  }
}

/** What is used of a Security Event Token (RFC 8417 §2.2). */
export interface SecurityEventToken {
  readonly jti: string;
  readonly events: readonly (readonly [type: string, payload: Readonly<Record<string, unknown>>])[];
  /** `sub_id` (RFC 9493 §4.1). */
  readonly subject: unknown;
}

/** What a Security Event Token must show. */
export interface SetRules {
  readonly transmitter: string;
  readonly audience: readonly string[];
  readonly algorithms: readonly string[];
  /** Seconds by which the clocks may differ. */
  readonly clockTolerance: number;
  /** Returns whether a key of the transmitter made the signature. Rejects when that can't be found out. */
  readonly isSigned: (jws: string) => Promise<boolean>;
}

/** Characters of a token. */
const MAX_LENGTH = 65_536;

/** Characters of `jti`. */
export const MAX_JTI_LENGTH = 1_000;

const compact = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/;

/**
 * Verifies a Security Event Token (RFC 8417, SSF 1.0 §4). Rejects with `SetRefused` for a fault of the token, and with the error
 * of `isSigned` for trouble.
 */
export async function verifySet(jws: string, rules: SetRules): Promise<SecurityEventToken> {
  const parts = jws.length <= MAX_LENGTH ? compact.exec(jws) : null;
  const header = objectIn(parts?.[1]);
  const payload = objectIn(parts?.[2]);
  if (header === undefined || payload === undefined || !isCanonical(parts?.[3] ?? '')) {
    throw new SetRefused('invalid_request', 'The request is not a signed Security Event Token');
  }
  if (nestsTooDeep(header) || nestsTooDeep(payload)) {
    throw new SetRefused('invalid_request', `The token nests deeper than ${MAX_NESTING} levels`);
  }
  const typ = ownMember(header, 'typ');
  if (typeof typ !== 'string' || !/^(?:application\/)?secevent\+jwt$/i.test(typ)) {
    throw new SetRefused('invalid_request', 'typ must be secevent+jwt');
  }
  const alg = ownMember(header, 'alg');
  if (typeof alg !== 'string' || !rules.algorithms.includes(alg)) {
    throw new SetRefused('invalid_key', 'The signature algorithm is not accepted');
  }
  // Known before the signature is verified: a token of another transmitter causes no fetch of keys.
  if (ownMember(payload, 'iss') !== rules.transmitter) {
    throw new SetRefused('invalid_issuer', 'iss is not the transmitter that is configured here');
  }
  refuseByTime(payload, rules.clockTolerance);
  if (!(await rules.isSigned(jws))) {
    throw new SetRefused('invalid_key', 'No key of the transmitter made the signature');
  }
  const aud = ownMember(payload, 'aud');
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!rules.audience.some((name) => audiences.includes(name))) {
    throw new SetRefused('invalid_audience', 'aud does not name this receiver');
  }
  const jti = ownMember(payload, 'jti');
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH) {
    throw new SetRefused('invalid_request', 'jti must be a string of 1 to 1,000 characters');
  }
  return { jti, events: eventsOf(payload), subject: ownMember(payload, 'sub_id') };
}

function refuseByTime(payload: Readonly<Record<string, unknown>>, clockTolerance: number): void {
  const now = Date.now() / 1000;
  const iat = ownMember(payload, 'iat');
  if (typeof iat !== 'number' || !(iat >= 0) || iat > now + clockTolerance) {
    throw new SetRefused('invalid_request', 'iat must be a time that is not in the future');
  }
  const exp = ownMember(payload, 'exp');
  if (exp !== undefined && (typeof exp !== 'number' || exp <= now - clockTolerance)) {
    throw new SetRefused('invalid_request', 'The Security Event Token has expired');
  }
  const nbf = ownMember(payload, 'nbf');
  if (nbf !== undefined && (typeof nbf !== 'number' || nbf > now + clockTolerance)) {
    throw new SetRefused('invalid_request', 'The Security Event Token is not valid yet');
  }
}

function eventsOf(payload: Readonly<Record<string, unknown>>): SecurityEventToken['events'] {
  const events = ownMember(payload, 'events');
  const entries = isObject(events) ? Object.entries(events) : [];
  if (entries.length === 0) {
    throw new SetRefused('invalid_request', 'events must be an object with one event or more');
  }
  return entries.map(([type, event]) => {
    if (!isObject(event)) {
      throw new SetRefused('invalid_request', 'Each event must be an object');
    }
    return [type, event] as const;
  });
}

/** The object that a part of a JWS holds; `undefined` for another spelling than the one that encoding it gives. */
function objectIn(encoded: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (encoded === undefined || !isCanonical(encoded)) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(Buffer.from(encoded, 'base64url').toString());
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isCanonical(encoded: string): boolean {
  return Buffer.from(encoded, 'base64url').toString('base64url') === encoded;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
