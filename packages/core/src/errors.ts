import { ignoreRejection } from './shared/promises.js';
import { describeError } from './shared/shown-error.js';

// The one error family. A refusal has its HTTP status and the text for the client. `detail` is for the
// operator's log only. This package writes no token and no secret there.

/**
 * What the client gets for each code of a refusal. The descriptions are fixed: nothing from a token or
 * a server is echoed.
 */
interface RefusalKind {
  readonly status: 400 | 401 | 403 | 429 | 503;
  /** The `error` of RFC 6750 §3.1; absent when the request carried no credentials at all. */
  readonly error?: string;
  readonly description?: string;
  /** A refusal whose cause may pass by itself is answered with `Retry-After`. */
  readonly transient?: true;
  /** A refusal that another token would not avoid gets no challenge. */
  readonly unchallenged?: true;
}

// RFC 7662 §2.2: the client does not read why a token is not active, so every cause shares one
// sentence.
const notActive = 'The access token is expired, revoked, or not meant for this resource server';
const uncheckable = 'The access token can not be checked at the moment';
const misconfigured = 'The resource server can not check access tokens';

const malformed = { status: 400, error: 'invalid_request' } as const;
const invalidToken = { status: 401, error: 'invalid_token' } as const;
const transientTrouble = {
  status: 503,
  error: 'temporarily_unavailable',
  description: uncheckable,
  transient: true,
} as const;
const invalidProof = { status: 401, error: 'invalid_dpop_proof' } as const;
const lastingTrouble = { status: 503, error: 'server_error', description: misconfigured } as const;

const refusals = {
  credentials_missing: { status: 401 },
  credentials_malformed: {
    ...malformed,
    description: 'The Authorization header is not a scheme, a space and one token, as in Bearer <token>',
  },
  credentials_repeated: { ...malformed, description: 'The Authorization header is repeated' },
  headers_too_many: { ...malformed, description: 'The request has too many header lines' },
  credentials_too_long: { ...malformed, description: 'The access token is too long' },
  credentials_in_query: {
    ...malformed,
    description: 'An access token is accepted in the Authorization header only, not in the query',
  },
  credentials_in_body: {
    ...malformed,
    description: 'An access token is accepted in the Authorization header only, not in the body',
  },
  interaction_id_malformed: {
    ...malformed,
    description: 'The header x-fapi-interaction-id is not one UUID',
  },
  tls_unsuitable: {
    ...malformed,
    description: 'The TLS version, cipher suite or renegotiation of the connection is not accepted here',
  },
  revocation_malformed: {
    ...malformed,
    description: 'A revocation is a form by POST that says in one parameter what is revoked',
  },
  certificate_malformed: { ...malformed, description: 'The client certificate can not be read' },
  certificate_missing: { ...invalidToken, description: 'A client certificate is required' },
  certificate_mismatch: {
    ...invalidToken,
    description: 'The access token is bound to another client certificate',
  },
  certificate_refused: {
    status: 403,
    error: 'access_denied',
    description: 'The client certificate is not accepted here',
    unchallenged: true,
  },
  certificate_refused_401: { ...invalidToken, description: 'The client certificate is not accepted here' },
  token_inactive: { ...invalidToken, description: notActive },
  token_expired: { ...invalidToken, description: notActive },
  token_not_yet_valid: { ...invalidToken, description: notActive },
  token_wrong_audience: { ...invalidToken, description: notActive },
  token_wrong_issuer: { ...invalidToken, description: notActive },
  token_wrong_type: { ...invalidToken, description: notActive },
  token_claims_malformed: { ...invalidToken, description: notActive },
  jwt_malformed: { ...invalidToken, description: notActive },
  jwt_not_decryptable: { ...invalidToken, description: notActive },
  jwt_algorithm_not_accepted: { ...invalidToken, description: notActive },
  jwt_type_not_accepted: { ...invalidToken, description: notActive },
  jwt_key_unknown: { ...invalidToken, description: notActive },
  jwt_signature_invalid: { ...invalidToken, description: notActive },
  token_unbound: { ...invalidToken, description: 'The access token is not bound to a client certificate' },
  token_bound_otherwise: {
    ...invalidToken,
    description: 'The access token is bound by a method that is not accepted here',
  },
  dpop_scheme_missing: {
    ...invalidToken,
    description: 'An access token that is bound to a key needs the scheme DPoP and a proof',
  },
  dpop_token_unbound: { ...invalidToken, description: 'The access token is not bound to a key' },
  dpop_key_mismatch: { ...invalidToken, description: 'The access token is bound to another key' },
  dpop_proof_missing: { ...invalidProof, description: 'The request has no header DPoP' },
  dpop_proof_repeated: { ...malformed, description: 'The header DPoP is repeated' },
  dpop_proof_too_long: { ...malformed, description: 'The DPoP proof is too long' },
  dpop_proof_malformed: { ...invalidProof, description: 'The DPoP proof is not of the form of RFC 9449' },
  dpop_proof_for_another: {
    ...invalidProof,
    description: 'The DPoP proof is for another method, URL or access token',
  },
  dpop_proof_untimely: { ...invalidProof, description: 'The DPoP proof is too old, or not valid yet' },
  dpop_nonce_required: {
    status: 401,
    error: 'use_dpop_nonce',
    description: 'The DPoP proof must have the nonce of the header DPoP-Nonce',
  },
  dpop_signature_invalid: { ...invalidProof, description: 'The signature of the DPoP proof is wrong' },
  dpop_proof_replayed: { ...invalidProof, description: 'The DPoP proof was used before' },
  dpop_proofs_too_many: {
    status: 429,
    error: 'too_many_requests',
    description: 'Too many DPoP proofs of one key. Try again later',
    transient: true,
    unchallenged: true,
  },
  dpop_proofs_not_recorded: {
    ...transientTrouble,
    description: 'The DPoP proof can not be checked at the moment',
  },
  scope_insufficient: {
    status: 403,
    error: 'insufficient_scope',
    description: 'The access token lacks a scope that this resource requires',
  },
  too_many_rejected_tokens: {
    status: 429,
    error: 'too_many_requests',
    description: 'Too many invalid access tokens. Try again later',
    transient: true,
    unchallenged: true,
  },
  authentication_insufficient: {
    status: 401,
    error: 'insufficient_user_authentication',
    description: 'This resource requires another or a more recent authentication of the user',
  },
  claims_insufficient: {
    status: 403,
    error: 'insufficient_scope',
    description: 'The access token does not grant what this resource requires',
  },
  authorization_details_insufficient: {
    status: 403,
    error: 'insufficient_scope',
    description: 'The access token lacks an authorization detail that this resource requires',
  },
  authorization_server_timeout: transientTrouble,
  authorization_server_unreachable: transientTrouble,
  authorization_server_overloaded: transientTrouble,
  authorization_server_failed: transientTrouble,
  authorization_server_invalid_answer: transientTrouble,
  authorization_server_not_asked: transientTrouble,
  revocation_not_spread: {
    ...transientTrouble,
    description: 'The revocation holds here, but other processes may not have received it',
  },
  revocations_unknown: transientTrouble,
  certificate_status_unknown: {
    ...transientTrouble,
    description: 'The client certificate can not be checked at the moment',
  },
  shutting_down: transientTrouble,
  authorization_server_refused_credentials: lastingTrouble,
  authorization_server_issuer_mismatch: lastingTrouble,
  authorization_server_unsuitable: lastingTrouble,
  internal_error: lastingTrouble,
} as const satisfies Record<string, RefusalKind>;

/** The stable code of a refusal: what an operator filters and alerts on. */
export type RefusalCode = keyof typeof refusals;

/** Every code, in the order of the docs. */
export const refusalCodes = Object.keys(refusals) as RefusalCode[];

/** Seconds in `Retry-After` for the client when the authorization server named none. */
const DEFAULT_RETRY_AFTER = 5;

/** Base of every error thrown on purpose; `code` is stable across versions. */
export abstract class MtlsBoundError extends Error {
  /** Stable across versions. */
  abstract readonly code: string;
}

/**
 * A wrong option, found at start-up. The message names the option, what was expected and what was
 * got.
 */
export class ConfigurationError extends MtlsBoundError {
  override readonly name = 'ConfigurationError';
  readonly code = 'configuration';
  /**
   * The status that Express and Koa answer with where this is thrown while a request is handled.
   */
  readonly status = 503;
  /** The option at fault, as a path: `cache.maxAge`. */
  readonly option: string;

  constructor(option: string, message: string) {
    super(`${option}: ${message}`);
    this.option = option;
    tellable.add(this);
  }
}

/** The errors whose messages this library wrote. */
const tellable = new WeakSet<object>();

/**
 * An error whose message this library wrote: it quotes no value that could be secret, so that a log
 * may show it.
 */
export class TellableError extends TypeError {
  constructor(message: string) {
    super(message);
    tellable.add(this);
  }
}

/** Returns whether this library wrote the message of `error`. Never throws. */
export function isTellable(error: unknown): error is Error {
  return typeof error === 'object' && error !== null && tellable.has(error);
}

/** What a refusal may carry besides its code. */
export interface RefusalDetails {
  /** For the operator's log only. Default: none. */
  readonly detail?: string;
  /**
   * The scopes that the resource requires (RFC 6750 §3, `scope`). A text that is no list of scopes
   * is left out. Default: left out.
   */
  readonly scope?: string;
  /**
   * What authentication would do, blank-separated (RFC 9470 §3, `acr_values`); another text is left
   * out. Default: left out.
   */
  readonly acrValues?: string;
  /**
   * Whole seconds since the user was authenticated, at most (RFC 9470 §3, `max_age`). Another value
   * is left out. Default: left out.
   */
  readonly maxAge?: number;
  /**
   * Whole seconds for `Retry-After`, on a refusal that may pass by itself. Another value is left
   * out. Default 5.
   */
  readonly retryAfter?: number;
  /** `cnf["x5t#S256"]` of the token, where it is not that of the certificate. Default: left out. */
  readonly expectedThumbprint?: string;
  /** The error that it comes from; never sent to the client. Default: none. */
  readonly cause?: unknown;
}

/** A request that is refused, with the answer it gets (RFC 6750 §3, RFC 8705 §3). */
export class RequestRefused extends MtlsBoundError {
  override readonly name = 'RequestRefused';
  /** Which refusal this is, one of `refusalCodes`; stable across versions. */
  readonly code: RefusalCode;
  /** 400, 401, 403, 429 or 503. */
  readonly status: number;
  /** The OAuth `error` code, absent when the request carried no credentials. */
  readonly error: string | undefined;
  /** The `error_description` for the client. */
  readonly description: string | undefined;
  /** The text for the operator alone. */
  readonly detail: string | undefined;
  /** The scopes that the resource requires, blank-separated (RFC 6750 §3). */
  readonly scope: string | undefined;
  /** What authentication would do, blank-separated (RFC 9470 §3). */
  readonly acrValues: string | undefined;
  /** Seconds since the user was authenticated, at most (RFC 9470 §3). */
  readonly maxAge: number | undefined;
  /** Seconds, on a 429, and on a 503 that may pass by itself. */
  readonly retryAfter: number | undefined;
  /**
   * For the operator alone: `cnf["x5t#S256"]`, where it is not that of the certificate.
   */
  readonly expectedThumbprint: string | undefined;
  /** Whether the answer carries a `WWW-Authenticate` challenge. */
  readonly isChallenged: boolean;
  // Marks what this class made: a status that anything else names is never answered.
  readonly #isRefusal = true;

  constructor(code: RefusalCode, details: RefusalDetails = {}) {
    const { detail, scope, acrValues, maxAge, retryAfter, expectedThumbprint, cause } = details;
    if (!Object.hasOwn(refusals, code)) {
      throw new TypeError('RequestRefused: the first argument is not one of refusalCodes');
    }
    const kind: RefusalKind = refusals[code];
    super(detail === undefined ? code : `${code}: ${detail}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = kind.status;
    this.error = kind.error;
    this.description = kind.description;
    this.detail = detail;
    this.scope = scope;
    this.acrValues = acrValues;
    this.maxAge = maxAge;
    this.expectedThumbprint = expectedThumbprint;
    this.isChallenged = kind.status < 500 && !kind.unchallenged;
    this.retryAfter = kind.transient ? (retryAfter ?? DEFAULT_RETRY_AFTER) : undefined;
  }

  /**
   * Returns whether this class made `value`. False for an object that only inherits from one. Never
   * throws.
   */
  static isRefusal(value: unknown): value is RequestRefused {
    return typeof value === 'object' && value !== null && #isRefusal in value && value.#isRefusal;
  }
}

/**
 * Why something is not accepted, in more detail than the code of a refusal says. The place that does not
 * accept it makes both, so that no code reads the text.
 */
export interface Reason<Code extends string = string> {
  /** What code decides by, and what the likely cause of a refusal is chosen by. */
  readonly code: Code;
  /** For the operator. */
  readonly why: string;
}

const reasonCodes = new WeakMap<RequestRefused, string>();

/**
 * Makes a refusal that has the code of its reason next to its own, less exact code.
 *
 * @param detail the text for the operator, where it says more than the reason
 */
export function createRefusal(code: RefusalCode, reason: Reason, detail = reason.why): RequestRefused {
  const refusal = new RequestRefused(code, { detail });
  reasonCodes.set(refusal, reason.code);
  return refusal;
}

/** Returns the code of the reason of a refusal, more exact than its `code`; `undefined` if it has none. */
export function reasonCodeOf(refusal: RequestRefused): string | undefined {
  return reasonCodes.get(refusal);
}

/** Returns a copy of the refusal, for a request that shares the question of another request. */
export function copyRefusal(refusal: RequestRefused): RequestRefused {
  const { code, detail, scope, acrValues, maxAge, retryAfter, expectedThumbprint, cause, stack } = refusal;
  const copy = new RequestRefused(code, {
    ...(detail !== undefined && { detail }),
    ...(scope !== undefined && { scope }),
    ...(acrValues !== undefined && { acrValues }),
    ...(maxAge !== undefined && { maxAge }),
    ...(retryAfter !== undefined && { retryAfter }),
    ...(expectedThumbprint !== undefined && { expectedThumbprint }),
    ...(cause !== undefined && { cause }),
  });
  const reasonCode = reasonCodes.get(refusal);
  if (reasonCode !== undefined) {
    reasonCodes.set(copy, reasonCode);
  }
  return Object.defineProperty(copy, 'stack', { value: stack, writable: true, configurable: true });
}

/**
 * Turns whatever was thrown into a refusal: an error never accepts a request. For an error of a
 * user's function or of another library the detail has the name and the code alone; `cause` holds
 * the error itself. Never throws.
 */
export function toRefusal(thrown: unknown): RequestRefused {
  if (RequestRefused.isRefusal(thrown)) {
    return thrown;
  }
  // `throw deny()` with an async `deny` throws a promise: unhandled, its rejection ends the process.
  ignoreRejection(thrown);
  return new RequestRefused('internal_error', { detail: textOf(thrown), cause: thrown });
}

/**
 * What a user's function throws may be of another realm, quote a secret, or have getters that
 * throw.
 */
function textOf(thrown: unknown): string {
  return isTellable(thrown) ? `${thrown.name}: ${thrown.message}` : `${describeError(thrown)} was thrown`;
}

/** Why a transmitter of Shared Signals does not do what it is asked to. Stable across versions. */
export type TransmitterErrorCode =
  | 'transmitter_timeout'
  | 'transmitter_unreachable'
  | 'transmitter_overloaded'
  | 'transmitter_failed'
  | 'transmitter_invalid_answer'
  | 'transmitter_not_asked'
  | 'transmitter_refused_credentials'
  | 'transmitter_issuer_mismatch'
  | 'transmitter_unsuitable';

/**
 * A transmitter of Shared Signals can't be asked, or does not do what it is asked to. Says nothing of
 * the authorization server.
 */
export class TransmitterError extends MtlsBoundError {
  override readonly name = 'TransmitterError';
  /** Stable across versions. */
  readonly code: TransmitterErrorCode;
  /**
   * The status that Express and Koa answer with where this is thrown while a request is handled.
   */
  readonly status = 503;
  /** The text for the operator alone. */
  readonly detail: string;
  /** Seconds after which the transmitter may be asked again; undefined where none are known. */
  readonly retryAfter: number | undefined;
  // Marks what this class made.
  readonly #isTransmitterError = true;

  constructor(
    code: TransmitterErrorCode,
    detail: string,
    { retryAfter, cause }: { readonly retryAfter?: number | undefined; readonly cause?: unknown } = {},
  ) {
    super(`${code}: ${detail}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.detail = detail;
    this.retryAfter = retryAfter;
    tellable.add(this);
  }

  /**
   * Returns whether this class made `value`. False for an object that only inherits from one. Never
   * throws.
   */
  static isTransmitterError(value: unknown): value is TransmitterError {
    return (
      typeof value === 'object' && value !== null && #isTransmitterError in value && value.#isTransmitterError
    );
  }
}
