import type { TestClient } from './authorization-server.js';

/** What a token endpoint answered. */
export interface IssuedTokens {
  readonly access_token: string;
  readonly refresh_token?: string;
  readonly id_token?: string;
}

/** The identifier of another API of the same authorization server. */
export const otherAudience = 'https://other-api.example.com';

/** The clients that each real authorization server has. */
export interface RealClients {
  /** By `pki.alice`, from the authority. */
  readonly alice: TestClient;
  /** By `pki.selfSignedEc`. */
  readonly selfSigned: TestClient;
  /** By `pki.alice`; its tokens live for two seconds. */
  readonly hasty: TestClient;
  /** By `pki.alice`; it gets every kind of token that the server issues. */
  readonly everything: TestClient;
  /** By a secret; its tokens are bound to nothing. */
  readonly unbound: TestClient;
}

/**
 * A real authorization server on loopback, as the tests of `test/integration/authorization-servers`
 * use it. It issues tokens for `audience` and `otherAudience` by the client credentials grant, with the scopes
 * `accounts:read` and `payments:write`.
 */
export interface RealAuthorizationServer {
  readonly issuer: string;
  /** The origin of `issuer`. It replaces the one that the page shows. */
  readonly origin: string;
  /** The secret of the API's own client. Its certificate is `pki.proxy`. */
  readonly apiSecret: string;
  /** Clients whose access tokens are JWTs. */
  readonly clients: RealClients;
  /** Clients whose access tokens are opaque, if the server issues them. */
  readonly clientsOfOpaqueTokens?: RealClients;
  /** What introspection says of a token that was signed by a withdrawn key. */
  readonly tokensOfWithdrawnKeys: 'active' | 'inactive';
  /** Issues tokens to the client. `resource` is `audience` by default; `null` stands for no API. */
  issue(client: IssuingClient): Promise<IssuedTokens>;
  revoke(client: TestClient, token: string): Promise<void>;
  /** Sets by which of its credentials the API's own client authenticates from now on. */
  apiAuthenticatesBy(method: 'client_secret' | 'tls_client_auth'): Promise<void>;
  /** Makes a new key that signs from now on. The old ones stay in the key set until withdrawn. */
  rotateKeys(): Promise<{ withdrawOldKeys(): Promise<void> }>;
  /** Stops the server, and removes its files. Can be called again. */
  stop(): Promise<void>;
}

export type IssuingClient = Omit<TestClient, 'resource'> & { readonly resource?: string | null };
