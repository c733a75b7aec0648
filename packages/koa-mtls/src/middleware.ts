import type { Adapter, ResourceServerOptions } from '@mtls-bound/core';
import { adapter, type KoaTypes } from './koa.js';
import type { MtlsBound, MtlsBoundState } from './types.js';

/**
 * Accepts a request only if its access token is bound to the client certificate of its connection
 * (RFC 8705 §3), and puts the frozen `Authorization` at `ctx.state.auth`, or at the property of
 * `ctx.state` that the option `property` names. Answers other requests with 400, 401, 403
 * (`certificatePolicy`), 429 (`floodGuard`) or 503. An option that you do not give is read from the
 * environment. Throws `ConfigurationError` for a wrong option.
 *
 * @example
 * const issuer = 'https://as.example.com';
 * const audience = 'https://api.example.com';
 * app.use(mtlsBound({ issuer, clientId: 'api', clientSecret, audience }));
 */
export function mtlsBound(
  options: ResourceServerOptions & { readonly credentials: 'optional' },
): MtlsBound<Partial<MtlsBoundState>>;
export function mtlsBound(options?: ResourceServerOptions): MtlsBound;
export function mtlsBound(...given: [options?: ResourceServerOptions]): MtlsBound {
  return adapter.mtlsBound(...given);
}

// Their documentation is that of the members of `Adapter`.
type Koa = Adapter<KoaTypes>;
export const guard: Koa['guard'] = adapter.guard;
export const requireScopes: Koa['requireScopes'] = adapter.requireScopes;
export const requireAnyScope: Koa['requireAnyScope'] = adapter.requireAnyScope;
export const requireActive: Koa['requireActive'] = adapter.requireActive;
export const requireClaims: Koa['requireClaims'] = adapter.requireClaims;
export const requireAuthentication: Koa['requireAuthentication'] = adapter.requireAuthentication;
export const requireAuthorizationDetails: Koa['requireAuthorizationDetails'] =
  adapter.requireAuthorizationDetails;
export const requireCertificate: Koa['requireCertificate'] = adapter.requireCertificate;
export const requireCertificateSubject: Koa['requireCertificateSubject'] = adapter.requireCertificateSubject;
export const requirePsd2Role: Koa['requirePsd2Role'] = adapter.requirePsd2Role;
export const revocationEndpoint: Koa['revocationEndpoint'] = adapter.revocationEndpoint;
export const protectedResourceMetadata: Koa['protectedResourceMetadata'] = adapter.protectedResourceMetadata;
export const fapiHeaders: Koa['fapiHeaders'] = adapter.fapiHeaders;
export const sharedSignals: Koa['sharedSignals'] = adapter.sharedSignals;
