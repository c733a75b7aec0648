import { jwtAccessTokens, nginx, proxyHeader, type ResourceServerOptions } from '@mtls-bound/core';
import { audience, issuer } from '../harness/cast.js';
import type { ApiSetup } from './setup.js';

/** The defaults, and what has no default. */
export function ourOptions({
  introspectionEndpoint,
  ca,
  tls,
  viaGlobalFetch,
}: ApiSetup): ResourceServerOptions {
  return {
    issuer,
    audience,
    clientId: 'api',
    clientSecret: 'secret of the api',
    authorizationServerMetadata: {
      introspection_endpoint: introspectionEndpoint,
      tls_client_certificate_bound_access_tokens: true,
    },
    // The global fetch takes the authority from NODE_EXTRA_CA_CERTS.
    http: viaGlobalFetch ? { fetch: globalThis.fetch } : { ca },
    ...(tls === undefined && { certificate: proxyHeader(nginx(), { trust: 'loopback' }) }),
  };
}

/** Options for JWTs, which are verified here by the keys of the authorization server. */
export function ourJwtOptions(setup: ApiSetup): ResourceServerOptions {
  const { clientId: _id, clientSecret: _secret, ...options } = ourOptions(setup);
  return {
    ...options,
    tokens: jwtAccessTokens(),
    authorizationServerMetadata: { jwks_uri: setup.introspectionEndpoint },
  };
}
