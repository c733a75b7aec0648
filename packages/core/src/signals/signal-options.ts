import type { ClientAuthentication } from '../authorization-server/client-authentication.js';
import { algorithmList, knownAlgorithms } from '../jose/signature-algorithms.js';
import {
  type CircuitBreakerOptions,
  circuitBreakerOptions,
  clientAuthentication,
  type HttpOptions,
  httpOptions,
  resolveHttp,
} from '../options/issuer-options.js';
import { createConflict, createMismatch, createMissingRequirement } from '../shared/option-errors.js';
import {
  nestedGroup,
  nestedRule,
  OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  required,
  type SettingsOf,
  seconds,
  wholeNumber,
} from '../shared/option-group.js';
import {
  checkOption,
  isHttpsUrl,
  issuerUrl,
  type OptionRule,
  text,
  textList,
} from '../shared/option-rules.js';
import { hasUserInfo } from '../shared/shown-url.js';
import { revokingEvents } from './event-types.js';

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
    'bearerTokenAuthentication(token), tlsClientAuth({ certFile, keyFile }), ' +
    'selfSignedTlsClientAuth({ certFile, keyFile }), or a list of a token and a certificate',
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

/** A list whose items are checked when the configured issuers are known. */
const listOfIssuers: OptionRule<readonly string[]> = {
  accepted: 'a list of configured issuers',
  read: (given) => (Array.isArray(given) && given.length > 0 ? Object.freeze([...given]) : undefined),
};

export const signalPollOptions = optionGroup({
  /**
   * The https URL to poll. Not next to `stream`. Default: the one that the transmitter names in the
   * stream of this API.
   */
  endpoint: optional(endpointUrl, {
    defaultInWords: 'the one that the transmitter names in the stream of this API',
  }),
  /**
   * Seconds between two polls, if the transmitter has nothing and does not hold the poll. Default
   * 5; from 0.1 to 3,600.
   */
  interval: seconds({ min: 0.1, max: 3_600, default: 5 }),
  /**
   * Seconds for which the transmitter may hold a poll until it has something (long polling), in
   * addition to `http.timeout`. `0`: it answers at once. Default 30; from 0 to 300.
   */
  wait: seconds({ min: 0, max: 300, default: 30 }),
  /** Security Event Tokens in one answer, at most. Default 50; from 1 to 1,000. */
  maxEvents: wholeNumber({ min: 1, max: 1_000, default: 50 }),
});

/** How tokens are fetched from the transmitter (RFC 8936). */
export interface SignalPollOptions extends OptionsOf<typeof signalPollOptions> {}

export const signalStreamOptions = optionGroup({
  /**
   * The https URL of the route, as the transmitter reaches it. Required without `poll`; not next to
   * it.
   */
  pushEndpoint: optional(endpointUrl, { requiredInWords: ' without `poll`; not next to it' }),
  /** URIs of the events that the stream must have. Default: all events that revoke. */
  events: optional(textList, { defaultInWords: 'all events that revoke' }),
  /** A description of the stream, for the operators of the transmitter. Default: nothing. */
  description: optional(text, { defaultInWords: 'nothing' }),
  /**
   * Seconds between two requests for a verification event. Do not set it if you run several
   * processes, because another process may receive the event. Default: no request; from 1 to
   * 86,400.
   */
  verificationInterval: seconds({ min: 1, max: 86_400, defaultInWords: 'no request' }),
});

/** The stream that the transmitter shall have for this receiver. */
export interface SignalStreamOptions extends OptionsOf<typeof signalStreamOptions> {}

export const sharedSignalsOptions = optionGroup({
  /**
   * The issuer identifier of the transmitter, spelled exactly as in its
   * `/.well-known/ssf-configuration` (SSF 1.0 §7.2.3). Required.
   */
  transmitter: required(issuerUrl),
  /**
   * The identifier of this receiver, or several. A Security Event Token must name one of them in
   * `aud`. Required.
   */
  audience: required(textList),
  /**
   * The configured issuer whose tokens a signal concerns if its subject names no issuer. Default:
   * `transmitter` where that is a configured issuer, else the only issuer of `issuers`, else the
   * only configured issuer.
   */
  issuer: optional(issuerUrl, {
    defaultInWords:
      '`transmitter` where that is a configured issuer, else the only issuer of `issuers`, ' +
      'else the only configured issuer',
  }),
  /**
   * The configured issuers whose tokens the transmitter may revoke. The list must contain `issuer`.
   * A subject that names another issuer revokes nothing. Default: `issuer` alone.
   */
  issuers: optional<readonly string[], readonly string[]>(listOfIssuers, {
    defaultInWords: '`issuer` alone',
  }),
  /**
   * The whole value of the header `Authorization` that the transmitter sends (SSF 1.0 §6.1.1).
   * Default: the signature of the token is the only proof.
   */
  authorizationHeader: optional(sharedSecret, {
    defaultInWords: 'the signature of the token is the only proof',
  }),
  /** Signature algorithms that are accepted. Default: PS256, ES256, EdDSA, Ed25519 and RS256. */
  algorithms: optional(algorithmList, { defaultInWords: 'PS256, ES256, EdDSA, Ed25519 and RS256' }),
  /**
   * Requests to the transmitter: limits of time, number and size, certificates, proxies. Default `{}`.
   */
  http: nestedGroup<typeof httpOptions, HttpOptions>(httpOptions),
  /** Suspends an endpoint of the transmitter that fails. Default `{}`. */
  circuitBreaker: nestedGroup<typeof circuitBreakerOptions, CircuitBreakerOptions>(circuitBreakerOptions),
  /**
   * How your API authenticates at the endpoints of the transmitter, for `poll` and `stream`:
   * `bearerTokenAuthentication()`, `tlsClientAuth()`, `selfSignedTlsClientAuth()`, or a list of
   * them. Required with `poll` and `stream`.
   */
  clientAuthentication: optional<
    readonly ClientAuthentication[],
    ClientAuthentication | readonly ClientAuthentication[]
  >(credentialList, { requiredInWords: ' with `poll` and `stream`' }),
  /** Fetches the tokens from the transmitter (RFC 8936). Default: the transmitter pushes them. */
  poll: optional(nestedRule<SettingsOf<typeof signalPollOptions>, SignalPollOptions>(signalPollOptions), {
    defaultInWords: 'the transmitter pushes them',
  }),
  /**
   * Creates the stream at the transmitter, or changes it to match these options (SSF 1.0 §8.1.1).
   * Default: the stream is left as it is.
   */
  stream: optional(
    nestedRule<SettingsOf<typeof signalStreamOptions>, SignalStreamOptions>(signalStreamOptions),
    {
      defaultInWords: 'the stream is left as it is',
    },
  ),
});

/** Options of `sharedSignals()` and `createSignalReceiver()`. */
export interface SharedSignalsOptions extends OptionsOf<typeof sharedSignalsOptions> {}

type SignalsReader = OptionReader<typeof sharedSignalsOptions>;

/**
 * Checks the options, completes them from the environment and the defaults. Throws
 * `ConfigurationError`.
 */
export function resolveSignalSettings(
  issuers: readonly string[],
  options: unknown,
  environment: NodeJS.ProcessEnv,
) {
  const given = new OptionReader('sharedSignals()', options, sharedSignalsOptions, environment);
  const transmitter = given.get('transmitter');
  const secret = given.get('authorizationHeader');
  const http = resolveHttp(given.nested('http'));
  const poll = given.get('poll');
  const stream = resolveStream(given, poll);
  return {
    transmitter,
    audience: given.get('audience'),
    secret: refusedWithPoll(given, secret, poll),
    algorithms: [...(given.get('algorithms') ?? knownAlgorithms)],
    http,
    circuitBreaker: given.get('circuitBreaker'),
    ...resolveIssuers(given, transmitter, issuers),
    credentials: resolveCredentials(given, http, poll !== undefined || stream !== undefined),
    poll,
    stream,
  };
}

type PollSettings = SettingsOf<typeof signalPollOptions>;

function resolveStream(given: SignalsReader, poll: PollSettings | undefined) {
  const stream = given.get('stream');
  if (stream === undefined) {
    return undefined;
  }
  if (poll?.endpoint !== undefined) {
    throw createConflict(given.pathOf('poll.endpoint'), 'stream, whose endpoint the transmitter names');
  }
  const own = given.nested('stream');
  const { pushEndpoint } = stream;
  if (poll !== undefined && pushEndpoint !== undefined) {
    throw createConflict(own.pathOf('pushEndpoint'), 'poll, with which nothing is pushed');
  }
  return Object.freeze({
    ...stream,
    pushEndpoint: poll === undefined ? own.getRequired('pushEndpoint') : undefined,
    events: stream.events ?? [...revokingEvents],
  });
}

function resolveCredentials(given: SignalsReader, http: { fetch: unknown }, isNeeded: boolean) {
  const credentials = isNeeded
    ? given.getRequired('clientAuthentication')
    : given.get('clientAuthentication');
  if (credentials !== undefined && !isNeeded) {
    throw createMissingRequirement(given.pathOf('clientAuthentication'), 'poll or stream');
  }
  if (http.fetch !== undefined && credentials?.some(({ identity }) => identity !== undefined)) {
    throw createConflict(
      given.pathOf('http.fetch'),
      'a certificate in clientAuthentication, which it would not show',
    );
  }
  return credentials ?? [];
}

function refusedWithPoll(
  given: SignalsReader,
  secret: string | undefined,
  poll: unknown,
): string | undefined {
  if (secret !== undefined && poll !== undefined) {
    throw createConflict(
      given.pathOf('authorizationHeader'),
      'poll, with which the transmitter sends no request',
    );
  }
  return secret;
}

/**
 * Without `issuers` a transmitter speaks for one issuer: it must not revoke the tokens of another
 * authorization server.
 */
function resolveIssuers(
  given: SignalsReader,
  transmitter: string,
  configured: readonly string[],
): { readonly issuer: string; readonly issuers: readonly string[] } {
  const named = given.get('issuer');
  const listed = given.isUnwritten('issuers')
    ? undefined
    : checkOption(given.pathOf('issuers'), configuredIssuers(configured), given.get('issuers'));
  const allowed = listed ?? configured;
  const [only] = allowed.length === 1 ? allowed : [];
  const issuer = named ?? (allowed.includes(transmitter) ? transmitter : only);
  if (issuer === undefined || !allowed.includes(issuer)) {
    const whole = listed === undefined ? 'configured' : 'in issuers';
    const what = named === undefined ? 'nothing' : `an issuer that is not ${whole}`;
    throw createMismatch(given.pathOf('issuer'), `one of ${allowed.join(', ')}`, what);
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
