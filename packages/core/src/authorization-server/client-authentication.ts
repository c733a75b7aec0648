import { type ClientAuth, ClientSecretBasic, ClientSecretPost } from 'oauth4webapi';
import { checked, secretText } from '../option-rules.js';

/** How this resource server proves to the authorization server who it is (RFC 7662 §2.1). */
export interface ClientAuthentication {
  /** The registered name of the method (RFC 8414 §2, `introspection_endpoint_auth_methods_supported`). */
  readonly method: string;
  /** Adds the proof to the request. The secret lives in here alone, out of reach of a log. */
  readonly authenticate: ClientAuth;
}

/** Client id and secret in the Authorization header, each form-urlencoded first (RFC 6749 §2.3.1). */
export function clientSecretBasic(secret: string): ClientAuthentication {
  const authenticate = ClientSecretBasic(checked('clientSecretBasic(secret)', secretText, secret));
  return Object.freeze({ method: 'client_secret_basic', authenticate });
}

/** Client id and secret in the request body (RFC 6749 §2.3.1). */
export function clientSecretPost(secret: string): ClientAuthentication {
  const authenticate = ClientSecretPost(checked('clientSecretPost(secret)', secretText, secret));
  return Object.freeze({ method: 'client_secret_post', authenticate });
}
