import type { WithClaims } from '../authorization.js';
import { RequestRefused } from '../errors.js';
import { type OptionsOf, optional, optionGroup, readOptions, required } from '../shared/option-group.js';
import { text, textList } from '../shared/option-rules.js';
import { readOwnMember } from '../shared/own-member.js';
import { readMiddlewareArgument } from './middleware-call.js';
import { createRoutePolicy, type RoutePolicy } from './route-policy.js';

export const authorizationDetailOptions = optionGroup({
  /** Its `type`. Required. */
  type: required(text),
  /** All of these are among its `actions`. Default: any. */
  actions: optional(textList, { defaultInWords: 'any' }),
  /** One of these is among its `locations`. Default: any. */
  locations: optional(textList, { defaultInWords: 'any' }),
});

/** What one authorization detail of the token must grant (RFC 9396 §2). */
export interface AuthorizationDetailRequirement extends OptionsOf<typeof authorizationDetailOptions> {}

/**
 * Refuses a token without an authorization detail of this type that grants every one of the
 * actions: 403 (RFC 9396 §8, §9). One detail has to grant all: rights of several are never added
 * up.
 */
export function authorizationDetailsPolicy(
  requirement: AuthorizationDetailRequirement,
): RoutePolicy<WithClaims<{ authorization_details: readonly unknown[] }>>;
export function authorizationDetailsPolicy(
  ...given: [requirement: AuthorizationDetailRequirement]
): RoutePolicy<WithClaims<{ authorization_details: readonly unknown[] }>> {
  return createAuthorizationDetailsPolicy('authorizationDetailsPolicy()', ...given);
}

/** Makes the policy of a function that errors name `calledAs`. */
export function createAuthorizationDetailsPolicy(
  calledAs: string,
  ...given: [requirement: AuthorizationDetailRequirement]
): RoutePolicy<WithClaims<{ authorization_details: readonly unknown[] }>> {
  const requirement = readMiddlewareArgument(
    calledAs,
    given,
    'one authorization detail, and a guard for each further one',
  );
  const { type, actions = [], locations } = readOptions(calledAs, requirement, authorizationDetailOptions);
  return createRoutePolicy(({ claims }) => {
    const details = readOwnMember(claims, 'authorization_details');
    const isGranted =
      Array.isArray(details) &&
      details.some(
        (detail: unknown) =>
          isObject(detail) &&
          readOwnMember(detail, 'type') === type &&
          actions.every((action) => isIn(action, readOwnMember(detail, 'actions'))) &&
          (locations === undefined ||
            locations.some((location) => isIn(location, readOwnMember(detail, 'locations')))),
      );
    if (!isGranted) {
      throw new RequestRefused('authorization_details_insufficient', {
        detail: `none of type ${type} grants ${actions.join(', ') || 'this'}`,
      });
    }
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isIn(value: string, list: unknown): boolean {
  return Array.isArray(list) && list.includes(value);
}
