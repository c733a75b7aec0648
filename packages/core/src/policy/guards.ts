import type { Authorization, WithCertificate, WithClaims } from '../authorization.js';
import type { Psd2Role } from '../certificate/psd2.js';
import type { CertificatePolicyOptions } from '../certificate-policy/certificate-policy.js';
import { createMismatch, described } from '../shared/option-errors.js';
import {
  type AuthenticationRequirement,
  createAuthenticationPolicy,
  type WithAuthentication,
} from './authentication.js';
import {
  type AuthorizationDetailRequirement,
  createAuthorizationDetailsPolicy,
} from './authorization-details.js';
import { type ClaimRequirements, createClaimsPolicy, type WithRequiredClaims } from './claim-values.js';
import { checkMiddlewareCall, readMiddlewareArgument } from './middleware-call.js';
import {
  createCertificateSubjectPolicy,
  createPsd2RolePolicy,
  createRouteCertificatePolicy,
  type SubjectRequirement,
} from './route-certificate.js';
import { activeTokenPolicy, type RoutePolicy } from './route-policy.js';
import { createAnyScopePolicy, createScopesPolicy } from './scopes.js';

/**
 * The type of a framework's guards, for what they grant: an interface that extends this one says
 * `guard` in terms of `this['granted']`.
 */
export interface GuardType {
  readonly granted: Authorization;
  readonly guard: unknown;
}

/** The guard of a framework behind which the `Authorization` is known to be `Granted`. */
export type GuardOf<Type extends GuardType, Granted extends Authorization = Authorization> = (Type & {
  readonly granted: Granted;
})['guard'];

/**
 * The guards of a framework. Each goes after `mtlsBound()`, and throws `ConfigurationError` for a
 * requirement that it can't check.
 */
export interface Guards<Type extends GuardType> {
  /**
   * The middleware for a policy of your own. The policy returns `undefined`, or a promise of
   * `undefined`, to accept a request, and throws `RequestRefused` to refuse it. Anything else that
   * it returns or throws is answered with 503, as is a policy that does not settle within 60
   * seconds. Goes behind `mtlsBound()`. Throws `ConfigurationError` if `policy` is no function.
   */
  guard<Granted extends Authorization = Authorization>(policy: RoutePolicy<Granted>): GuardOf<Type, Granted>;
  /**
   * Requires that the token grants each of the scopes; otherwise 403 `insufficient_scope` (RFC 6750
   * §3.1).
   *
   * @example
   * router.get('/accounts', requireScopes('accounts:read'), listAccounts);
   */
  requireScopes(...scopes: string[]): GuardOf<Type>;
  /**
   * Requires that the token grants at least one of the scopes; otherwise 403 `insufficient_scope`
   * (RFC 6750 §3.1).
   */
  requireAnyScope(...scopes: string[]): GuardOf<Type>;
  /**
   * Requires that the token is active now (RFC 7662 §2.2): the authorization server is asked on each
   * request. Otherwise 401 `invalid_token`. With `jwtAccessTokens()`, set its option `introspection`;
   * without it each request gets 503.
   *
   * @example
   * router.post('/payments', requireActive(), pay);
   */
  requireActive(...nothing: readonly never[]): GuardOf<Type>;
  /**
   * Requires that claims of the token have these values; otherwise 403. If a claim is a list, one
   * member must match.
   *
   * @example
   * router.get('/wealth', requireClaims({ segment: ['private', 'wealth'] }), handler);
   */
  requireClaims<const Required extends ClaimRequirements>(
    required: Required,
  ): GuardOf<Type, WithRequiredClaims<Required>>;
  /**
   * Requires how strongly (`acr`) and how recently (`auth_time`) the user was authenticated.
   * Otherwise 401 `insufficient_user_authentication`, with a challenge that names what is required
   * (RFC 9470 §3).
   *
   * @example
   * const strong = requireAuthentication({ acrValues: ['urn:example:sca'], maxAge: 300 });
   * router.post('/payments', strong, handler);
   */
  requireAuthentication<const Required extends AuthenticationRequirement>(
    requirement: Required,
  ): GuardOf<Type, WithAuthentication<Required>>;
  /**
   * Requires one authorization detail of this type that grants each of the actions (RFC 9396);
   * otherwise 403.
   *
   * @example
   * const detail = { type: 'payment_initiation', actions: ['initiate'] };
   * router.post('/payments', requireAuthorizationDetails(detail), handler);
   */
  requireAuthorizationDetails(
    requirement: AuthorizationDetailRequirement,
  ): GuardOf<Type, WithClaims<{ authorization_details: readonly unknown[] }>>;
  /**
   * Requires a certificate that meets the policy, as the option `certificatePolicy` does for all
   * routes; otherwise 403. For the guards and handlers behind it, one that passes `authorities` counts as
   * verified. It refuses a revoked certificate on its own route, and does not revoke the tokens: only
   * the option `certificatePolicy` does. After `close()` it stops refreshing lists and OCSP answers when
   * no request has needed them for three times `refreshInterval`, or earlier if they expire sooner.
   */
  requireCertificate(policy: CertificatePolicyOptions): GuardOf<Type, WithCertificate>;
  /**
   * Requires that the subject of the certificate has the values that the token names; otherwise 403. A
   * certificate whose chain was not verified gets 403, too. If the proxy sends no verdict on the chain, the
   * certificate is accepted, and the problem `chain_verdict_missing` is reported once.
   * `certificatePolicy: { requireVerified: true }` refuses it.
   *
   * @example
   * app.use(requireCertificateSubject({
   *   organizationIdentifier: ({ org_id }) => `OFBBR-${org_id}`,
   *   UID: 'software_id',
   * }));
   */
  requireCertificateSubject(
    required: Readonly<Record<string, SubjectRequirement>>,
  ): GuardOf<Type, WithCertificate>;
  /**
   * Requires a qualified certificate with this role of a payment service provider (ETSI TS 119 495
   * §5.1); otherwise 403. A certificate whose chain was not verified gets 403, too. If the proxy sends no
   * verdict on the chain, the certificate is accepted, and the problem `chain_verdict_missing` is reported
   * once. `certificatePolicy: { requireVerified: true }` refuses it.
   *
   * @example
   * router.get('/accounts', requirePsd2Role('PSP_AI'), handler);
   */
  requirePsd2Role(role: Psd2Role): GuardOf<Type, WithCertificate>;
}

/** Makes the guards of a framework. `middlewareOf` returns the middleware that checks a policy. */
export function createGuards<Type extends GuardType>(
  middlewareOf: (policy: RoutePolicy) => GuardOf<Type>,
): Guards<Type> {
  // What a guard grants is a matter of types alone: each is the middleware of its policy.
  const guard = middlewareOf as <Granted extends Authorization>(
    policy: RoutePolicy<Granted>,
  ) => GuardOf<Type, Granted>;
  return Object.freeze({
    guard(...given) {
      const policy = readMiddlewareArgument('guard()', given, 'one route policy');
      if (typeof policy !== 'function') {
        throw createMismatch('guard()', 'a route policy, a function', described(policy));
      }
      return guard(policy);
    },
    requireScopes: (...scopes) => guard(createScopesPolicy('requireScopes()', scopes)),
    requireAnyScope: (...scopes) => guard(createAnyScopePolicy('requireAnyScope()', scopes)),
    requireActive(...nothing) {
      checkMiddlewareCall('requireActive()', nothing, 0, 'nothing');
      return guard(activeTokenPolicy);
    },
    requireClaims: (...given) => guard(createClaimsPolicy('requireClaims()', ...given)),
    requireAuthentication: (...given) =>
      guard(createAuthenticationPolicy('requireAuthentication()', ...given)),
    requireAuthorizationDetails: (...given) =>
      guard(createAuthorizationDetailsPolicy('requireAuthorizationDetails()', ...given)),
    requireCertificate: (...given) => guard(createRouteCertificatePolicy('requireCertificate()', ...given)),
    requireCertificateSubject: (...given) =>
      guard(createCertificateSubjectPolicy('requireCertificateSubject()', ...given)),
    requirePsd2Role: (...given) => guard(createPsd2RolePolicy('requirePsd2Role()', ...given)),
  } satisfies Guards<Type>);
}
