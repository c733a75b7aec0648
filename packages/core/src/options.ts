import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import {
  type ClientAuthentication,
  clientSecretBasic,
  clientSecretPost,
} from './authorization-server/client-authentication.js';
import type { AgentFactory, HttpRules } from './authorization-server/http.js';
import { introspection, type TokenSource } from './authorization-server/introspection.js';
import { jwtAccessTokens } from './authorization-server/jwt.js';
import type { TokenCacheRules } from './cache/token-cache.js';
import type { CertificateSource } from './certificate/client-certificate.js';
import {
  type CertificatePolicy,
  type CertificatePolicyOptions,
  certificatePolicy,
  certificatePolicyNames,
} from './certificate/policy.js';
import { tlsSocket } from './certificate/tls-socket.js';
import { ConfigurationError } from './errors.js';
import {
  flag,
  functionLike,
  isHttpsUrl,
  issuerUrl,
  OptionReader,
  type OptionRule,
  oneOf,
  pemCertificates,
  quotable,
  seconds,
  secretText,
  text,
  textList,
  wholeNumber,
} from './option-rules.js';
import type { Binding } from './policy/binding.js';
import type { ErrorBody } from './response/challenge.js';

/** Options of `mtlsBound()` and `createResourceServer()`. What is not given is read from the environment. */
export interface ResourceServerOptions {
  /** The authorization server's issuer identifier, https, spelt as its metadata does. `MTLS_BOUND_ISSUER` */
  readonly issuer?: string;
  /** Seconds after which the discovered metadata are read anew. Default 3,600, at most 86,400. */
  readonly metadataMaxAge?: number;
  /** The server's metadata (RFC 8414 §2), for a server that has no discovery: `{ introspection_endpoint }` at least. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** This resource server's client id at the authorization server. `MTLS_BOUND_CLIENT_ID` */
  readonly clientId?: string;
  /** Short for `clientAuthentication: clientSecretBasic(secret)`. `MTLS_BOUND_CLIENT_SECRET` */
  readonly clientSecret?: string;
  /** How we authenticate at the introspection endpoint. `MTLS_BOUND_CLIENT_AUTHENTICATION` names the method. */
  readonly clientAuthentication?: ClientAuthentication;
  /**
   * Identifiers of this API; a token must name one in `aud` (RFC 9700 §2.3). `server-enforced` leaves it to a server
   * that answers each resource server for its own tokens alone (RFC 7662 §4). `MTLS_BOUND_AUDIENCE`, blank-separated
   */
  readonly audience?: string | readonly string[];
  /** `required` (default) or, for a migration, `when-bound`. `MTLS_BOUND_BINDING` */
  readonly binding?: Binding;
  /** Where the client certificate comes from. Default `tlsSocket()`. */
  readonly certificate?: CertificateSource;
  /** What a client certificate must be beside bound to the token. Default: nothing. */
  readonly certificatePolicy?: CertificatePolicyOptions;
  /** How a token becomes claims: `introspection()` (default) or `jwtAccessTokens()`. */
  readonly tokens?: TokenSource;
  /** Seconds by which our clock and the authorization server's may differ. Default 30, at most 300. */
  readonly clockTolerance?: number;
  readonly cache?: CacheOptions;
  readonly http?: HttpOptions;
  /** Told in challenges (RFC 9110 §11.5). Default `api`. `MTLS_BOUND_REALM` */
  readonly realm?: string;
  /** Shapes the JSON body of refusals. Default `{ error, error_description }`. */
  readonly errorBody?: ErrorBody;
}

/** How long answers of the authorization server serve. A revoked token lives on for at most `maxAge`. */
export interface CacheOptions {
  /** Seconds, never beyond the token's `exp`. 0 asks about every request. Default 60. */
  readonly maxAge?: number;
  /** Active tokens kept. Default 10,000. */
  readonly maxEntries?: number;
  /** Seconds for which a token that is not active is refused without asking again. Default 5. */
  readonly inactiveMaxAge?: number;
}

/** How we speak to the authorization server. */
export interface HttpOptions {
  /** Seconds for a whole exchange. Default 5. */
  readonly timeout?: number;
  /** Bytes of an answer's body. Default 256 KiB. */
  readonly maxResponseSize?: number;
  /** PEM certificates of the authorities to trust instead of Node's list. `MTLS_BOUND_CA_FILE` names a file. */
  readonly ca?: SecureContextOptions['ca'];
  /**
   * Makes the agent for connections, for a way through an HTTP proxy. Gets what the connection must trust and show, and
   * is called again when our own certificate has changed. Default: Node's `https.Agent` with these options.
   */
  readonly agent?: AgentFactory;
  /** Replaces node-fetch and all that concerns connections; limits of time and size hold all the same. */
  readonly fetch?: typeof globalThis.fetch;
}

/** Options checked, completed and frozen. */
export interface Settings {
  readonly issuer: string;
  readonly metadataMaxAge: number;
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
  readonly clientId: string;
  readonly clientAuthentication: ClientAuthentication;
  readonly audience: readonly string[] | 'server-enforced';
  readonly binding: Binding;
  readonly certificate: CertificateSource;
  readonly certificatePolicy: CertificatePolicy | undefined;
  readonly tokens: TokenSource;
  readonly clockTolerance: number;
  readonly cache: TokenCacheRules;
  readonly http: HttpRules;
  readonly realm: string;
  readonly errorBody: ErrorBody | undefined;
}

const optionNames = [
  'issuer',
  'metadataMaxAge',
  'metadata',
  'clientId',
  'clientSecret',
  'clientAuthentication',
  'audience',
  'binding',
  'certificate',
  'certificatePolicy',
  'tokens',
  'clockTolerance',
  'cache',
  'http',
  'realm',
  'errorBody',
] as const satisfies (keyof ResourceServerOptions)[];

const certificateSource: OptionRule<CertificateSource> = {
  accepted:
    'a certificate source: tlsSocket(), proxyHeader(preset, { trust }), or a function from the request to its ClientCertificate',
  read: (given) =>
    typeof given === 'function' && given !== tlsSocket ? (given as CertificateSource) : undefined,
};

const tokenSource: OptionRule<TokenSource> = {
  accepted: 'a token source: introspection() or jwtAccessTokens()',
  read: (given) =>
    typeof given === 'function' && given !== introspection && given !== jwtAccessTokens
      ? (given as TokenSource)
      : undefined,
};

const clientAuthentication: OptionRule<ClientAuthentication> = {
  accepted:
    'clientSecretBasic(secret), privateKeyJwt({ key }), tlsClientAuth({ certFile, keyFile }) or another of their kind',
  read: (given) =>
    typeof given === 'object' && given !== null && 'method' in given && 'authenticate' in given
      ? (given as ClientAuthentication)
      : undefined,
};

const endpoints: OptionRule<Readonly<Record<string, unknown>>> = {
  accepted: 'an object like { introspection_endpoint } whose endpoints are https URLs',
  read: (given) => {
    const metadata = typeof given === 'object' && given !== null ? (given as Record<string, unknown>) : {};
    return isHttpsUrl(metadata.introspection_endpoint) ? Object.freeze({ ...metadata }) : undefined;
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

/**
 * Checks the options, completes them from the environment and the defaults, and freezes them. Throws
 * `ConfigurationError`, which names the option, what was given and what is accepted.
 */
export function resolveSettings(options: unknown, environment: NodeJS.ProcessEnv): Settings {
  const given = new OptionReader('options', options, optionNames, environment);
  const certificate = given.optional('certificate', certificateSource) ?? tlsSocket();
  const issuer = given.required('issuer', issuerUrl, 'MTLS_BOUND_ISSUER');
  const clientId = given.required('clientId', text, 'MTLS_BOUND_CLIENT_ID');
  const clientAuthentication = resolveClientAuthentication(given);
  const http = resolveHttp(given);
  if (http.fetch !== undefined && clientAuthentication.identity !== undefined) {
    throw new ConfigurationError(
      'http.fetch',
      `it was given beside ${clientAuthentication.method}, whose certificate it would not show; accepted is one of the two`,
    );
  }
  return Object.freeze({
    issuer,
    metadataMaxAge: given.optional('metadataMaxAge', seconds(1, 86_400)) ?? 3_600,
    metadata: given.optional('metadata', endpoints),
    clientId,
    clientAuthentication,
    audience: resolveAudience(given),
    binding: given.optional('binding', oneOf('required', 'when-bound'), 'MTLS_BOUND_BINDING') ?? 'required',
    certificate,
    certificatePolicy: resolveCertificatePolicy(given, certificate),
    tokens: given.optional('tokens', tokenSource) ?? introspection(),
    clockTolerance: given.optional('clockTolerance', seconds(0, 300)) ?? 30,
    cache: resolveCache(given),
    http,
    realm: given.optional('realm', quotable, 'MTLS_BOUND_REALM') ?? 'api',
    errorBody: given.optional('errorBody', functionLike<ErrorBody>('a function')),
  });
}

function resolveClientAuthentication(given: OptionReader): ClientAuthentication {
  const chosen = given.optional('clientAuthentication', clientAuthentication);
  if (chosen !== undefined) {
    if (given.optional('clientSecret', secretText) !== undefined) {
      throw new ConfigurationError(
        'clientSecret',
        'clientAuthentication was given too; accepted is one of the two',
      );
    }
    return chosen;
  }
  const secret = given.required('clientSecret', secretText, 'MTLS_BOUND_CLIENT_SECRET');
  const method = given.variable(
    'MTLS_BOUND_CLIENT_AUTHENTICATION',
    oneOf('client_secret_basic', 'client_secret_post'),
  );
  return method === 'client_secret_post' ? clientSecretPost(secret) : clientSecretBasic(secret);
}

function resolveAudience(given: OptionReader): Settings['audience'] {
  const audience =
    given.optional('audience', textList) ?? given.variable('MTLS_BOUND_AUDIENCE', blankSeparated);
  if (audience === undefined) {
    throw new ConfigurationError(
      'audience',
      'nothing was given, nor is the environment variable MTLS_BOUND_AUDIENCE set; accepted is the identifier of ' +
        "this API or a list of them, or 'server-enforced' where the authorization server checks the audience",
    );
  }
  if (!audience.includes('server-enforced')) {
    return audience;
  }
  if (audience.length > 1) {
    throw new ConfigurationError(
      'audience',
      "'server-enforced' was given beside others; accepted is that word alone",
    );
  }
  return 'server-enforced';
}

function resolveCertificatePolicy(
  given: OptionReader,
  certificate: CertificateSource,
): CertificatePolicy | undefined {
  const policy = given.group('certificatePolicy', certificatePolicyNames);
  if (policy.optional('requireVerified', flag) && certificate.knowsVerified === false) {
    throw new ConfigurationError(
      'certificatePolicy.requireVerified',
      'true was given, but this proxy hands on no verdict; accepted is true where the proxy sends one, as the ' +
        "preset's verifyHeader",
    );
  }
  return certificatePolicy(policy);
}

function resolveCache(given: OptionReader): TokenCacheRules {
  const cache = given.group('cache', ['maxAge', 'maxEntries', 'inactiveMaxAge']);
  return Object.freeze({
    maxAge: cache.optional('maxAge', seconds(0, 86_400)) ?? 60,
    maxEntries: cache.optional('maxEntries', wholeNumber(1, 10_000_000)) ?? 10_000,
    inactiveMaxAge: cache.optional('inactiveMaxAge', seconds(0, 3_600)) ?? 5,
  });
}

function resolveHttp(given: OptionReader): HttpRules {
  const http = given.group('http', ['timeout', 'maxResponseSize', 'ca', 'agent', 'fetch']);
  return Object.freeze({
    timeout: http.optional('timeout', seconds(0.05, 60)) ?? 5,
    maxResponseSize: http.optional('maxResponseSize', wholeNumber(1_024, 16_777_216)) ?? 262_144,
    agent: http.optional(
      'agent',
      functionLike<AgentFactory>('a function from connection options to an agent'),
    ),
    fetch: http.optional('fetch', functionLike<typeof globalThis.fetch>('a function like fetch')),
    ca: http.optional('ca', pemCertificates) ?? given.variable('MTLS_BOUND_CA_FILE', caFile),
  });
}
