import type { JWK } from 'jose';

/** What a contestant is told before it starts, as a message between processes. */
export interface ApiSetup {
  /** Its name among the contestants of its framework. */
  readonly contestant: string;
  readonly introspectionEndpoint: string;
  /** Signs the authorization server's certificate and the clients'. */
  readonly ca: string;
  /** Verifies JWT access tokens. */
  readonly publicJwk: JWK;
  /** Present where the API itself ends mutual TLS; otherwise the certificate comes in NGINX's header. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** HTTP/2 alone, over TLS. */
  readonly http2?: boolean;
  /** Talk to the authorization server by the global fetch instead of node-fetch. */
  readonly viaGlobalFetch?: boolean;
}
