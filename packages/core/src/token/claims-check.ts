import { createRefusal, RequestRefused } from '../errors.js';
import type { TokenClaims } from './token-claims.js';
import { describeClaim, describeWrongAudience, describeWrongIssuer, secondsAgo } from './token-rejection.js';

/** What an active token must still show (RFC 7662 §4, RFC 9700 §2.3). */
export interface ClaimRules {
  readonly issuer: string;
  /**
   * Identifiers of this resource server; `server-enforced` when the authorization server checks the
   * audience.
   */
  readonly audience: readonly string[] | 'server-enforced';
  /** Seconds by which the clocks may differ. */
  readonly clockTolerance: number;
}

/**
 * `Bearer` (RFC 6750), and the names of access tokens that some servers write in its place (RFC 8693
 * §3).
 */
const acceptedTokenTypes = ['bearer', 'access_token', 'urn:ietf:params:oauth:token-type:access_token'];

/** The code of the reason if the type of a token is DPoP, and the request has no proof. */
export type TypeReasonCode = 'type_dpop';

/** The reason for a token of the type DPoP whose request has no proof. All other claims are right. */
export const dpopTypeWithoutProof: TypeReasonCode = 'type_dpop';

/**
 * Refuses a token that is out of its time or not meant for this resource server. `now` in seconds
 * since the epoch.
 *
 * @param hasProof whether the request has a DPoP proof: only then a token may be of the type DPoP
 * (RFC 9449 §5)
 */
export function checkClaims(
  tokenClaims: TokenClaims,
  rules: ClaimRules,
  now: number,
  hasProof: boolean,
): void {
  checkExpiry(tokenClaims, rules.clockTolerance, now);
  refuseAhead('nbf', tokenClaims.notBefore, rules, now);
  refuseAhead('iat', tokenClaims.issuedAt, rules, now);
  // Exact, case-sensitive, no normalisation (RFC 8414 §3.3, RFC 7519 §4.1.3).
  const { claims } = tokenClaims;
  // Reads what `claimOf(claims, 'iss')` returns: V8 finds a member faster by a literal name.
  const iss = Object.hasOwn(claims, 'iss') ? (claims.iss ?? undefined) : undefined;
  if (tokenClaims.issuer !== rules.issuer || (iss !== undefined && iss !== rules.issuer)) {
    throw new RequestRefused('token_wrong_issuer', { detail: describeWrongIssuer(rules.issuer, iss) });
  }
  const { audience } = rules;
  if (audience !== 'server-enforced' && !isMeantFor(audience, tokenClaims.audience)) {
    throw new RequestRefused('token_wrong_audience', {
      detail: describeWrongAudience(audience, tokenClaims.audience),
    });
  }
  // Some servers report refresh tokens as active too; only what is used as a bearer token may pass
  // here.
  if (tokenClaims.tokenType !== undefined && !isAcceptedType(tokenClaims.tokenType, hasProof)) {
    const expected = hasProof ? 'DPoP or Bearer' : 'Bearer';
    const detail = `expected token_type ${expected}, got ${describeClaim(tokenClaims.tokenType)}`;
    throw tokenClaims.tokenType.toLowerCase() === 'dpop'
      ? createRefusal('token_wrong_type', { code: dpopTypeWithoutProof, why: detail })
      : new RequestRefused('token_wrong_type', { detail });
  }
}

/** Refuses a token that has expired. `clockTolerance` in seconds, `now` in seconds since the epoch. */
export function checkExpiry(
  { expiresAt }: Pick<TokenClaims, 'expiresAt'>,
  clockTolerance: number,
  now: number,
): void {
  // A clock that gives no number refuses too.
  if (expiresAt !== undefined && !(now < expiresAt + clockTolerance)) {
    throw new RequestRefused('token_expired', { detail: `exp was ${secondsAgo(now, expiresAt)}` });
  }
}

function isAcceptedType(type: string, hasProof: boolean): boolean {
  // Nearly every answer says it so.
  if (type === 'Bearer') {
    return true;
  }
  const name = type.toLowerCase();
  return acceptedTokenTypes.includes(name) || (hasProof && name === 'dpop');
}

/** Refuses a token whose claim `name` is a time in the future. */
function refuseAhead(
  name: 'nbf' | 'iat',
  time: number | undefined,
  { clockTolerance }: ClaimRules,
  now: number,
): void {
  if (time !== undefined && !(time <= now + clockTolerance)) {
    const detail = `${name} is ${Math.ceil(time - now)} s ahead; clockTolerance is ${clockTolerance} s`;
    throw new RequestRefused('token_not_yet_valid', { detail });
  }
}

/** Whether a token names one of the accepted audiences. */
function isMeantFor(accepted: readonly string[], audiences: readonly string[] | undefined): boolean {
  if (audiences !== undefined) {
    for (const name of audiences) {
      if (accepted.includes(name)) {
        return true;
      }
    }
  }
  return false;
}
