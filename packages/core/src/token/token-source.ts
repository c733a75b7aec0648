import type { ClientAuthentication } from '../authorization-server/client-authentication.js';
import type { Http } from '../authorization-server/http.js';
import type { ReadServerMetadata } from '../authorization-server/metadata.js';
import type { TokenReader } from './token-claims.js';

/** The authorization server as a token source sees it. */
export interface AuthorizationServerAccess {
  /** The option `issuer`. */
  readonly issuer: string;
  /**
   * Identifiers of this resource server; `server-enforced` when the authorization server checks the
   * audience.
   */
  readonly audience: readonly string[] | 'server-enforced';
  /** Seconds by which the clocks may differ. */
  readonly clockTolerance: number;
  /** Signature algorithms that a profile permits; undefined for any supported one. */
  readonly permittedAlgorithms: readonly string[] | undefined;
  /**
   * Who this resource server is to the authorization server. Throws `ConfigurationError` if no
   * client credentials are configured. A source that needs them calls this when it is made, at
   * start-up.
   */
  readonly client: () => { readonly id: string; readonly authentication: ClientAuthentication };
  /** What the server says of itself, discovered or given. */
  readonly metadata: ReadServerMetadata;
  /** Sends a request to the server, within the limits of the option `http`. */
  readonly http: Http;
  /** Seconds for one question to the server: the option `http.timeout`. */
  readonly timeout: number;
}

/**
 * How tokens become claims: made once at start-up, then asked for each token that the cache does
 * not know.
 */
export interface TokenSource {
  (server: AuthorizationServerAccess): TokenReader;
  /**
   * Members that the option `authorizationServerMetadata` must name, if it is given. Default: none.
   */
  readonly needs?: readonly string[];
}
