import type { WithClaims } from '../authorization.js';
import { RequestRefused, TellableError } from '../errors.js';
import { createMismatch, described } from '../shared/option-errors.js';
import { isPlainObject } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';
import { isPromise } from '../shared/promises.js';
import { readMiddlewareArgument } from './middleware-call.js';
import { createRoutePolicy, type RoutePolicy } from './route-policy.js';

/** What a claim must be: one value, one of several, or what a function says. */
export type ClaimRequirement =
  | string
  | number
  | boolean
  | readonly (string | number)[]
  | ((value: unknown) => boolean);

/** What to require of claims, by their names. */
export type ClaimRequirements = Readonly<Record<string, ClaimRequirement>>;

/**
 * The claims of a token that meets the requirements. A claim may be a list with one member that
 * fits.
 */
export type WithRequiredClaims<Required extends ClaimRequirements> = WithClaims<{
  [Name in keyof Required]: Satisfying<Required[Name]>;
}>;

type Satisfying<Requirement> = Requirement extends (value: unknown) => value is infer Value
  ? Value
  : Requirement extends (value: unknown) => boolean
    ? unknown
    : (Requirement extends readonly (infer Value)[] ? Value : Requirement) | readonly unknown[];

/**
 * Refuses a token whose claims are not as required: 403. Where a claim is a list, one of its
 * members has to fit. Throws `ConfigurationError`.
 */
export function claimsPolicy<const Required extends ClaimRequirements>(
  required: Required,
): RoutePolicy<WithRequiredClaims<Required>>;
export function claimsPolicy<const Required extends ClaimRequirements>(
  ...given: [required: Required]
): RoutePolicy<WithRequiredClaims<Required>> {
  return createClaimsPolicy('claimsPolicy()', ...given);
}

/** Makes the policy of a function that errors name `calledAs`. */
export function createClaimsPolicy<const Required extends ClaimRequirements>(
  calledAs: string,
  ...given: [required: Required]
): RoutePolicy<WithRequiredClaims<Required>> {
  const required = readMiddlewareArgument(calledAs, given, 'one object of claims');
  const rules = isPlainObject(required) ? Object.entries(required) : [];
  if (rules.length === 0 || !rules.every(([, rule]) => isRequirement(rule))) {
    throw createMismatch(
      calledAs,
      'an object from claims to a value, a list of values or a function',
      described(required),
    );
  }
  return createRoutePolicy((authorization) => {
    for (const [name, rule] of rules) {
      if (!fits(calledAs, rule, readOwnMember(authorization.claims, name))) {
        throw new RequestRefused('claims_insufficient', { detail: `the claim ${name} is not as required` });
      }
    }
  });
}

function isRequirement(rule: unknown): boolean {
  return Array.isArray(rule)
    ? rule.length > 0 && rule.every((value) => ['string', 'number'].includes(typeof value))
    : ['string', 'number', 'boolean', 'function'].includes(typeof rule);
}

function fits(calledAs: string, rule: ClaimRequirement, value: unknown): boolean {
  if (typeof rule === 'function') {
    // Only `true` accepts, whatever else the function returns.
    const answer: unknown = rule(value);
    if (isPromise(answer)) {
      throw new TellableError(`${calledAs}: a function returned a promise; it must return true or false`);
    }
    return answer === true;
  }
  const accepted: readonly unknown[] = Array.isArray(rule) ? rule : [rule];
  return (Array.isArray(value) ? value : [value]).some((one) => accepted.includes(one));
}
