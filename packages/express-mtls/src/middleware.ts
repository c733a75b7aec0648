import type { Adapter, ResourceServerOptions } from '@mtls-bound/core';
import { adapter, type ExpressTypes } from './express.js';
import type { MtlsBound } from './types.js';

/**
 * Accepts a request only if its access token is bound to the client certificate of its connection
 * (RFC 8705 §3), and puts the frozen `Authorization` at `req.auth`, or at the property that the
 * option `property` names. Answers other requests with 400, 401, 403 (`certificatePolicy`), 429
 * (`floodGuard`) or 503. An option that you do not give is read from the environment. Throws
 * `ConfigurationError` for a wrong option.
 *
 * @example
 * const issuer = 'https://as.example.com';
 * const audience = 'https://api.example.com';
 * app.use(mtlsBound({ issuer, clientId: 'api', clientSecret, audience }));
 */
export function mtlsBound(options?: ResourceServerOptions): MtlsBound;
export function mtlsBound(...given: [options?: ResourceServerOptions]): MtlsBound {
  return adapter.mtlsBound(...given);
}

// Their documentation is that of the members of `Adapter`.
type Express = Adapter<ExpressTypes>;
export const guard: Express['guard'] = adapter.guard;
export const requireScopes: Express['requireScopes'] = adapter.requireScopes;
export const requireAnyScope: Express['requireAnyScope'] = adapter.requireAnyScope;
export const requireActive: Express['requireActive'] = adapter.requireActive;
export const requireClaims: Express['requireClaims'] = adapter.requireClaims;
export const requireAuthentication: Express['requireAuthentication'] = adapter.requireAuthentication;
export const requireAuthorizationDetails: Express['requireAuthorizationDetails'] =
  adapter.requireAuthorizationDetails;
export const requireCertificate: Express['requireCertificate'] = adapter.requireCertificate;
export const requireCertificateSubject: Express['requireCertificateSubject'] =
  adapter.requireCertificateSubject;
export const requirePsd2Role: Express['requirePsd2Role'] = adapter.requirePsd2Role;
export const revocationEndpoint: Express['revocationEndpoint'] = adapter.revocationEndpoint;
export const protectedResourceMetadata: Express['protectedResourceMetadata'] =
  adapter.protectedResourceMetadata;
export const fapiHeaders: Express['fapiHeaders'] = adapter.fapiHeaders;
export const sharedSignals: Express['sharedSignals'] = adapter.sharedSignals;
