import {
  type AuthenticationRequirement,
  type AuthorizationDetailRequirement,
  activeTokenPolicy,
  anyScopePolicy,
  authenticationPolicy,
  authorizationDetailsPolicy,
  type CertificatePolicyOptions,
  type ClaimRequirements,
  certificateSubjectPolicy,
  claimsPolicy,
  type Psd2Role,
  psd2RolePolicy,
  refuseUncalledMiddleware,
  routeCertificatePolicy,
  type SubjectRequirement,
  scopesPolicy,
  type WithAuthentication,
  type WithCertificate,
  type WithClaims,
  type WithRequiredClaims,
} from '@mtls-bound/core';
import { type Guard, guard } from './guard.js';

// Each guard goes after `mtlsBound()`, and throws `ConfigurationError` for a requirement that it
// can't check.

/**
 * Requires that the token grants each of the scopes; otherwise 403 `insufficient_scope` (RFC 6750
 * §3.1).
 *
 * @example
 * router.get('/accounts', requireScopes('accounts:read'), listAccounts);
 */
export function requireScopes(...scopes: string[]): Guard {
  return guard(scopesPolicy(scopes, 'requireScopes()'));
}

/**
 * Requires that the token grants at least one of the scopes; otherwise 403 `insufficient_scope`
 * (RFC 6750 §3.1).
 */
export function requireAnyScope(...scopes: string[]): Guard {
  return guard(anyScopePolicy(scopes, 'requireAnyScope()'));
}

/**
 * Requires that the token is active now (RFC 7662 §2.2): the authorization server is asked on each
 * request. Otherwise 401 `invalid_token`. With `jwtAccessTokens()`, set its option `introspection`;
 * without it each request gets 503.
 *
 * @example
 * router.post('/payments', requireActive(), pay);
 */
export function requireActive(...nothing: readonly never[]): Guard {
  refuseUncalledMiddleware('requireActive()', nothing[0]);
  return guard(activeTokenPolicy);
}

/**
 * Requires that claims of the token have these values; otherwise 403. If a claim is a list, one
 * member must match.
 *
 * @example
 * router.get('/wealth', requireClaims({ segment: ['private', 'wealth'] }), handler);
 */
export function requireClaims<const Required extends ClaimRequirements>(
  required: Required,
): Guard<WithRequiredClaims<Required>> {
  return guard(claimsPolicy(required, 'requireClaims()'));
}

/**
 * Requires how strongly (`acr`) and how recently (`auth_time`) the user was authenticated.
 * Otherwise 401 `insufficient_user_authentication`, with a challenge that names what is required
 * (RFC 9470 §3).
 *
 * @example
 * router.post('/payments', requireAuthentication({ acrValues: ['urn:example:sca'], maxAge: 300 }), handler);
 */
export function requireAuthentication<const Required extends AuthenticationRequirement>(
  requirement: Required,
): Guard<WithAuthentication<Required>> {
  return guard(authenticationPolicy(requirement, 'requireAuthentication()'));
}

/**
 * Requires one authorization detail of this type that grants each of the actions (RFC 9396);
 * otherwise 403.
 *
 * @example
 * router.post('/payments', requireAuthorizationDetails({ type: 'payment_initiation', actions: ['initiate'] }), handler);
 */
export function requireAuthorizationDetails(
  requirement: AuthorizationDetailRequirement,
): Guard<WithClaims<{ authorization_details: readonly unknown[] }>> {
  return guard(authorizationDetailsPolicy(requirement, 'requireAuthorizationDetails()'));
}

/**
 * Requires a certificate that meets the policy, as the option `certificatePolicy` does for all
 * routes; otherwise 403.
 */
export function requireCertificate(policy: CertificatePolicyOptions): Guard<WithCertificate> {
  return guard(routeCertificatePolicy(policy, 'requireCertificate()'));
}

/**
 * Requires that the subject of the certificate has the values that the token names; otherwise 403.
 *
 * @example
 * app.use(requireCertificateSubject({ organizationIdentifier: ({ org_id }) => `OFBBR-${org_id}`, UID: 'software_id' }));
 */
export function requireCertificateSubject(
  required: Readonly<Record<string, SubjectRequirement>>,
): Guard<WithCertificate> {
  return guard(certificateSubjectPolicy(required, 'requireCertificateSubject()'));
}

/**
 * Requires a qualified certificate with this role of a payment service provider (ETSI TS 119 495
 * §5.1); otherwise 403.
 *
 * @example
 * router.get('/accounts', requirePsd2Role('PSP_AI'), handler);
 */
export function requirePsd2Role(role: Psd2Role): Guard<WithCertificate> {
  return guard(psd2RolePolicy(role, 'requirePsd2Role()'));
}
