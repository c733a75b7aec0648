import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import type { RegisteredClient } from '../authorization-server/accepted-issuers.js';
import {
  type ClientAuthentication,
  type ClientSecret,
  clientSecretBasic,
  clientSecretPost,
  clientSecretRule,
} from '../authorization-server/client-authentication.js';
import { LEAST_CONCURRENT } from '../authorization-server/flood-guard.js';
import type { HttpRules } from '../authorization-server/http.js';
import { introspection } from '../authorization-server/introspection.js';
import { jwtAccessTokens } from '../authorization-server/jwt.js';
import type { RequestLimits, SuspensionRules } from '../authorization-server/limited-http.js';
import type { AgentFactory } from '../authorization-server/pool.js';
import { describePath, explainFileError } from '../shared/file-error.js';
import { createConflict, createMismatch } from '../shared/option-errors.js';
import {
  nestedGroup,
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  type SettingsOf,
  seconds,
  wholeNumber,
  withCreatedDefault,
} from '../shared/option-group.js';
import {
  explainNoCertificates,
  functionLike,
  isHttpsUrl,
  isPlainObject,
  issuerUrl,
  type OptionRule,
  pemCertificates,
  text,
  textList,
} from '../shared/option-rules.js';
import { hasUserInfo } from '../shared/shown-url.js';
import type { TokenSource } from '../token/token-source.js';

const tokenSource: OptionRule<TokenSource> = {
  accepted: 'a token source: introspection() or jwtAccessTokens()',
  read: (given) =>
    typeof given === 'function' && given !== introspection && given !== jwtAccessTokens
      ? (given as TokenSource)
      : undefined,
};

/** What this API authenticates with. */
export const clientAuthentication: OptionRule<ClientAuthentication> = {
  accepted:
    'clientSecretBasic(secret), privateKeyJwt({ key }), tlsClientAuth({ certFile, keyFile }) ' +
    'or another of their kind',
  read: (given) =>
    typeof given === 'object' && given !== null && 'method' in given && 'authenticate' in given
      ? (given as ClientAuthentication)
      : undefined,
};

type SecretMethod = (secret: ClientSecret) => ClientAuthentication;

const secretMethods: Readonly<Record<string, SecretMethod>> = {
  client_secret_basic: clientSecretBasic,
  client_secret_post: clientSecretPost,
};

/** The client secret is easily given in its place, so the value is not shown. */
const secretMethod: OptionRule<SecretMethod> = {
  accepted: "'client_secret_basic' or 'client_secret_post'",
  read: (given) => (Object.hasOwn(secretMethods, String(given)) ? secretMethods[String(given)] : undefined),
};

const endpoints: OptionRule<Readonly<Record<string, unknown>>> = {
  accepted:
    'an object like { introspection_endpoint } or { jwks_uri } whose endpoints are ' +
    'https URLs without user name',
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

const audiences: OptionRule<readonly string[], string | readonly string[]> = {
  ...textList,
  accepted:
    "the identifier of this API or a list of them, or 'server-enforced' where the " +
    'authorization server checks the audience',
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

const caFile: OptionRule<SecureContextOptions['ca'] & {}> = {
  accepted: 'the path of a readable file of PEM certificates',
  read: (given) => {
    try {
      const content = readFileSync(String(given));
      return pemCertificates.read(content) === undefined ? undefined : content;
    } catch {
      return undefined;
    }
  },
  explain: (given) => {
    try {
      const why = explainNoCertificates(readFileSync(String(given)));
      return `${describePath(String(given))}: ${why ?? 'it has changed meanwhile'}`;
    } catch (error) {
      return `${describePath(String(given))}: ${explainFileError(error)}`;
    }
  },
};

export const httpOptions = optionGroup({
  /**
   * Seconds for one exchange with an endpoint: authentication of your API
   * (`bearerTokenAuthentication()`, `tlsClientAuth()`, a function for the client secret), the wait in
   * the queue, retries and the body of the answer. A `tokens` function of your own has four times as
   * long. Default 5; from 0.05 to 60.
   */
  timeout: seconds({ min: 0.05, max: 60, default: 5 }),
  /**
   * Requests to one endpoint that run at once. One client gets at most half of them, and at least
   * two. Default 100; from 4 to 10,000.
   */
  maxConcurrent: wholeNumber({ min: LEAST_CONCURRENT, max: 10_000, default: 100 }),
  /**
   * Requests to one endpoint that wait for a place. Beyond that, clients get 503. Default 1,000;
   * from 0 to 100,000.
   */
  maxQueued: wholeNumber({ min: 0, max: 100_000, default: 1_000 }),
  /** Bytes of an answer's body, after decompression. Default 262,144; from 1,024 to 16,777,216. */
  maxResponseSize: wholeNumber({ min: 1_024, max: 16_777_216, default: 262_144 }),
  /**
   * PEM certificates of the certificate authority of the authorization server, not of the clients.
   * They replace Node's list. Default: Node's list. Environment: `MTLS_BOUND_CA_FILE`, which names a
   * file, read once at start.
   */
  ca: optional<NonNullable<SecureContextOptions['ca']>, SecureContextOptions['ca']>(pemCertificates, {
    defaultInWords: "Node's list",
    environment: {
      name: 'MTLS_BOUND_CA_FILE',
      rule: caFile,
      note: ', which names a file, read once at start',
    },
  }),
  /**
   * A function that makes the agent for connections, for example to connect through an HTTP proxy;
   * not next to `fetch`. It gets `{ keepAlive, timeout, ca, cert, key }`: `ca` is what the
   * connection to the authorization server must trust, `cert` and `key` are what it must present.
   * It is called again when the certificate of your API has changed, and must then return a new
   * agent. Neither this function nor `createConnection()` of the agent may be asynchronous.
   * `close()` does not close the connections of such an agent. `HTTPS_PROXY` in the environment is
   * not used. Default: Node's `https.Agent` with these options.
   */
  agent: optional(functionLike<AgentFactory>('a function from connection options to an agent'), {
    defaultInWords: "Node's `https.Agent` with these options",
  }),
  /**
   * Replaces node-fetch and its connections. The limits of time and size still apply. Not next to
   * `agent`, `ca`, `tlsClientAuth()` or `selfSignedTlsClientAuth()`, which it would not use.
   * `MTLS_BOUND_CA_FILE` is not used either: it may be set for another part of the process.
   * Default: node-fetch.
   */
  fetch: optional(functionLike<typeof globalThis.fetch>('a function like fetch'), {
    defaultInWords: 'node-fetch',
  }),
});

/** Requests to the authorization server: limits of time, number and size, certificates, proxies. */
export interface HttpOptions extends OptionsOf<typeof httpOptions> {}

export const circuitBreakerOptions = optionGroup({
  /**
   * Consecutive failures of one endpoint (no connection, timeout, 502, 503, 504, or 429 with
   * `Retry-After`) after which the endpoint is suspended for the client whose requests failed. It is
   * suspended for all clients after failures of this number of clients, or of 20 times this number of
   * requests, in a row. Each request that no client caused counts as one of another client. Default
   * 5; from 1 to 1,000.
   */
  maxFailures: wholeNumber({ min: 1, max: 1_000, default: 5 }),
  /**
   * Seconds between two attempts while an endpoint is suspended. If the endpoint asks for a longer
   * time by `Retry-After`, it is tried after that time, but after 10 seconds at the latest. Default
   * 1; from 0.05 to 300.
   */
  retryInterval: seconds({ min: 0.05, max: 300, default: 1 }),
});

/**
 * Suspends an endpoint of the authorization server that fails: requests that need it get 503 at once
 * instead of waiting for a timeout.
 */
export interface CircuitBreakerOptions extends OptionsOf<typeof circuitBreakerOptions> {}

export const issuerOptions = optionGroup({
  /**
   * The issuer identifier of the authorization server, an https URL, spelled exactly as in its
   * metadata (RFC 8414 §3.3). Required. Environment: `MTLS_BOUND_ISSUER`.
   */
  issuer: optional(issuerUrl, { requiredInWords: '', environment: 'MTLS_BOUND_ISSUER' }),
  /**
   * Seconds after which the discovered metadata are read again, in the background. Not next to
   * `authorizationServerMetadata`, nor to `issuers` that each have their own. Default 3,600; from 1 to
   * 86,400.
   */
  authorizationServerMetadataMaxAge: seconds({ min: 1, max: 86_400, default: 3_600 }),
  /**
   * The server's metadata (RFC 8414 §2), for a server without discovery: at least `{
   * introspection_endpoint }`, or `{ jwks_uri }` for JWT access tokens. Default: discovered.
   */
  authorizationServerMetadata: optional(endpoints, { defaultInWords: 'discovered' }),
  /**
   * This API's own client id at the authorization server, not that of a client that calls it. Required,
   * except with `jwtAccessTokens()`.
   * Environment: `MTLS_BOUND_CLIENT_ID`.
   */
  clientId: optional(text, {
    requiredInWords: ', except with `jwtAccessTokens()`',
    environment: 'MTLS_BOUND_CLIENT_ID',
  }),
  /**
   * Short for `clientAuthentication: clientSecretBasic(secret)`. A function is called for each attempt to
   * ask, so that another secret needs no restart. Required with `clientId`, unless `clientAuthentication` is
   * given. Environment: `MTLS_BOUND_CLIENT_SECRET`, read once at start.
   */
  clientSecret: optional(clientSecretRule, {
    requiredInWords: ' with `clientId`, unless `clientAuthentication` is given',
    environment: { name: 'MTLS_BOUND_CLIENT_SECRET', note: ', read once at start' },
  }),
  /**
   * How your API authenticates at the introspection endpoint (RFC 7662 §2.1). Not next to
   * `clientSecret`. Default: `clientSecretBasic(clientSecret)`. Environment:
   * `MTLS_BOUND_CLIENT_AUTHENTICATION`, which names the method for `MTLS_BOUND_CLIENT_SECRET`:
   * `client_secret_basic` or `client_secret_post`.
   */
  clientAuthentication: optional<ClientAuthentication | SecretMethod, ClientAuthentication>(
    clientAuthentication,
    {
      defaultInWords: '`clientSecretBasic(clientSecret)`',
      environment: {
        name: 'MTLS_BOUND_CLIENT_AUTHENTICATION',
        rule: secretMethod,
        note:
          ', which names the method for `MTLS_BOUND_CLIENT_SECRET`: ' +
          '`client_secret_basic` or `client_secret_post`',
      },
    },
  ),
  /**
   * The identifier of this API, or several. A token must name one of them in `aud` (RFC 9700 §2.3).
   * `server-enforced` compares no audience, for an authorization server that answers each API only
   * about tokens for this API (RFC 7662 §4). Required. Environment: `MTLS_BOUND_AUDIENCE`,
   * blank-separated.
   */
  audience: optional(audiences, {
    requiredInWords: '',
    environment: { name: 'MTLS_BOUND_AUDIENCE', rule: blankSeparated, note: ', blank-separated' },
  }),
  /**
   * How a token becomes claims: `introspection()`, `jwtAccessTokens()` or a function of your own.
   * Default `introspection()`.
   */
  tokens: withCreatedDefault(tokenSource, 'introspection()', introspection),
  /**
   * Requests to the authorization server: limits of time, number and size, certificates, proxies.
   * Default `{}`.
   */
  http: nestedGroup<typeof httpOptions, HttpOptions>(httpOptions),
  /** Suspends an endpoint of the authorization server that fails. Default `{}`. */
  circuitBreaker: nestedGroup<typeof circuitBreakerOptions, CircuitBreakerOptions>(circuitBreakerOptions),
});

/**
 * One authorization server, and the credentials of your API there. An option that is left out is
 * read from the environment.
 */
export interface IssuerOptions extends OptionsOf<typeof issuerOptions> {}

/** `IssuerOptions` checked and completed. */
export interface IssuerSettings {
  readonly issuer: string;
  readonly authorizationServerMetadataMaxAge: number;
  readonly authorizationServerMetadata: Readonly<Record<string, unknown>> | undefined;
  /** Undefined where nothing was given of it. */
  readonly client: RegisteredClient | undefined;
  /** Like `client`, but throws `ConfigurationError` if no client credentials are configured. */
  readonly requireClient: () => RegisteredClient;
  readonly audience: readonly string[] | 'server-enforced';
  readonly tokens: TokenSource;
  readonly http: HttpRules & RequestLimits;
  readonly circuitBreaker: SuspensionRules;
}

/**
 * Options of one authorization server that no other server may get by oversight: its name, and this
 * API's credential there.
 */
export const ownOptionsOfIssuer = [
  'issuer',
  'authorizationServerMetadata',
  'clientId',
  'clientSecret',
  'clientAuthentication',
] as const satisfies (keyof IssuerOptions)[];

type IssuerReader = OptionReader<typeof issuerOptions>;

/** Throws `ConfigurationError`. */
export function resolveIssuer(given: IssuerReader): IssuerSettings {
  const issuer = given.getRequired('issuer');
  const requireClient = (): RegisteredClient => resolveClient(given);
  const client = hasClient(given) ? requireClient() : undefined;
  const http = resolveHttp(given.nested('http'));
  if (http.fetch !== undefined && client?.authentication.identity !== undefined) {
    throw createConflict(
      given.pathOf('http.fetch'),
      `${client.authentication.method}, whose certificate it would not show`,
    );
  }
  const authorizationServerMetadata = given.get('authorizationServerMetadata');
  if (authorizationServerMetadata !== undefined && !given.isUnwritten('authorizationServerMetadataMaxAge')) {
    throw createConflict(
      given.pathOf('authorizationServerMetadataMaxAge'),
      'authorizationServerMetadata, which are not read again',
    );
  }
  const tokens = given.get('tokens');
  refuseMissingEndpoints(given.pathOf('authorizationServerMetadata'), authorizationServerMetadata, tokens);
  return Object.freeze({
    issuer,
    authorizationServerMetadataMaxAge: given.get('authorizationServerMetadataMaxAge'),
    authorizationServerMetadata,
    client,
    requireClient,
    audience: resolveAudience(given),
    tokens,
    http,
    circuitBreaker: given.get('circuitBreaker'),
  });
}

/**
 * Throws `ConfigurationError` if every request would fail, as given metadata name no endpoint that
 * the tokens need.
 */
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
    throw createMismatch(path, `${missing} among them, which the option tokens needs`, 'others');
  }
}

function hasClient(given: IssuerReader): boolean {
  return (
    given.get('clientId') !== undefined ||
    given.get('clientSecret') !== undefined ||
    !given.isUnwritten('clientAuthentication')
  );
}

function resolveClient(given: IssuerReader): RegisteredClient {
  return Object.freeze({
    id: given.getRequired('clientId'),
    authentication: resolveClientAuthentication(given),
  });
}

function resolveClientAuthentication(given: IssuerReader): ClientAuthentication {
  const chosen = given.find('clientAuthentication');
  if (chosen !== undefined && !given.isUnwritten('clientSecret')) {
    throw createConflict(given.pathOf('clientSecret'), 'clientAuthentication');
  }
  const method = chosen ?? secretMethodOf(given);
  return typeof method === 'function' ? method(given.getRequired('clientSecret')) : method;
}

/** The method for a client secret, which the environment may name. */
function secretMethodOf(given: IssuerReader): ClientAuthentication | SecretMethod {
  // Without a secret the variable says nothing.
  given.getRequired('clientSecret');
  return given.get('clientAuthentication') ?? clientSecretBasic;
}

function resolveAudience(given: IssuerReader): IssuerSettings['audience'] {
  const audience = given.getRequired('audience');
  if (!audience.includes('server-enforced')) {
    return audience;
  }
  if (audience.length > 1) {
    throw createMismatch(given.pathOf('audience'), "'server-enforced' alone, or identifiers alone", 'both');
  }
  return 'server-enforced';
}

/** Reads the group `http`. Throws `ConfigurationError`. */
export function resolveHttp(given: OptionReader<typeof httpOptions>): SettingsOf<typeof httpOptions> {
  const settings = given.settings();
  const ca = given.find('ca');
  const unused = settings.agent === undefined ? ca && 'ca' : 'agent';
  if (settings.fetch !== undefined && unused) {
    throw createConflict(given.pathOf(unused), 'http.fetch, which makes its own connections');
  }
  return settings;
}
