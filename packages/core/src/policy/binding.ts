import { RequestRefused } from '../errors.js';
import { redactIdentifier } from '../shared/shown-url.js';
import { claimOf, type TokenClaims } from '../token/token-claims.js';

/**
 * Whether an access token that is bound to nothing may pass. `required`: never. `when-bound`: as a
 * plain bearer token, for the time of a migration; a bound token is checked all the same. `report`:
 * what concerns certificate and binding is reported and refuses no request, so that `required` can
 * be turned on without guessing. All other checks hold.
 */
export type Binding = 'required' | 'when-bound' | 'report';
/**
 * Characters of a thumbprint that is none. The longest likely mistake, base64url of base64 of hex,
 * has 118.
 */
const MAX_SHOWN = 128;

/** The detail of `token_unbound` where the server wrote the thumbprint outside of `cnf`. */
export const thumbprintAtTop = 'x5t#S256 is at the top of the token, not in cnf';

const noClaims: TokenClaims['claims'] = Object.freeze({});

// The registered methods whose proof we do not verify (RFC 7800 §3, §6.2, RFC 9449 §6.1): to ignore
// one would be a downgrade. Other members are ignored (RFC 7800 §3.1).
const otherMethods = ['jkt', 'jwk', 'jwe', 'jku', 'kid', 'osc'] as const;

function otherMethodIn(confirmation: object): string | undefined {
  return otherMethods.find((method) => Object.hasOwn(confirmation, method));
}

/**
 * Lets only the holder of the certificate in `cnf["x5t#S256"]` pass (RFC 8705 §3). Run on every
 * request, after the cache: a cached answer says what the token is, never who may use it.
 */
export function checkBinding(
  confirmation: unknown,
  thumbprint: string | undefined,
  binding: Binding,
  claims: TokenClaims['claims'] = noClaims,
): void {
  if (confirmation === undefined) {
    if (binding !== 'when-bound') {
      const isAtTop = claimOf(claims, 'x5t#S256') !== undefined;
      throw new RequestRefused('token_unbound', isAtTop ? { detail: thumbprintAtTop } : {});
    }
    return;
  }
  if (!isObject(confirmation)) {
    throw new RequestRefused('token_bound_otherwise', {
      detail: `cnf is ${kindOf(confirmation)}, not an object with x5t#S256`,
    });
  }
  if (!Object.hasOwn(confirmation, 'x5t#S256')) {
    const other = otherMethodIn(confirmation);
    throw new RequestRefused('token_bound_otherwise', {
      detail: other === undefined ? 'cnf has no x5t#S256' : `cnf has ${other}, and no x5t#S256`,
    });
  }
  const hasOneMember = Object.getOwnPropertyNames(confirmation).length === 1;
  const other = hasOneMember ? undefined : otherMethodIn(confirmation);
  if (other !== undefined) {
    throw new RequestRefused('token_bound_otherwise', { detail: `cnf has ${other} beside x5t#S256` });
  }
  const expected = confirmation['x5t#S256'];
  if (typeof expected !== 'string' || expected === '') {
    const why =
      Array.isArray(expected) && expected.length > 1
        ? 'it is named more than once, by cnf and the claim of the option claims.thumbprint, or by the ' +
          'token and the answer about it'
        : 'the authorization server wrote no thumbprint';
    throw new RequestRefused('token_bound_otherwise', {
      detail: `x5t#S256 in cnf is ${kindOf(expected)}: ${why}`,
    });
  }
  if (thumbprint === undefined) {
    throw new RequestRefused('certificate_missing');
  }
  if (!isSameThumbprint(expected, thumbprint)) {
    throw new RequestRefused('certificate_mismatch', {
      expectedThumbprint: redactIdentifier(expected)
        .slice(0, MAX_SHOWN)
        .replaceAll(/[^\x20-\x7e]/g, '?'),
    });
  }
}

/**
 * Compares as text, never decoded: Node's base64url decoder takes padding, blanks and a changed
 * last character for the same bytes. To the end, whatever differs, though neither is a secret;
 * without the two Buffers that timingSafeEqual would need, which cost 2 µs a request.
 */
function isSameThumbprint(theirs: string, ours: string): boolean {
  if (theirs.length !== ours.length) {
    return false;
  }
  let difference = 0;
  for (let i = 0; i < ours.length; i += 1) {
    difference |= theirs.charCodeAt(i) ^ ours.charCodeAt(i);
  }
  return difference === 0;
}

/** What a value is that is no thumbprint or no `cnf`, in words. */
function kindOf(value: unknown): string {
  if (value === '') {
    return 'empty';
  }
  if (Array.isArray(value)) {
    return 'a list';
  }
  return value === null || value === undefined ? String(value) : `of type ${typeof value}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
