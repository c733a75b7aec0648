import {
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretJwt,
  ClientSecretPost,
  TlsClientAuth,
} from 'oauth4webapi';
import { RequestRefused } from '../errors.js';
import { onlyArgument } from '../shared/call-arguments.js';
import { type Deadline, giveUpWhenOver } from '../shared/deadline.js';
import { checkOption, functionLike, type OptionRule, secretText } from '../shared/option-rules.js';
import { describeError } from '../shared/shown-error.js';
import {
  createCertificateReader,
  type ReadCertificateAndKey,
  type TlsClientAuthOptions,
} from './own-certificate.js';
import { createAssertionAuth, type PrivateKeyOptions } from './private-key.js';

/** How this resource server proves to the authorization server who it is (RFC 7662 §2.1). */
export interface ClientAuthentication {
  /**
   * The registered name of the method (RFC 8414 §2,
   * `introspection_endpoint_auth_methods_supported`).
   */
  readonly method: string;
  /** Adds the proof to the request. The secret lives in here alone, out of reach of a log. */
  readonly authenticate: ClientAuth;
  /** This API's own certificate, for the methods that authenticate by TLS (RFC 8705 §2). */
  readonly identity?: ReadCertificateAndKey;
}

/** The proofs that add the same to each request of a client. */
const constants = new WeakSet<ClientAuthentication>();

/**
 * Returns whether this proof adds the same to each request of a client: no time, no random value.
 */
export function isConstant(authentication: ClientAuthentication): boolean {
  return constants.has(authentication);
}

function markConstant(authentication: ClientAuthentication): ClientAuthentication {
  constants.add(authentication);
  return Object.freeze(authentication);
}

/**
 * Returns a proof of this API that is given up when the question's time is up. A failure here is the
 * API's, and not the authorization server's. The message of its error is not kept, because it may quote
 * a secret.
 */
export function limitAuthentication(
  { method, authenticate }: ClientAuthentication,
  deadline: Deadline,
): ClientAuth {
  return async (...args) => {
    try {
      await giveUpWhenOver(deadline, () => authenticate(...args));
    } catch (error) {
      if (error instanceof RequestRefused) {
        throw error;
      }
      const why = deadline.isOver ? 'took longer than http.timeout' : `failed: ${describeError(error)}`;
      throw new RequestRefused('internal_error', { detail: `this API's ${method} ${why}` });
    }
  };
}

/**
 * The client secret of this API: text, or a function that is called for each attempt to ask the
 * authorization server, so that another secret needs no restart. It is called also if nothing is sent
 * then, as while the circuit breaker is open.
 */
export type ClientSecret = string | (() => string | Promise<string>);

export const clientSecretRule: OptionRule<ClientSecret> = {
  accepted: `${secretText.accepted}, or a function that returns one`,
  secret: true,
  read: (given) => (typeof given === 'function' ? (given as () => string) : secretText.read(given)),
};

/**
 * Client id and secret in the Authorization header, each form-urlencoded first (RFC 6749 §2.3.1).
 * A function is called for each attempt to ask. If it throws, or returns no secret within `http.timeout`,
 * the client gets 503.
 *
 * @example
 * import { readFile } from 'node:fs/promises';
 *
 * const secret = async () => (await readFile('/run/secrets/client', 'utf8')).trim();
 * mtlsBound({ clientAuthentication: clientSecretBasic(secret) })
 */
export function clientSecretBasic(secret: ClientSecret): ClientAuthentication;
export function clientSecretBasic(...args: [secret: ClientSecret]): ClientAuthentication {
  const secret = readSecret('clientSecretBasic', args);
  return bySecret('client_secret_basic', secret, ClientSecretBasic, true);
}

/**
 * Client id and secret in the request body (RFC 6749 §2.3.1). A function is called for each attempt to ask.
 * If it throws, or returns no secret within `http.timeout`, the client gets 503.
 */
export function clientSecretPost(secret: ClientSecret): ClientAuthentication;
export function clientSecretPost(...args: [secret: ClientSecret]): ClientAuthentication {
  const secret = readSecret('clientSecretPost', args);
  return bySecret('client_secret_post', secret, ClientSecretPost, true);
}

/**
 * A short-lived assertion, signed with the secret by HS256 (RFC 7523 §2.2). A function is called for each
 * attempt to ask. If it throws, or returns no secret within `http.timeout`, the client gets 503.
 */
export function clientSecretJwt(secret: ClientSecret): ClientAuthentication;
export function clientSecretJwt(...args: [secret: ClientSecret]): ClientAuthentication {
  const secret = readSecret('clientSecretJwt', args);
  return bySecret('client_secret_jwt', secret, ClientSecretJwt, false);
}

function readSecret(name: string, args: readonly ClientSecret[]): ClientSecret {
  const secret = onlyArgument(`${name}()`, args, 'one secret');
  return checkOption(`${name}(secret)`, clientSecretRule, secret);
}

/** @param addsConstant whether the proof by one secret adds the same to each request */
function bySecret(
  method: string,
  secret: ClientSecret,
  create: (secret: string) => ClientAuth,
  addsConstant: boolean,
): ClientAuthentication {
  if (typeof secret === 'string') {
    const authentication = { method, authenticate: create(secret) };
    return addsConstant ? markConstant(authentication) : Object.freeze(authentication);
  }
  const authenticate: ClientAuth = async (...request) => {
    await create(await callForSecret(method, secret))(...request);
  };
  return Object.freeze({ method, authenticate });
}

async function callForSecret(method: string, give: () => string | Promise<string>): Promise<string> {
  let given: unknown;
  try {
    given = await give();
  } catch (error) {
    throw refuseWithoutSecret(method, `failed: ${describeError(error)}`);
  }
  const secret = secretText.read(given);
  if (secret === undefined) {
    throw refuseWithoutSecret(method, `returned ${describeNoSecret(given)}`);
  }
  return secret;
}

function refuseWithoutSecret(method: string, why: string): RequestRefused {
  const detail = `this API's ${method}: the function that gives the client secret ${why}`;
  return new RequestRefused('internal_error', { detail });
}

/** Says what is wrong with a value that is no secret, and quotes nothing of it. */
function describeNoSecret(given: unknown): string {
  if (typeof given !== 'string') {
    return Buffer.isBuffer(given) ? 'a Buffer, not a string' : `a value of type ${typeof given}`;
  }
  return given === '' ? 'an empty string' : 'a string with blanks or line ends around it';
}

/**
 * A short-lived assertion, signed with this API's private key (RFC 7523 §2.2). Throws
 * `ConfigurationError` for a key that can't sign by the algorithm.
 *
 * @example
 * const key = readFileSync('api.key', 'utf8');
 * mtlsBound({ clientAuthentication: privateKeyJwt({ key, kid: '2026-01' }) })
 */
export function privateKeyJwt(options: PrivateKeyOptions): ClientAuthentication;
export function privateKeyJwt(...args: [options: PrivateKeyOptions]): ClientAuthentication {
  const options = onlyArgument('privateKeyJwt()', args, 'one object of options');
  return Object.freeze({ method: 'private_key_jwt', authenticate: createAssertionAuth(options) });
}

/**
 * This API's own certificate, signed by an authority that the authorization server trusts (RFC 8705
 * §2.1). The server's mutual-TLS endpoints are used where it names some (§5).
 *
 * @example
 * mtlsBound({ clientAuthentication: tlsClientAuth({ certFile: 'api.pem', keyFile: 'api.key' }) })
 */
export function tlsClientAuth(options: TlsClientAuthOptions): ClientAuthentication;
export function tlsClientAuth(...args: [options: TlsClientAuthOptions]): ClientAuthentication {
  return byCertificate('tls_client_auth', 'tlsClientAuth()', args);
}

/**
 * This API's own self-signed certificate, registered at the authorization server (RFC 8705 §2.2).
 */
export function selfSignedTlsClientAuth(options: TlsClientAuthOptions): ClientAuthentication;
export function selfSignedTlsClientAuth(...args: [options: TlsClientAuthOptions]): ClientAuthentication {
  return byCertificate('self_signed_tls_client_auth', 'selfSignedTlsClientAuth()', args);
}

function byCertificate(
  method: string,
  path: string,
  args: [options: TlsClientAuthOptions],
): ClientAuthentication {
  const options = onlyArgument(path, args, 'one object of options or one function');
  return markConstant({
    method,
    authenticate: TlsClientAuth(),
    identity: createCertificateReader(path, options),
  });
}

/**
 * An access token of this API's own, in the Authorization header (RFC 7662 §2.1). `token` is called
 * for each request: it may keep a token until it expires. If it throws, the client gets 503, and
 * the message of the error is not logged. It may take `http.timeout`.
 */
export function bearerTokenAuthentication(token: () => string | Promise<string>): ClientAuthentication;
export function bearerTokenAuthentication(
  ...args: [token: () => string | Promise<string>]
): ClientAuthentication {
  const token = onlyArgument('bearerTokenAuthentication()', args, 'one function that gives a token');
  // A text in place of the function is most likely the token itself.
  const rule = { ...functionLike<typeof token>('a function that gives a token'), secret: true as const };
  const current = checkOption('bearerTokenAuthentication(token)', rule, token);
  const authenticate: ClientAuth = async (_server, _client, _body, headers) => {
    const value: unknown = await current();
    if (typeof value !== 'string' || !/^[\w\-.~+/]+=*$/.test(value)) {
      throw new RequestRefused('internal_error', {
        detail:
          'bearerTokenAuthentication(token): the function returned no token of the form of RFC 6750 §2.1',
      });
    }
    headers.set('authorization', `Bearer ${value}`);
  };
  return Object.freeze({ method: 'bearer', authenticate });
}
