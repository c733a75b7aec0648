import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import {
  type ClientAuthentication,
  clientSecretBasic,
  clientSecretPost,
} from '../authorization-server/client-authentication.js';
import type { HttpRules } from '../authorization-server/http.js';
import { introspection } from '../authorization-server/introspection.js';
import { jwtAccessTokens } from '../authorization-server/jwt.js';
import type { AgentFactory } from '../authorization-server/pool.js';
import type { CircuitBreakerRules } from '../authorization-server/protection.js';
import { ConfigurationError } from '../errors.js';
import {
  functionLike,
  isHttpsUrl,
  isPlainObject,
  issuerUrl,
  type OptionReader,
  type OptionRule,
  oneOf,
  pemCertificates,
  seconds,
  secretText,
  text,
  textList,
  wholeNumber,
} from '../shared/option-rules.js';
import { hasUserInfo } from '../shared/shown-url.js';
import type { TokenSource } from '../token/token-source.js';

/** One authorization server, and who we are to it. What is not given is read from the environment. */
export interface IssuerOptions {
  /**
   * The authorization server's issuer identifier, https, spelt exactly as its metadata does (RFC 8414 §3.3). Required.
   * Environment: `MTLS_BOUND_ISSUER`.
   */
  readonly issuer?: string;
  /** Seconds after which the discovered metadata are read anew, in the background. Default 3,600; from 1 to 86,400. */
  readonly authorizationServerMetadataMaxAge?: number;
  /**
   * The server's metadata (RFC 8414 §2), for a server without discovery: at least `{ introspection_endpoint }`, or
   * `{ jwks_uri }` for JWT access tokens. Default: discovered.
   */
  readonly authorizationServerMetadata?: Readonly<Record<string, unknown>>;
  /**
   * This API's client id at the authorization server. Required, except with `jwtAccessTokens()`. Environment:
   * `MTLS_BOUND_CLIENT_ID`.
   */
  readonly clientId?: string;
  /**
   * Short for `clientAuthentication: clientSecretBasic(secret)`. Required with `clientId`, unless
   * `clientAuthentication` is given. Environment: `MTLS_BOUND_CLIENT_SECRET`.
   */
  readonly clientSecret?: string;
  /**
   * How we prove who we are at the introspection endpoint (RFC 7662 §2.1), not beside `clientSecret`. Default:
   * `clientSecretBasic(clientSecret)`. Environment: `MTLS_BOUND_CLIENT_AUTHENTICATION`, which names the method for
   * `MTLS_BOUND_CLIENT_SECRET`: `client_secret_basic` or `client_secret_post`.
   */
  readonly clientAuthentication?: ClientAuthentication;
  /**
   * Identifiers of this API, of which a token must name one in `aud` (RFC 9700 §2.3). `server-enforced` leaves it to a
   * server that answers each API for its own tokens alone (RFC 7662 §4). Required. Environment: `MTLS_BOUND_AUDIENCE`,
   * blank-separated.
   */
  readonly audience?: string | readonly string[];
  /**
   * How a token becomes claims: `introspection()`, `jwtAccessTokens()` or a function of one's own. Default
   * `introspection()`.
   */
  readonly tokens?: TokenSource;
  /** How we speak to the authorization server. Default `{}`. */
  readonly http?: HttpOptions;
  /** Limits the requests to the authorization server, and suspends an endpoint that fails. Default `{}`. */
  readonly circuitBreaker?: CircuitBreakerOptions;
}

/** How we speak to the authorization server. */
export interface HttpOptions {
  /**
   * Seconds for one question to an endpoint: the proof of who we are (`bearerTokenAuthentication()`, `tlsClientAuth()`), its turn, its
   * retries and the body of its answer. A `tokens` function of your own has four times as long. Default 5; from 0.05 to 60.
   */
  readonly timeout?: number;
  /** Bytes of an answer's body, after decompression. Default 262,144; from 1,024 to 16,777,216. */
  readonly maxResponseSize?: number;
  /**
   * PEM certificates of the authorities to trust for the authorization server. Default: Node's list. Environment:
   * `MTLS_BOUND_CA_FILE`, which names a file.
   */
  readonly ca?: SecureContextOptions['ca'];
  /**
   * Makes the agent for connections, for a way through an HTTP proxy; not next to `fetch`. Gets `{ keepAlive, timeout, ca,
   * cert, key }`, what the connection to the authorization server must trust and show. Is called again when our own certificate has changed, and must
   * return a new agent then. Neither this function nor `createConnection()` of the agent may be asynchronous. `close()` closes no
   * connection of such an agent. `HTTPS_PROXY` in the environment is not used. Default: Node's `https.Agent` with these options.
   */
  readonly agent?: AgentFactory;
  /**
   * Replaces node-fetch and all that concerns connections; limits of time and size hold all the same. Not beside `agent`,
   * `ca`, or `tlsClientAuth()` and its like, which it would not use. Default: node-fetch.
   */
  readonly fetch?: typeof globalThis.fetch;
}

/**
 * Limits the requests to each endpoint of the authorization server, and suspends an endpoint that fails: requests that need it
 * get 503 at once instead of waiting for a timeout.
 */
export interface CircuitBreakerOptions {
  /** Requests to one endpoint that run at once. Default 100; from 1 to 10,000. */
  readonly maxConcurrent?: number;
  /** Requests to one endpoint that wait for their turn. Beyond that, clients get 503. Default 1,000; from 0 to 100,000. */
  readonly maxQueued?: number;
  /**
   * Consecutive failures of one endpoint (no connection, timeout, 502, 503, 504, or 429 with `Retry-After`) after which the
   * circuit breaker opens: the endpoint is suspended. Default 5; from 1 to 1,000.
   */
  readonly maxFailures?: number;
  /**
   * Seconds between two attempts while an endpoint is suspended. An endpoint that asks for longer by `Retry-After` is tried
   * after that time, or after 10 seconds. Default 1; from 0.05 to 300.
   */
  readonly retryInterval?: number;
}

/** Who we are to an authorization server. */
export interface Client {
  readonly id: string;
  readonly authentication: ClientAuthentication;
}

/** `IssuerOptions` checked and completed. */
export interface IssuerSettings {
  readonly issuer: string;
  readonly authorizationServerMetadataMaxAge: number;
  readonly authorizationServerMetadata: Readonly<Record<string, unknown>> | undefined;
  /** Undefined where nothing was given of it. */
  readonly client: Client | undefined;
  /** The same for who can't do without. Throws `ConfigurationError`. */
  readonly requireClient: () => Client;
  readonly audience: readonly string[] | 'server-enforced';
  readonly tokens: TokenSource;
  readonly http: HttpRules;
  readonly circuitBreaker: CircuitBreakerRules;
}

export const issuerOptionNames = [
  'issuer',
  'authorizationServerMetadataMaxAge',
  'authorizationServerMetadata',
  'clientId',
  'clientSecret',
  'clientAuthentication',
  'audience',
  'tokens',
  'http',
  'circuitBreaker',
] as const satisfies (keyof IssuerOptions)[];

const httpOptionNames = [
  'timeout',
  'maxResponseSize',
  'ca',
  'agent',
  'fetch',
] as const satisfies (keyof HttpOptions)[];

const circuitBreakerOptionNames = [
  'maxConcurrent',
  'maxQueued',
  'maxFailures',
  'retryInterval',
] as const satisfies (keyof CircuitBreakerOptions)[];

const tokenSource: OptionRule<TokenSource> = {
  accepted: 'a token source: introspection() or jwtAccessTokens()',
  read: (given) =>
    typeof given === 'function' && given !== introspection && given !== jwtAccessTokens
      ? (given as TokenSource)
      : undefined,
};

/** What proves who we are. */
export const clientAuthentication: OptionRule<ClientAuthentication> = {
  accepted:
    'clientSecretBasic(secret), privateKeyJwt({ key }), tlsClientAuth({ certFile, keyFile }) or another of their kind',
  read: (given) =>
    typeof given === 'object' && given !== null && 'method' in given && 'authenticate' in given
      ? (given as ClientAuthentication)
      : undefined,
};

const endpoints: OptionRule<Readonly<Record<string, unknown>>> = {
  accepted:
    'an object like { introspection_endpoint } or { jwks_uri } whose endpoints are https URLs without user name',
  read: (given) => {
    const metadata = isPlainObject(given) ? { ...given } : {};
    const { introspection_endpoint, jwks_uri, mtls_endpoint_aliases: aliases = {} } = metadata;
    const named = [introspection_endpoint, jwks_uri].filter((url) => url !== undefined);
    if (named.length === 0 || !isPlainObject(aliases)) {
      return undefined;
    }
    const isEndpoint = (url: unknown) => isHttpsUrl(url) && !hasUserInfo(url);
    return [...named, ...Object.values(aliases)].every(isEndpoint) ? Object.freeze(metadata) : undefined;
  },
};

const blankSeparated: OptionRule<readonly string[]> = {
  accepted: 'identifiers separated by blanks',
  read: (given) =>
    textList.read(
      String(given)
        .split(' ')
        .filter((name) => name !== ''),
    ),
};

const caFile: OptionRule<Buffer> = {
  accepted: 'the path of a readable file of PEM certificates',
  read: (given) => {
    try {
      const content = readFileSync(String(given));
      return pemCertificates.read(content) === undefined ? undefined : content;
    } catch {
      return undefined;
    }
  },
};

/** Throws `ConfigurationError`. `shared` is what several issuers have in common, each of them may say otherwise. */
export function resolveIssuer(given: OptionReader, shared: OptionReader = given): IssuerSettings {
  const issuer = given.required('issuer', issuerUrl, 'MTLS_BOUND_ISSUER');
  const requireClient = (): Client => resolveClient(given);
  const client = hasClient(given) ? requireClient() : undefined;
  const http = resolveHttp(given, shared);
  if (http.fetch !== undefined && client?.authentication.identity !== undefined) {
    throw new ConfigurationError(
      given.pathOf('http.fetch'),
      `it was given beside ${client.authentication.method}, whose certificate it would not show; accepted is one of the two`,
    );
  }
  const either = <T>(name: string, rule: OptionRule<T>): T | undefined =>
    given.optional(name, rule) ?? shared.optional(name, rule);
  const authorizationServerMetadata = given.optional('authorizationServerMetadata', endpoints);
  const tokens = either('tokens', tokenSource) ?? introspection();
  refuseMissingEndpoints(given.pathOf('authorizationServerMetadata'), authorizationServerMetadata, tokens);
  return Object.freeze({
    issuer,
    authorizationServerMetadataMaxAge:
      either('authorizationServerMetadataMaxAge', seconds(1, 86_400)) ?? 3_600,
    authorizationServerMetadata,
    client,
    requireClient,
    audience: resolveAudience(given.isMissing('audience') ? shared : given),
    tokens,
    http,
    circuitBreaker: resolveCircuitBreaker(given, shared),
  });
}

/** Throws `ConfigurationError` if every request would fail, as given metadata name no endpoint that the tokens need. */
function refuseMissingEndpoints(
  path: string,
  metadata: Readonly<Record<string, unknown>> | undefined,
  { needs = [] }: TokenSource,
): void {
  if (metadata === undefined) {
    return;
  }
  const { mtls_endpoint_aliases: aliases } = metadata;
  const named = { ...(isPlainObject(aliases) ? aliases : {}), ...metadata };
  const missing = needs.find((name) => !Object.hasOwn(named, name));
  if (missing !== undefined) {
    throw new ConfigurationError(path, `it was given without ${missing}, which the option tokens needs`);
  }
}

function hasClient(given: OptionReader): boolean {
  return (
    given.optional('clientId', text, 'MTLS_BOUND_CLIENT_ID') !== undefined ||
    given.optional('clientSecret', secretText, 'MTLS_BOUND_CLIENT_SECRET') !== undefined ||
    given.optional('clientAuthentication', clientAuthentication) !== undefined
  );
}

function resolveClient(given: OptionReader): Client {
  const id = given.required('clientId', text, 'MTLS_BOUND_CLIENT_ID');
  return Object.freeze({ id, authentication: resolveClientAuthentication(given) });
}

function resolveClientAuthentication(given: OptionReader): ClientAuthentication {
  const chosen = given.optional('clientAuthentication', clientAuthentication);
  if (chosen !== undefined) {
    if (given.optional('clientSecret', secretText) !== undefined) {
      throw new ConfigurationError(
        given.pathOf('clientSecret'),
        'clientAuthentication was given too; accepted is one of the two',
      );
    }
    return chosen;
  }
  const secret = given.required('clientSecret', secretText, 'MTLS_BOUND_CLIENT_SECRET');
  const methodNames = oneOf('client_secret_basic', 'client_secret_post');
  // The client secret is easily given in its place.
  const method = given.variable('MTLS_BOUND_CLIENT_AUTHENTICATION', {
    accepted: methodNames.accepted,
    read: methodNames.read,
  });
  return method === 'client_secret_post' ? clientSecretPost(secret) : clientSecretBasic(secret);
}

function resolveAudience(given: OptionReader): IssuerSettings['audience'] {
  const audience =
    given.optional('audience', textList) ?? given.variable('MTLS_BOUND_AUDIENCE', blankSeparated);
  if (audience === undefined) {
    throw new ConfigurationError(
      given.pathOf('audience'),
      'nothing was given, nor is the environment variable MTLS_BOUND_AUDIENCE set; accepted is the identifier of ' +
        "this API or a list of them, or 'server-enforced' where the authorization server checks the audience",
    );
  }
  if (!audience.includes('server-enforced')) {
    return audience;
  }
  if (audience.length > 1) {
    throw new ConfigurationError(
      given.pathOf('audience'),
      "'server-enforced' was given beside others; accepted is that word alone",
    );
  }
  return 'server-enforced';
}

/** Each member that the issuer does not give is taken from what all issuers share. */
export function resolveHttp(given: OptionReader, shared: OptionReader): HttpRules {
  const own = given.group('http', httpOptionNames);
  const common = shared.group('http', httpOptionNames);
  const either = <T>(name: (typeof httpOptionNames)[number], rule: OptionRule<T>): T | undefined =>
    own.optional(name, rule) ?? common.optional(name, rule);
  const agent = either('agent', functionLike<AgentFactory>('a function from connection options to an agent'));
  const fetch = either('fetch', functionLike<typeof globalThis.fetch>('a function like fetch'));
  const ca = either('ca', pemCertificates);
  const unused = agent === undefined ? ca && 'ca' : 'agent';
  if (fetch !== undefined && unused) {
    throw new ConfigurationError(
      given.pathOf(`http.${unused}`),
      'http.fetch was given too, which makes its own connections; accepted is one of the two',
    );
  }
  return Object.freeze({
    timeout: either('timeout', seconds(0.05, 60)) ?? 5,
    maxResponseSize: either('maxResponseSize', wholeNumber(1_024, 16_777_216)) ?? 262_144,
    agent,
    fetch,
    ca: ca ?? shared.variable('MTLS_BOUND_CA_FILE', caFile),
  });
}

/** Each member that the issuer does not give is taken from what all issuers share. */
export function resolveCircuitBreaker(given: OptionReader, shared: OptionReader): CircuitBreakerRules {
  const own = given.group('circuitBreaker', circuitBreakerOptionNames);
  const common = shared.group('circuitBreaker', circuitBreakerOptionNames);
  const either = (name: (typeof circuitBreakerOptionNames)[number], rule: OptionRule<number>) =>
    own.optional(name, rule) ?? common.optional(name, rule);
  return Object.freeze({
    maxConcurrent: either('maxConcurrent', wholeNumber(1, 10_000)) ?? 100,
    maxQueued: either('maxQueued', wholeNumber(0, 100_000)) ?? 1_000,
    maxFailures: either('maxFailures', wholeNumber(1, 1_000)) ?? 5,
    retryInterval: either('retryInterval', seconds(0.05, 300)) ?? 1,
  });
}
