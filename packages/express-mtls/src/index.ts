import {
  type AuthenticationRequirement,
  type Authorization,
  type AuthorizationDetailRequirement,
  activeTokenPolicy,
  anyScopePolicy,
  authenticationPolicy,
  authorizationDetailsPolicy,
  type CertificatePolicyOptions,
  type ClaimRequirements,
  ConfigurationError,
  certificateSubjectPolicy,
  claimsPolicy,
  createResourceServer,
  createSignalReceiver,
  type FapiHeaders,
  type FapiHeadersOptions,
  fapiHeaderReader,
  interactionHeader,
  missingMiddleware,
  missingMiddlewareNext,
  type Psd2Role,
  psd2RolePolicy,
  type ResourceServer,
  type ResourceServerOptions,
  refuseUncalledMiddleware,
  routeCertificatePolicy,
  type SharedSignalsOptions,
  type SignalReceiver,
  type SubjectRequirement,
  scopesPolicy,
  type WithAuthentication,
  type WithCertificate,
  type WithClaims,
  type WithRequiredClaims,
} from '@mtls-bound/core';
import type { Request, RequestHandler, Response } from 'express';
import {
  authorizationOf,
  type Guard,
  guard,
  type MarkedRequest,
  passOn,
  refuse,
  resourceServer,
  setAuthorization,
  write,
} from './guard.js';

export * from '@mtls-bound/core';
export { type Guard, guard } from './guard.js';
export { type AuthorizedHandler, type AuthorizedRequest, guarded } from './guarded.js';

/**
 * What TypeScript has to know of your options. If you give `mtlsBound()` the option `property`, declare it here, by
 * `declare module 'express-mtls' { interface MtlsBoundTypes { property: 'mtls' } }`: `req.auth` is then left to other packages.
 */
// biome-ignore lint/suspicious/noEmptyInterface: applications declare its members.
export interface MtlsBoundTypes {}

/** The property of a request that has the `Authorization`: `auth`, or the one that `MtlsBoundTypes` declares. */
export type AuthorizationProperty = MtlsBoundTypes extends { property: infer Name extends string }
  ? Name
  : 'auth';

/** What `mtlsBound()` sets on a request: the `Authorization` that the request was let in with. */
type BoundRequest = { [Name in AuthorizationProperty]?: Authorization };

declare global {
  namespace Express {
    interface Request extends BoundRequest {
      /** What FAPI's headers say of the request; set by `fapiHeaders()`. */
      fapi?: FapiHeaders;
    }
  }
}

/** The middleware, and what stands behind it: to `revoke()` a token, to `close()` on shutdown. */
export interface MtlsBound extends Guard {
  /** What decides: `revoke()`, `close()`, `reported`. */
  readonly resourceServer: ResourceServer;
}

/**
 * Lets a request pass only with an access token that is bound to the client certificate of its connection
 * (RFC 8705 §3), and puts the frozen `Authorization` at `req.auth`, or at the property that the option `property` names. Other requests are answered here: 400, 401, 403 by
 * `certificatePolicy`, 429 by `floodGuard`, or 503. What is not given is read from the environment. Throws
 * `ConfigurationError` for a wrong option.
 *
 * @example
 * app.use(mtlsBound({ issuer: 'https://as.example.com', clientId: 'api', clientSecret, audience: 'https://api.example.com' }));
 */
export function mtlsBound(options?: ResourceServerOptions): MtlsBound {
  refuseUncalledMiddleware('mtlsBound()', options);
  const server = createResourceServer(options);
  const middleware: Guard = (req, res, next) => {
    let outcome: unknown;
    try {
      outcome = server.authorize(req, req.body);
    } catch (thrown) {
      refuse(req, res, next, server, thrown);
      return;
    }
    const pass = (authorization: Authorization | undefined): void => {
      // Set for a request without credentials too: what another middleware put there says nothing of this request.
      setAuthorization(req, server, authorization);
      (req as MarkedRequest)[resourceServer] = server;
      if (server.vary !== undefined) {
        addVary(res, server.vary);
      }
    };
    if (server.isGranted(req, outcome)) {
      pass(outcome);
      next();
      return;
    }
    // A promise, of whatever make: what it comes to is confirmed, and nothing is taken for granted because it is no promise.
    const settle = async (): Promise<void> => {
      try {
        pass(server.confirm(req, await outcome));
      } catch (thrown) {
        refuse(req, res, next, server, thrown);
        return;
      }
      passOn(next);
    };
    void settle();
  };
  return Object.assign(middleware, { resourceServer: server });
}

/** `res.vary()` parses what is there and what is not: 1 µs a request that has none. */
function addVary(res: Response, name: string): void {
  if (res.hasHeader('Vary')) {
    res.vary(name);
  } else {
    res.setHeader('Vary', name);
  }
}

/**
 * Lets a request pass only if its access token grants every one of the scopes; otherwise 403 `insufficient_scope`
 * (RFC 6750 §3.1). Goes behind `mtlsBound()`. Throws `ConfigurationError` for none, or for what is no scope.
 *
 * @example
 * app.get('/accounts', requireScopes('accounts:read'), listAccounts);
 */
export function requireScopes(...scopes: string[]): Guard {
  refuseUncalledMiddleware('requireScopes()', scopes[0]);
  return guard(scopesPolicy(scopes));
}

/**
 * Lets a request pass only if the authorization server says that its token is active at this very moment; otherwise 401
 * `invalid_token`. It is asked on each request, so a revocation counts at once: for the routes that must not wait for
 * `cache.maxAge` or, with `jwtAccessTokens({ introspection: introspection() })`, for the token to expire. With
 * `jwtAccessTokens()` alone there is nobody to ask, and every request gets 503. Goes behind `mtlsBound()`.
 *
 * @example
 * app.post('/payments', requireActive(), pay);
 */
export function requireActive(...nothing: readonly never[]): Guard {
  refuseUncalledMiddleware('requireActive()', nothing[0]);
  return guard(activeTokenPolicy);
}

/**
 * Lets a request pass only if its access token grants at least one of the scopes; otherwise 403 `insufficient_scope`
 * (RFC 6750 §3.1). Goes behind `mtlsBound()`. Throws `ConfigurationError` for none, or for what is no scope.
 */
export function requireAnyScope(...scopes: string[]): Guard {
  refuseUncalledMiddleware('requireAnyScope()', scopes[0]);
  return guard(anyScopePolicy(scopes));
}

/**
 * Lets a request pass only if the token's claims are as required; otherwise 403. Goes behind `mtlsBound()`. Throws
 * `ConfigurationError`.
 *
 * @example
 * app.get('/wealth', requireClaims({ segment: ['private', 'wealth'] }), handler);
 */
export function requireClaims<const Required extends ClaimRequirements>(
  required: Required,
): Guard<WithRequiredClaims<Required>> {
  refuseUncalledMiddleware('requireClaims()', required);
  return guard(claimsPolicy(required));
}

/**
 * Lets a request pass only if its user was authenticated strongly and recently enough; otherwise 401
 * `insufficient_user_authentication`, which tells the client what would do (RFC 9470 §3). Goes behind `mtlsBound()`. Throws
 * `ConfigurationError`.
 *
 * @example
 * app.post('/payments', requireAuthentication({ acrValues: ['urn:example:sca'], maxAge: 300 }), handler);
 */
export function requireAuthentication<const Required extends AuthenticationRequirement>(
  requirement: Required,
): Guard<WithAuthentication<Required>> {
  refuseUncalledMiddleware('requireAuthentication()', requirement);
  return guard(authenticationPolicy(requirement));
}

/**
 * Lets a request pass only if one authorization detail of the token has the type and grants every one of the actions
 * (RFC 9396); otherwise 403. Goes behind `mtlsBound()`. Throws `ConfigurationError`.
 *
 * @example
 * app.post('/payments', requireAuthorizationDetails({ type: 'payment_initiation', actions: ['initiate'] }), handler);
 */
export function requireAuthorizationDetails(
  requirement: AuthorizationDetailRequirement,
): Guard<WithClaims<{ authorization_details: readonly unknown[] }>> {
  refuseUncalledMiddleware('requireAuthorizationDetails()', requirement);
  return guard(authorizationDetailsPolicy(requirement));
}

/**
 * Lets a request pass only with a certificate that meets the policy, as the option `certificatePolicy` does for all routes;
 * otherwise 403, or 401 by its `status` or without a certificate. Goes behind `mtlsBound()`. Throws `ConfigurationError`.
 */
export function requireCertificate(policy: CertificatePolicyOptions): Guard<WithCertificate> {
  refuseUncalledMiddleware('requireCertificate()', policy);
  return guard(routeCertificatePolicy(policy));
}

/**
 * Lets a request pass only if the subject of its certificate names who the token names; otherwise 403. Goes behind
 * `mtlsBound()`. Throws `ConfigurationError`.
 *
 * @example
 * app.use(requireCertificateSubject({ organizationIdentifier: ({ org_id }) => `OFBBR-${org_id}`, UID: 'software_id' }));
 */
export function requireCertificateSubject(
  required: Readonly<Record<string, SubjectRequirement>>,
): Guard<WithCertificate> {
  refuseUncalledMiddleware('requireCertificateSubject()', required);
  return guard(certificateSubjectPolicy(required));
}

/**
 * Lets a request pass only with a qualified certificate that names this role of a payment service provider (ETSI TS 119 495
 * §5.1); otherwise 403. Goes behind `mtlsBound()`. Throws `ConfigurationError`.
 *
 * @example
 * app.get('/accounts', requirePsd2Role('PSP_AI'), handler);
 */
export function requirePsd2Role(role: Psd2Role): Guard<WithCertificate> {
  refuseUncalledMiddleware('requirePsd2Role()', role);
  return guard(psd2RolePolicy(role));
}

/**
 * Takes revocations from an authorization server or from anybody whose token grants `scope` (RFC 7009 §2.1): a form by
 * POST with `token`, `token_hash`, `sub`, `client_id` or `x5t#S256`. Goes behind `mtlsBound()`. Answers 200 when every
 * process is on its way to know, 503 when it holds in this one alone. Throws `ConfigurationError` for what is no scope.
 *
 * @example
 * app.post('/revocations', revocationEndpoint('tokens:revoke'));
 */
export function revocationEndpoint(scope: string): RequestHandler {
  refuseUncalledMiddleware('revocationEndpoint()', scope);
  const policy = scopesPolicy([scope]);
  return (req: Request & MarkedRequest, res, next) => {
    const server = req[resourceServer] ?? missingMiddleware;
    server
      .acceptRevocation(req, authorizationOf(req, server), policy, req.body)
      .then((answer) => write(res, answer))
      .catch(next);
  };
}

/**
 * Serves this resource's metadata at its well-known path, to everybody (RFC 9728 §3). Goes before `mtlsBound()`, whose
 * option `resourceMetadata` says what they are. Throws `ConfigurationError` where it does not.
 *
 * @example
 * const mtls = mtlsBound({ resourceMetadata: { resource: 'https://api.example.com' } });
 * app.use(protectedResourceMetadata(mtls), mtls);
 */
export function protectedResourceMetadata(mtls: Pick<MtlsBound, 'resourceServer'>): RequestHandler {
  refuseUncalledMiddleware('protectedResourceMetadata()', mtls);
  const server = (mtls as Partial<MtlsBound> | undefined)?.resourceServer;
  if (typeof server?.answer !== 'function') {
    throw new ConfigurationError(
      'protectedResourceMetadata()',
      'no middleware of mtlsBound() was given; accepted is one',
    );
  }
  const { metadata } = server;
  if (metadata === undefined) {
    throw new ConfigurationError(
      'resourceMetadata',
      'mtlsBound() was not given it; accepted is { resource }',
    );
  }
  return (req, res, next) => {
    const answer = metadata(req.method, req.originalUrl);
    if (answer === undefined) {
      next();
    } else {
      write(res, answer);
    }
  };
}

/**
 * Reads FAPI's headers to `req.fapi`, and gives each answer the `x-fapi-interaction-id` of its request, or a new one
 * (FAPI 1.0 Part 1 §6.2.1): those of this package, of your handlers and of errors. Goes before `mtlsBound()`. Throws
 * `ConfigurationError`.
 */
export function fapiHeaders(options?: FapiHeadersOptions): RequestHandler {
  refuseUncalledMiddleware('fapiHeaders()', options);
  const read = fapiHeaderReader(options);
  return (req, res, next) => {
    const { fapi, refusal, onRefused } = read(req);
    req.fapi = fapi;
    res.setHeader(interactionHeader, fapi.interactionId);
    res.sendDate = true;
    if (refusal === undefined) {
      next();
    } else {
      refuse(req, res, next, onRefused === 'next' ? missingMiddlewareNext : missingMiddleware, refusal);
    }
  };
}

/**
 * Receives Security Event Tokens that a transmitter of Shared Signals pushes (RFC 8935), and revokes the tokens that they concern.
 * Goes before `mtlsBound()`, at a path of its own. Answers 202 when the revocation holds in each process. With the option `poll` it
 * fetches the tokens instead (RFC 8936), and is put nowhere. Throws `ConfigurationError` for a wrong option.
 *
 * @example
 * const mtls = mtlsBound({ issuer, audience, tokens: jwtAccessTokens() });
 * app.post('/signals', sharedSignals(mtls, { transmitter: issuer, audience, authorizationHeader: secret })).use(mtls);
 */
export function sharedSignals(
  mtls: Pick<MtlsBound, 'resourceServer'>,
  options: SharedSignalsOptions,
): RequestHandler & { readonly receiver: SignalReceiver } {
  refuseUncalledMiddleware('sharedSignals()', mtls);
  const receiver = createSignalReceiver((mtls as Partial<MtlsBound> | undefined)?.resourceServer, options);
  const handler: RequestHandler = (req, res, next) => {
    receiver
      .acceptPush(req, req.body)
      .then((answer) => write(res, answer))
      .catch(next);
  };
  return Object.assign(handler, { receiver });
}
