import type { ClientAuthentication } from '../authorization-server/client-authentication.js';
import {
  algorithmList,
  knownAlgorithms,
  type SignatureAlgorithm,
} from '../authorization-server/signature-algorithms.js';
import { ConfigurationError } from '../errors.js';
import {
  isHttpsUrl,
  issuerUrl,
  OptionReader,
  type OptionRule,
  seconds,
  text,
  textList,
  wholeNumber,
} from '../shared/option-rules.js';
import { hasUserInfo } from '../shared/shown-url.js';
import { revokingEvents } from '../signals/event-types.js';
import {
  type CircuitBreakerOptions,
  clientAuthentication,
  type HttpOptions,
  resolveCircuitBreaker,
  resolveHttp,
} from './issuer-options.js';

/** Options of `sharedSignals()` and `createSignalReceiver()`. */
export interface SharedSignalsOptions {
  /** The transmitter's issuer identifier, spelt exactly as its `/.well-known/ssf-configuration` does (SSF 1.0 §7.2.3). Required. */
  readonly transmitter: string;
  /** Identifiers of this receiver, of which a Security Event Token must name one in `aud`. Required. */
  readonly audience: string | readonly string[];
  /**
   * The configured issuer whose tokens are meant by subjects that name no issuer. Default: `transmitter` where that is a configured
   * issuer, else the only issuer of `issuers`, else the only configured issuer.
   */
  readonly issuer?: string;
  /**
   * The configured issuers whose tokens the transmitter may revoke; they contain `issuer`. A subject that names another issuer
   * revokes nothing. Default: `issuer` alone.
   */
  readonly issuers?: readonly string[];
  /**
   * The whole value of the header `Authorization` that the transmitter sends (SSF 1.0 §6.1.1). Default: the signature of the token
   * is the only proof.
   */
  readonly authorizationHeader?: string;
  /** Signature algorithms that are accepted. Default: PS256, ES256, EdDSA, Ed25519 and RS256. */
  readonly algorithms?: readonly SignatureAlgorithm[];
  /** How we speak to the transmitter. Default `{}`. */
  readonly http?: HttpOptions;
  /** Limits the requests to the transmitter, and suspends an endpoint that fails. Default `{}`. */
  readonly circuitBreaker?: CircuitBreakerOptions;
  /**
   * How we prove who we are at the transmitter's endpoints, for `poll` and `stream`: `bearerTokenAuthentication()`, `tlsClientAuth()`,
   * `selfSignedTlsClientAuth()`, or a list of them. Required with `poll` and `stream`.
   */
  readonly clientAuthentication?: ClientAuthentication | readonly ClientAuthentication[];
  /** Fetches the tokens from the transmitter (RFC 8936). Default: the transmitter pushes them. */
  readonly poll?: SignalPollOptions;
  /**
   * Creates the stream at the transmitter, or changes it, so that it is as wanted (SSF 1.0 §8.1.1). Default: the stream is left as it
   * is.
   */
  readonly stream?: SignalStreamOptions;
}

/** How tokens are fetched from the transmitter (RFC 8936). */
export interface SignalPollOptions {
  /** The URL to poll, https; not next to `stream`. Default: the one that the transmitter names in our stream. */
  readonly endpoint?: string;
  /** Seconds between two polls, if the transmitter has nothing and does not hold the poll. Default 5; from 0.1 to 3,600. */
  readonly interval?: number;
  /**
   * Seconds for which the transmitter may hold a poll until it has something (long polling), in addition to `http.timeout`. `0`: it
   * answers at once. Default 30; from 0 to 300.
   */
  readonly wait?: number;
  /** Security Event Tokens in one answer. Default 50; from 1 to 1,000. */
  readonly maxEvents?: number;
}

/** The stream that the transmitter shall have for us. */
export interface SignalStreamOptions {
  /** The https URL of the route, as the transmitter reaches it. Required without `poll`; not next to it. */
  readonly pushEndpoint?: string;
  /** URIs of the events to ask for. Default: all that revoke. */
  readonly events?: readonly string[];
  /** What the transmitter shows its operators. Default: nothing. */
  readonly description?: string;
  /**
   * Seconds between two verification events that are asked for; not for a fleet, where another process may receive the event.
   * Default: none is asked for; from 1 to 86,400.
   */
  readonly verificationInterval?: number;
}

const optionNames = [
  'transmitter',
  'audience',
  'issuer',
  'issuers',
  'authorizationHeader',
  'algorithms',
  'http',
  'circuitBreaker',
  'clientAuthentication',
  'poll',
  'stream',
] as const satisfies (keyof SharedSignalsOptions)[];

const pollOptionNames = [
  'endpoint',
  'interval',
  'wait',
  'maxEvents',
] as const satisfies (keyof SignalPollOptions)[];

const streamOptionNames = [
  'pushEndpoint',
  'events',
  'description',
  'verificationInterval',
] as const satisfies (keyof SignalStreamOptions)[];

const sharedSecret: OptionRule<string> = {
  accepted: 'a header value of 16 to 1,000 printable ASCII characters, without blanks around it',
  secret: true,
  read: (given) =>
    typeof given === 'string' && /^[\x20-\x7e]{16,1000}$/.test(given) && given === given.trim()
      ? given
      : undefined,
};

const endpointUrl: OptionRule<string> = {
  accepted: 'an https URL without user name and fragment',
  shows: 'url',
  read: (given) => (isHttpsUrl(given) && !hasUserInfo(given) && !given.includes('#') ? given : undefined),
};

const methods = ['bearer', 'tls_client_auth', 'self_signed_tls_client_auth'];

/** A token and a certificate together prove a token that is bound to the certificate. */
const credentialList: OptionRule<readonly ClientAuthentication[]> = {
  accepted:
    'bearerTokenAuthentication(token), tlsClientAuth({ certFile, keyFile }), selfSignedTlsClientAuth({ certFile, keyFile }), or a list of a token and a certificate',
  secret: true,
  read: (given) => {
    const list = (Array.isArray(given) ? given : [given]).map(clientAuthentication.read);
    const known = list.filter(
      (one) => one !== undefined && methods.includes(one.method),
    ) as ClientAuthentication[];
    const withCertificate = known.filter(({ identity }) => identity !== undefined).length;
    const isWhole = known.length === list.length && known.length > 0;
    const isSingle = withCertificate <= 1 && known.length - withCertificate <= 1;
    return isWhole && isSingle ? Object.freeze(known) : undefined;
  },
};

/** Checks the options, completes them from the environment and the defaults. Throws `ConfigurationError`. */
export function resolveSignalSettings(
  issuers: readonly string[],
  options: unknown,
  environment: NodeJS.ProcessEnv,
) {
  const given = new OptionReader('sharedSignals()', options, optionNames, environment);
  const transmitter = given.required('transmitter', issuerUrl);
  const secret = given.optional('authorizationHeader', sharedSecret);
  const http = resolveHttp(given, given);
  const poll = given.isMissing('poll') ? undefined : resolvePoll(given);
  const stream = given.isMissing('stream') ? undefined : resolveStream(given, poll);
  return {
    transmitter,
    audience: given.required('audience', textList),
    secret: refusedWithPoll(given, secret, poll),
    algorithms: [...(given.optional('algorithms', algorithmList) ?? knownAlgorithms)],
    http,
    circuitBreaker: resolveCircuitBreaker(given, given),
    ...resolveIssuers(given, transmitter, issuers),
    credentials: resolveCredentials(given, http, poll !== undefined || stream !== undefined),
    poll,
    stream,
  };
}

function resolvePoll(given: OptionReader) {
  const own = given.group('poll', pollOptionNames);
  return Object.freeze({
    endpoint: own.optional('endpoint', endpointUrl),
    interval: own.optional('interval', seconds(0.1, 3_600)) ?? 5,
    wait: own.optional('wait', seconds(0, 300)) ?? 30,
    maxEvents: own.optional('maxEvents', wholeNumber(1, 1_000)) ?? 50,
  });
}

function resolveStream(given: OptionReader, poll: ReturnType<typeof resolvePoll> | undefined) {
  const own = given.group('stream', streamOptionNames);
  if (poll?.endpoint !== undefined) {
    throw new ConfigurationError(
      given.pathOf('poll.endpoint'),
      'stream was given too, whose endpoint the transmitter names; accepted is one of the two',
    );
  }
  const pushEndpoint = own.optional('pushEndpoint', endpointUrl);
  if (poll !== undefined && pushEndpoint !== undefined) {
    throw new ConfigurationError(
      own.pathOf('pushEndpoint'),
      'poll was given too, with which nothing is pushed; accepted is one of the two',
    );
  }
  return Object.freeze({
    pushEndpoint: poll === undefined ? own.required('pushEndpoint', endpointUrl) : undefined,
    events: own.optional('events', textList) ?? [...revokingEvents],
    description: own.optional('description', text),
    verificationInterval: own.optional('verificationInterval', seconds(1, 86_400)),
  });
}

function resolveCredentials(given: OptionReader, http: { fetch: unknown }, isNeeded: boolean) {
  const credentials = isNeeded
    ? given.required('clientAuthentication', credentialList)
    : given.optional('clientAuthentication', credentialList);
  if (credentials !== undefined && !isNeeded) {
    throw new ConfigurationError(
      given.pathOf('clientAuthentication'),
      'it was given without poll or stream, and would not be used; accepted is none, or one of them next to it',
    );
  }
  if (http.fetch !== undefined && credentials?.some(({ identity }) => identity !== undefined)) {
    throw new ConfigurationError(
      given.pathOf('http.fetch'),
      'it was given next to a certificate in clientAuthentication, which it would not show; accepted is one of the two',
    );
  }
  return credentials ?? [];
}

function refusedWithPoll(given: OptionReader, secret: string | undefined, poll: unknown): string | undefined {
  if (secret !== undefined && poll !== undefined) {
    throw new ConfigurationError(
      given.pathOf('authorizationHeader'),
      'poll was given too, with which the transmitter sends no request; accepted is one of the two',
    );
  }
  return secret;
}

/** Without `issuers` a transmitter speaks for one issuer: it must not revoke the tokens of another authorization server. */
function resolveIssuers(
  given: OptionReader,
  transmitter: string,
  configured: readonly string[],
): { readonly issuer: string; readonly issuers: readonly string[] } {
  const named = given.optional('issuer', issuerUrl);
  const listed = given.optional('issuers', configuredIssuers(configured));
  const allowed = listed ?? configured;
  const [only] = allowed.length === 1 ? allowed : [];
  const issuer = named ?? (allowed.includes(transmitter) ? transmitter : only);
  if (issuer === undefined || !allowed.includes(issuer)) {
    const whole = listed === undefined ? 'configured' : 'in issuers';
    const what = named === undefined ? 'nothing' : `an issuer that is not ${whole}`;
    throw new ConfigurationError(
      given.pathOf('issuer'),
      `${what} was given; accepted is one of ${allowed.join(', ')}`,
    );
  }
  return { issuer, issuers: listed ?? Object.freeze([issuer]) };
}

function configuredIssuers(configured: readonly string[]): OptionRule<readonly string[]> {
  return {
    accepted: `a list of configured issuers: ${configured.join(', ')}`,
    read: (given) =>
      Array.isArray(given) && given.length > 0 && given.every((issuer) => configured.includes(issuer))
        ? Object.freeze([...given])
        : undefined,
  };
}
