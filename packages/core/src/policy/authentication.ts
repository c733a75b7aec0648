import type { Authorization, WithClaims } from '../authorization.js';
import { RequestRefused } from '../errors.js';
import { createMismatch } from '../shared/option-errors.js';
import { type OptionsOf, optional, optionGroup, readOptions, wholeNumber } from '../shared/option-group.js';
import type { OptionRule } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';
import { readMiddlewareArgument } from './middleware-call.js';
import { createRoutePolicy, type RoutePolicy } from './route-policy.js';

// RFC 9470 §3: a space-separated list within quotes.
const acrList: OptionRule<readonly string[]> = {
  accepted: 'a list of values of printable ASCII without blanks, " and \\',
  read: (given) =>
    Array.isArray(given) &&
    given.length > 0 &&
    given.every((acr) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(String(acr)))
      ? Object.freeze(given.map(String))
      : undefined,
};

export const authenticationOptions = optionGroup({
  /** The token's `acr` must be one of these. Required without `maxAge`. */
  acrValues: optional(acrList, { requiredInWords: ' without `maxAge`' }),
  /**
   * Seconds since the user was authenticated (`auth_time`), at most. Default: any; from 0 to
   * 31,536,000.
   */
  maxAge: wholeNumber({ min: 0, max: 31_536_000, defaultInWords: 'any' }),
});

/** How the end-user must have been authenticated (RFC 9470 §3). */
export interface AuthenticationRequirement extends OptionsOf<typeof authenticationOptions> {}

/** The claims of a token that meets the requirement. */
export type WithAuthentication<Required extends AuthenticationRequirement> = Authorization &
  (Required extends { readonly acrValues: readonly (infer Acr)[] } ? WithClaims<{ acr: Acr }> : unknown) &
  (Required extends { readonly maxAge: number } ? WithClaims<{ auth_time: number }> : unknown);

/**
 * An `auth_time` in the future, of a server that writes milliseconds for one, would never be too
 * long ago.
 */
function isWithin(authTime: unknown, maxAge: number, clockTolerance: number): boolean {
  const age = typeof authTime === 'number' ? Date.now() / 1000 - authTime : Number.NaN;
  return age >= -clockTolerance && age <= maxAge;
}

/**
 * Refuses a token whose user was authenticated too weakly or too long ago: 401 with a challenge
 * that says what would do (RFC 9470 §3). A token that does not say how or when is refused.
 */
export function authenticationPolicy<const Required extends AuthenticationRequirement>(
  requirement: Required,
): RoutePolicy<WithAuthentication<Required>>;
export function authenticationPolicy<const Required extends AuthenticationRequirement>(
  ...given: [requirement: Required]
): RoutePolicy<WithAuthentication<Required>> {
  return createAuthenticationPolicy('authenticationPolicy()', ...given);
}

/** Makes the policy of a function that errors name `calledAs`. */
export function createAuthenticationPolicy<const Required extends AuthenticationRequirement>(
  calledAs: string,
  ...given: [requirement: Required]
): RoutePolicy<WithAuthentication<Required>> {
  const requirement = readMiddlewareArgument(calledAs, given, 'one object of options');
  const { acrValues, maxAge } = readOptions(calledAs, requirement, authenticationOptions);
  if (acrValues === undefined && maxAge === undefined) {
    throw createMismatch(calledAs, 'acrValues, maxAge or both', 'neither');
  }
  return createRoutePolicy(({ claims }, clockTolerance) => {
    const acr = readOwnMember(claims, 'acr');
    const authTime = readOwnMember(claims, 'auth_time');
    const isStrong = acrValues === undefined || acrValues.some((value) => value === acr);
    const isRecent = maxAge === undefined || isWithin(authTime, maxAge, clockTolerance);
    if (!isStrong || !isRecent) {
      throw new RequestRefused('authentication_insufficient', {
        detail: isStrong
          ? 'auth_time is not there, too long ago, or in the future'
          : 'acr is not one of those required',
        ...(acrValues !== undefined && { acrValues: acrValues.join(' ') }),
        ...(maxAge !== undefined && { maxAge }),
      });
    }
  });
}
