import { createRefusal, type Reason, RequestRefused } from '../errors.js';
import { claimOf, type TokenClaims } from '../token/token-claims.js';
import type { ConfirmationMethod, Possession } from './confirmation-method.js';
import { describeValueKind } from './value-kind.js';

/**
 * Whether an access token that is bound to nothing may pass. `required`: never. `when-bound`: as a
 * plain bearer token, for the time of a migration; a bound token is checked all the same. `report`:
 * what concerns certificate and binding is reported and refuses no request, so that `required` can
 * be turned on without guessing. All other checks hold: `dpop_nonce_required`, `dpop_proofs_too_many`
 * and `dpop_proofs_not_recorded` refuse also then. So does `internal_error`: if
 * `certificatePolicy.authorities` gives no certificates, requests that have a certificate get 503.
 */
export type Binding = 'required' | 'when-bound' | 'report';

/** Why a token is not bound as it must be: what the likely cause is chosen by. */
export type BindingReasonCode = 'thumbprint_at_top' | 'jkt_not_accepted';

const thumbprintAtTop: Reason<BindingReasonCode> = {
  code: 'thumbprint_at_top',
  why: 'x5t#S256 is at the top of the token, not in cnf',
};

const noClaims: TokenClaims['claims'] = Object.freeze({});

// The registered methods (RFC 7800 §3, §6.2, RFC 8705 §3.1, RFC 9449 §6.1): to ignore one would be a
// downgrade. Other members are ignored (RFC 7800 §3.1).
const registeredMethods = ['x5t#S256', 'jkt', 'jwk', 'jwe', 'jku', 'kid', 'osc'] as const;

/** What counts as a proof of possession, and whether one must be there. */
export interface BindingRules {
  readonly binding: Binding;
  /** The methods that this resource server can verify. */
  readonly methods: readonly ConfirmationMethod[];
}

/**
 * Lets a token pass only if the request proves each method that its `cnf` names: none is ignored
 * (RFC 8705 §3, RFC 9449 §7.1). Runs on every request, after the cache: a cached answer says what
 * the token is, never who may use it. Throws `RequestRefused`.
 */
export function checkBinding(
  confirmation: unknown,
  possession: Possession,
  { binding, methods }: BindingRules,
  claims: TokenClaims['claims'] = noClaims,
): void {
  if (confirmation === undefined) {
    refuseProofForKeylessToken(possession);
    if (binding !== 'when-bound') {
      const isAtTop = claimOf(claims, 'x5t#S256') !== undefined;
      throw isAtTop ? createRefusal('token_unbound', thumbprintAtTop) : new RequestRefused('token_unbound');
    }
    return;
  }
  if (!isObject(confirmation)) {
    throw new RequestRefused('token_bound_otherwise', {
      detail: `cnf is ${describeValueKind(confirmation)}, not an object with ${membersOf(methods, ' or ')}`,
    });
  }
  // Each request passes here: a look into this short list costs less than one into the object.
  const names = Object.getOwnPropertyNames(confirmation);
  let verified = 0;
  for (const { member } of methods) {
    if (names.includes(member)) {
      verified += 1;
    }
  }
  if (verified === 0 || verified !== names.length) {
    refuseUnverifiedMethods(names, methods);
  }
  if (!names.includes('jkt')) {
    refuseProofForKeylessToken(possession);
  }
  for (const method of methods) {
    if (names.includes(method.member)) {
      method.verifyPossession(confirmation[method.member], possession);
    }
  }
}

/** Throws if `cnf` names no method that can be verified here, or a registered one besides. */
function refuseUnverifiedMethods(names: readonly string[], methods: readonly ConfirmationMethod[]): void {
  const named = methods.filter(({ member }) => names.includes(member));
  const other = registeredMethods.find(
    (member) => names.includes(member) && !named.some((method) => method.member === member),
  );
  if (named.length === 0) {
    const missing = `no ${membersOf(methods, ' and no ')}`;
    throw boundOtherwise(
      other,
      other === undefined ? `cnf has ${missing}` : `cnf has ${other}, and ${missing}`,
    );
  }
  if (other !== undefined) {
    throw boundOtherwise(other, `cnf has ${other} next to ${membersOf(named, ' and ')}`);
  }
}

function boundOtherwise(other: string | undefined, detail: string): RequestRefused {
  const notAccepted: Reason<BindingReasonCode> = { code: 'jkt_not_accepted', why: detail };
  return other === 'jkt'
    ? createRefusal('token_bound_otherwise', notAccepted)
    : new RequestRefused('token_bound_otherwise', { detail });
}

/** RFC 9449 §7.1: the scheme DPoP is for tokens that are bound to a key. */
function refuseProofForKeylessToken({ proof }: Possession): void {
  if (proof !== undefined) {
    throw new RequestRefused('dpop_token_unbound', {
      detail: 'the request has the scheme DPoP, and cnf of the token has no jkt',
    });
  }
}

function membersOf(methods: readonly ConfirmationMethod[], separator: string): string {
  return methods.map(({ member }) => member).join(separator);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
