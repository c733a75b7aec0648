import {
  type AuthenticationRequirement,
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
import type { Context, Middleware } from 'koa';
import { keepHeaderOnErrors } from './error-headers.js';
import {
  authorizationOf,
  type Guard,
  type GuardedContext,
  guard,
  type MtlsBoundState,
  refuse,
  resourceServer,
  setAuthorization,
  write,
} from './guard.js';

export * from '@mtls-bound/core';
export {
  type AuthorizationProperty,
  type Guard,
  guard,
  type MtlsBoundState,
  type MtlsBoundTypes,
} from './guard.js';
export { type AuthorizedHandler, type GuardedRoute, guarded } from './guarded.js';

/** What `fapiHeaders()` adds to `ctx.state`. */
export interface FapiState {
  /** What FAPI's headers say of the request. */
  fapi: FapiHeaders;
}

/** The middleware, and what stands behind it: to `revoke()` a token, to `close()` on shutdown. */
export type MtlsBound<State = MtlsBoundState> = Middleware<State> & {
  readonly resourceServer: ResourceServer;
};

/**
 * Lets a request pass only with an access token that is bound to the client certificate of its connection
 * (RFC 8705 §3), and puts the frozen `Authorization` at `ctx.state.auth`, or at the property of `ctx.state` that the option `property` names. Other requests are answered here: 400, 401, 403 by
 * `certificatePolicy`, 429 by `floodGuard`, or 503. What is not given is read from the environment. Throws
 * `ConfigurationError` for a wrong option.
 *
 * @example
 * app.use(mtlsBound({ issuer: 'https://as.example.com', clientId: 'api', clientSecret, audience: 'https://api.example.com' }));
 */
export function mtlsBound(
  options: ResourceServerOptions & { readonly credentials: 'optional' },
): MtlsBound<Partial<MtlsBoundState>>;
export function mtlsBound(options?: ResourceServerOptions): MtlsBound;
export function mtlsBound(options?: ResourceServerOptions): MtlsBound {
  refuseUncalledMiddleware('mtlsBound()', options);
  const server = createResourceServer(options);
  const middleware: Middleware<MtlsBoundState> = async (ctx, next) => {
    try {
      keepOriginalUrl(ctx);
      // Set for a request without credentials too: what another middleware put there says nothing of this request.
      setAuthorization(
        ctx,
        server,
        server.confirm(ctx.req, await server.authorize(ctx.req, parsedBody(ctx))),
      );
    } catch (thrown) {
      refuse(ctx, server, thrown);
      return;
    }
    (ctx as GuardedContext)[resourceServer] = server;
    if (server.vary !== undefined) {
      ctx.vary(server.vary);
      keepHeaderOnErrors(ctx, 'Vary', server.vary);
    }
    await next();
  };
  return Object.assign(middleware, { resourceServer: server });
}

/**
 * A mount or a rewrite (`ctx.path = ...`) changes Node's `url`. Selectors of issuers read the URL that the client sent, where
 * Express keeps it.
 */
function keepOriginalUrl({ req, originalUrl }: Pick<Context, 'req' | 'originalUrl'>): void {
  (req as typeof req & { originalUrl?: string }).originalUrl ??= originalUrl;
}

/**
 * Lets a request pass only if its access token grants every one of the scopes; otherwise 403 `insufficient_scope`
 * (RFC 6750 §3.1). Goes behind `mtlsBound()`. Throws `ConfigurationError` for none, or for what is no scope.
 *
 * @example
 * router.get('/accounts', requireScopes('accounts:read'), listAccounts);
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
 * router.post('/payments', requireActive(), pay);
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
 * router.get('/wealth', requireClaims({ segment: ['private', 'wealth'] }), handler);
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
 * router.post('/payments', requireAuthentication({ acrValues: ['urn:example:sca'], maxAge: 300 }), handler);
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
 * router.post('/payments', requireAuthorizationDetails({ type: 'payment_initiation', actions: ['initiate'] }), handler);
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
 * router.get('/accounts', requirePsd2Role('PSP_AI'), handler);
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
 * router.post('/revocations', revocationEndpoint('tokens:revoke'));
 */
export function revocationEndpoint(scope: string): Middleware {
  refuseUncalledMiddleware('revocationEndpoint()', scope);
  const policy = scopesPolicy([scope]);
  return async (ctx: Context & GuardedContext) => {
    const server = ctx[resourceServer] ?? missingMiddleware;
    write(ctx, await server.acceptRevocation(ctx.req, authorizationOf(ctx, server), policy, parsedBody(ctx)));
  };
}

/**
 * Serves this resource's metadata at its well-known path, to everybody (RFC 9728 §3). Goes before `mtlsBound()`, whose
 * option `resourceMetadata` says what they are. Throws `ConfigurationError` where it does not.
 *
 * @example
 * const mtls = mtlsBound({ resourceMetadata: { resource: 'https://api.example.com' } });
 * app.use(protectedResourceMetadata(mtls)).use(mtls);
 */
export function protectedResourceMetadata(mtls: Pick<MtlsBound, 'resourceServer'>): Middleware {
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
  return async (ctx, next) => {
    const answer = metadata(ctx.method, ctx.originalUrl);
    if (answer === undefined) {
      await next();
    } else {
      write(ctx, answer);
    }
  };
}

/**
 * Reads FAPI's headers to `ctx.state.fapi`, and gives each answer the `x-fapi-interaction-id` of its request, or a new one
 * (FAPI 1.0 Part 1 §6.2.1): those of this package, of your handlers and of errors. Goes before `mtlsBound()`. Throws
 * `ConfigurationError`.
 */
export function fapiHeaders(options?: FapiHeadersOptions): Middleware<FapiState> {
  refuseUncalledMiddleware('fapiHeaders()', options);
  const read = fapiHeaderReader(options);
  return async (ctx, next) => {
    const { fapi, refusal, onRefused } = read(ctx.req);
    ctx.state.fapi = fapi;
    ctx.set(interactionHeader, fapi.interactionId);
    keepHeaderOnErrors(ctx, interactionHeader, fapi.interactionId);
    ctx.res.sendDate = true;
    if (refusal !== undefined) {
      refuse(ctx, onRefused === 'next' ? missingMiddlewareNext : missingMiddleware, refusal);
      return;
    }
    await next();
  };
}

/**
 * Receives Security Event Tokens that a transmitter of Shared Signals pushes (RFC 8935), and revokes the tokens that they concern.
 * Goes before `mtlsBound()`, at a path of its own. Answers 202 when the revocation holds in each process. With the option `poll` it
 * fetches the tokens instead (RFC 8936), and is put nowhere. Throws `ConfigurationError` for a wrong option.
 *
 * @example
 * const mtls = mtlsBound({ issuer, audience, tokens: jwtAccessTokens() });
 * router.post('/signals', sharedSignals(mtls, { transmitter: issuer, audience, authorizationHeader: secret }));
 */
export function sharedSignals(
  mtls: Pick<MtlsBound, 'resourceServer'>,
  options: SharedSignalsOptions,
): Middleware & { readonly receiver: SignalReceiver } {
  refuseUncalledMiddleware('sharedSignals()', mtls);
  const receiver = createSignalReceiver((mtls as Partial<MtlsBound> | undefined)?.resourceServer, options);
  const middleware: Middleware = async (ctx) => {
    write(ctx, await receiver.acceptPush(ctx.req, parsedBody(ctx)));
  };
  return Object.assign(middleware, { receiver });
}

/** Body parsers for Koa put what they read at `ctx.request.body`. */
function parsedBody(ctx: Pick<Context, 'request'>): unknown {
  return 'body' in ctx.request ? ctx.request.body : undefined;
}
