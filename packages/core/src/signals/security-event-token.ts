import { MAX_NESTING, textNestsTooDeep } from '../shared/json-nesting.js';
import { readOwnMember } from '../shared/own-member.js';

/** The error codes that a receiver answers with (RFC 8935 §2.4, SSF 1.0 §8.1.4.1). */
export type EventTokenErrorCode =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'invalid_state';

/**
 * A Security Event Token that is refused for its own fault. The message is fixed: it repeats
 * nothing of the token.
 */
export class EventTokenRefused extends Error {
  override readonly name = 'EventTokenRefused';
  readonly err: EventTokenErrorCode;
  /** Whether the transmitter signed it, as far as that was found out. */
  readonly isSigned: boolean;

  constructor(err: EventTokenErrorCode, description: string, isSigned = false) {
    super(description);
    this.err = err;
    this.isSigned = isSigned;
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
export interface EventTokenRules {
  readonly transmitter: string;
  readonly audience: readonly string[];
  readonly algorithms: readonly string[];
  /** Seconds by which the clocks may differ. */
  readonly clockTolerance: number;
  /**
   * Returns whether a key of the transmitter made the signature. Rejects when that can't be found
   * out.
   */
  readonly isSigned: (jws: string) => Promise<boolean>;
  /**
   * Returns whether this text was verified before and is tried again, as it could not be acted on. It may
   * have expired since then, or its key may be gone.
   */
  readonly isVerifiedRetry: (jws: string) => boolean;
}

/** Characters of a token. */
const MAX_LENGTH = 65_536;

/** Characters of its header: a parsed header is kept while the signature is verified. */
const MAX_HEADER_LENGTH = 8_192;

/** Characters of `jti`. */
export const MAX_JTI_LENGTH = 1_000;

const compact = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/;

type Members = Readonly<Record<string, unknown>>;

/**
 * Verifies a Security Event Token (RFC 8417, SSF 1.0 §4). Rejects with `EventTokenRefused` for a fault of
 * the token, and with the error of `isSigned` for trouble. While `isSigned` waits, only the text of
 * the token is kept: what is parsed of it can take twenty times the memory.
 */
export async function verifyEventToken(jws: string, rules: EventTokenRules): Promise<SecurityEventToken> {
  if (!rules.isVerifiedRetry(jws)) {
    // Before the signature is verified: a token of another transmitter causes no fetch of keys.
    refuseByContent(jws, rules);
    if (!(await rules.isSigned(jws))) {
      throw new EventTokenRefused('invalid_key', 'No key of the transmitter made the signature');
    }
  }
  return readSigned(payloadOf(jws), rules);
}

/**
 * Refuses, before the signature is verified, tokens that no signature could make valid. The cheapest checks
 * come first.
 */
function refuseByContent(jws: string, rules: EventTokenRules): void {
  const [, header = '', , signature = ''] = (jws.length <= MAX_LENGTH && compact.exec(jws)) || [];
  if (header === '' || header.length > MAX_HEADER_LENGTH || !isCanonical(signature)) {
    throw notSigned();
  }
  refuseHeader(objectIn(header), rules);
  const payload = payloadOf(jws);
  if (readOwnMember(payload, 'iss') !== rules.transmitter) {
    throw new EventTokenRefused('invalid_issuer', 'iss is not the transmitter that is configured here');
  }
  refuseByTime(payload, rules.clockTolerance);
}

function refuseHeader(header: Members, { algorithms }: EventTokenRules): void {
  const typ = readOwnMember(header, 'typ');
  if (typeof typ !== 'string' || !/^(?:application\/)?secevent\+jwt$/i.test(typ)) {
    throw new EventTokenRefused('invalid_request', 'typ must be secevent+jwt');
  }
  const alg = readOwnMember(header, 'alg');
  if (typeof alg !== 'string' || !algorithms.includes(alg)) {
    throw new EventTokenRefused('invalid_key', 'The signature algorithm is not accepted');
  }
}

function readSigned(payload: Members, rules: EventTokenRules): SecurityEventToken {
  const aud = readOwnMember(payload, 'aud');
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!rules.audience.some((name) => audiences.includes(name))) {
    throw new EventTokenRefused('invalid_audience', 'aud does not name this receiver', true);
  }
  const jti = readOwnMember(payload, 'jti');
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH) {
    throw new EventTokenRefused('invalid_request', 'jti must be a string of 1 to 1,000 characters', true);
  }
  return { jti, events: eventsOf(payload), subject: readOwnMember(payload, 'sub_id') };
}

function notSigned(): EventTokenRefused {
  return new EventTokenRefused('invalid_request', 'The request is not a signed Security Event Token');
}

function refuseByTime(payload: Members, clockTolerance: number): void {
  const now = Date.now() / 1000;
  const iat = readOwnMember(payload, 'iat');
  if (typeof iat !== 'number' || !(iat >= 0) || !(iat <= now + clockTolerance)) {
    throw new EventTokenRefused('invalid_request', 'iat must be a time that is not in the future');
  }
  const exp = readOwnMember(payload, 'exp');
  if (exp !== undefined && (typeof exp !== 'number' || !(exp > now - clockTolerance))) {
    throw new EventTokenRefused('invalid_request', 'The Security Event Token has expired');
  }
  const nbf = readOwnMember(payload, 'nbf');
  if (nbf !== undefined && (typeof nbf !== 'number' || !(nbf <= now + clockTolerance))) {
    throw new EventTokenRefused('invalid_request', 'The Security Event Token is not valid yet');
  }
}

function eventsOf(payload: Members): SecurityEventToken['events'] {
  const events = readOwnMember(payload, 'events');
  const entries = isObject(events) ? Object.entries(events) : [];
  if (entries.length === 0) {
    throw new EventTokenRefused('invalid_request', 'events must be an object with one event or more', true);
  }
  return entries.map(([type, event]) => {
    if (!isObject(event)) {
      throw new EventTokenRefused('invalid_request', 'Each event must be an object', true);
    }
    return [type, event] as const;
  });
}

function payloadOf(jws: string): Members {
  return objectIn(jws.split('.')[1] ?? '');
}

/**
 * Returns the object that a part of a JWS holds. Refuses a text that is not exactly the base64url encoding of
 * its bytes.
 */
function objectIn(encoded: string): Members {
  const text = isCanonical(encoded) ? Buffer.from(encoded, 'base64url').toString() : '';
  if (textNestsTooDeep(text)) {
    throw new EventTokenRefused('invalid_request', `The token nests deeper than ${MAX_NESTING} levels`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw notSigned();
  }
  if (!isObject(value)) {
    throw notSigned();
  }
  return value;
}

function isCanonical(encoded: string): boolean {
  return Buffer.from(encoded, 'base64url').toString('base64url') === encoded;
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
