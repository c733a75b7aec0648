import { createHttp } from './authorization-server/http.js';
import { remoteKeys } from './authorization-server/key-set.js';
import { discoveredMetadata } from './authorization-server/metadata.js';
import { protectedHttp } from './authorization-server/protection.js';
import {
  algorithmList,
  knownAlgorithms,
  type SignatureAlgorithm,
} from './authorization-server/signature-algorithms.js';
import { discoverTransmitter } from './authorization-server/ssf-configuration.js';
import { JwtRejected, verifiedJwt } from './authorization-server/verified-jwt.js';
import type { Revocation } from './cache/revocations.js';
import { asRefusal, ConfigurationError } from './errors.js';
import { type HttpOptions, resolveHttp } from './issuer-options.js';
import { problemReporter, publishSignal, type SignalEvent } from './observe/events.js';
import { issuerUrl, OptionReader, type OptionRule, textList } from './option-rules.js';
import type { NodeRequest } from './request/bearer-token.js';
import { closing } from './request/request-body.js';
import type { ResourceServer } from './resource-server.js';
import type { Answer } from './response/challenge.js';
import { revokingEvents, streamUpdatedEvent } from './signals/event-types.js';
import { HandledTokens } from './signals/handled-tokens.js';
import { readPushedSet, requireAuthorization } from './signals/push-request.js';
import { type SecurityEventToken, SetRefused, verifySet } from './signals/security-event-token.js';
import { revocationsOf } from './signals/subject-identifier.js';

/** Options of `sharedSignals()` and `createSignalReceiver()`. */
export interface SharedSignalsOptions {
  /** The transmitter's issuer identifier, spelt exactly as its `/.well-known/ssf-configuration` does (SSF 1.0 §7.2.3). Required. */
  readonly transmitter: string;
  /** Identifiers of this receiver, of which a Security Event Token must name one in `aud`. Required. */
  readonly audience: string | readonly string[];
  /**
   * The configured issuer whose tokens are meant by subjects that name no issuer. Default: `transmitter` where that is a configured
   * issuer, else the only configured issuer.
   */
  readonly issuer?: string;
  /**
   * The whole value of the header `Authorization` that the transmitter sends (SSF 1.0 §6.1.1). Default: the signature of the token
   * is the only proof.
   */
  readonly authorizationHeader?: string;
  /** Signature algorithms that are accepted. Default: PS256, ES256, EdDSA, Ed25519 and RS256. */
  readonly algorithms?: readonly SignatureAlgorithm[];
  /** How we speak to the transmitter. Default `{}`. */
  readonly http?: HttpOptions;
}

/** Receives the signals of one transmitter; what the adapters stand on. */
export interface SignalReceiver {
  /**
   * Answers a push request (RFC 8935 §2). Never rejects.
   *
   * @param body what a body parser made of the request's body, when one ran
   */
  acceptPush(req: NodeRequest, body?: unknown): Promise<Answer>;
  /** Closes the idle connections to the transmitter. */
  close(): void;
}

const optionNames = [
  'transmitter',
  'audience',
  'issuer',
  'authorizationHeader',
  'algorithms',
  'http',
] as const satisfies (keyof SharedSignalsOptions)[];

const sharedSecret: OptionRule<string> = {
  accepted: 'a header value of 16 to 1,000 printable ASCII characters, without blanks around it',
  secret: true,
  read: (given) =>
    typeof given === 'string' && /^[\x20-\x7e]{16,1000}$/.test(given) && given === given.trim()
      ? given
      : undefined,
};

/** Seconds by which the transmitter's clock may differ from ours. */
const CLOCK_TOLERANCE = 300;

/** Seconds after which the transmitter's configuration is read again. */
const METADATA_MAX_AGE = 3_600;

/** Checks the options, completes them from the environment and the defaults. Throws `ConfigurationError`. */
export function resolveSignalSettings(
  issuers: readonly string[],
  options: unknown,
  environment: NodeJS.ProcessEnv,
) {
  const given = new OptionReader('sharedSignals()', options, optionNames, environment);
  const transmitter = given.required('transmitter', issuerUrl);
  return {
    transmitter,
    audience: given.required('audience', textList),
    secret: given.optional('authorizationHeader', sharedSecret),
    algorithms: [...(given.optional('algorithms', algorithmList) ?? knownAlgorithms)],
    http: resolveHttp(given, given),
    issuer: issuerOf(given, transmitter, issuers),
  };
}

/**
 * Creates a receiver of Shared Signals (SSF 1.0) that revokes what `server` accepts. Nothing is asked of the transmitter before
 * the first signal. Throws `ConfigurationError` for a wrong option.
 */
export function createSignalReceiver(
  server: Pick<ResourceServer, 'issuers' | 'revoke'> | undefined,
  options: SharedSignalsOptions,
): SignalReceiver {
  if (typeof server?.revoke !== 'function' || !Array.isArray(server.issuers)) {
    throw new ConfigurationError(
      'sharedSignals()',
      'no middleware of mtlsBound() was given; accepted is one',
    );
  }
  const settings = resolveSignalSettings(server.issuers, options, process.env);
  const { transmitter, audience, issuer, secret, algorithms, http: httpRules } = settings;

  const report = problemReporter();
  const plainHttp = createHttp(httpRules);
  const protection = protectedHttp(plainHttp.send, transmitter, httpRules, report);
  const metadata = discoveredMetadata(
    { issuer: transmitter, metadataMaxAge: METADATA_MAX_AGE, metadata: undefined },
    {
      http: protection.send,
      timeout: httpRules.timeout,
      onFound: () => undefined,
      report,
      discover: discoverTransmitter,
    },
  );
  const keys = remoteKeys(metadata, protection.send);
  const jwtRules = { algorithms, clockTolerance: CLOCK_TOLERANCE };
  const isSigned = async (jws: string): Promise<boolean> => {
    try {
      await verifiedJwt(jws, keys, jwtRules);
      return true;
    } catch (error) {
      if (error instanceof JwtRejected) {
        return false;
      }
      throw error;
    }
  };
  const rules = { transmitter, audience, algorithms, clockTolerance: CLOCK_TOLERANCE, isSigned };
  const handled = new HandledTokens();

  async function act({ events, subject }: SecurityEventToken): Promise<SignalEvent['outcome']> {
    const subjects = events
      .filter(([type]) => revokingEvents.has(type))
      // Transmitters from before SSF 1.0 name the subject in the event.
      .map(([, event]) =>
        revocationsOf(subject ?? event.subject, { issuer, issuers: server?.issuers ?? [] }),
      );
    const revocations = subjects.flatMap((one) => one.revocations);
    await Promise.all(
      revocations.map(({ kind, value, issuer: of }) =>
        server?.revoke({ [kind]: value, issuer: of } as unknown as Revocation, 'signal'),
      ),
    );
    if (subjects.some(({ isComplete }) => !isComplete)) {
      report(
        'signal_not_revoked',
        `a signal of ${transmitter} names a subject, or a part of one, that no access token can be found by; ` +
          'have the transmitter send iss_sub of a configured issuer, opaque, jwt_id or a session',
      );
      return 'not_revoked';
    }
    return revocations.length > 0 ? 'revoked' : 'ignored';
  }

  function reportStream({ events }: SecurityEventToken): void {
    const status = events.find(([type]) => type === streamUpdatedEvent)?.[1].status;
    if (status === 'paused' || status === 'disabled') {
      report(
        'signals_stopped',
        `${transmitter} ${status} the stream: no signals arrive; see there why, and enable the stream again`,
      );
    }
  }

  async function receive(read: () => Promise<string>): Promise<void> {
    let types: readonly string[] = [];
    const publish = (outcome: SignalEvent['outcome'], error?: string): void =>
      publishSignal({ transmitter, types, outcome, error });
    try {
      const token = await verifySet(await read(), rules);
      types = token.events.map(([type]) => type);
      let outcome: SignalEvent['outcome'] = 'repeated';
      await handled.once(token, async () => {
        outcome = await act(token);
        reportStream(token);
      });
      publish(outcome);
    } catch (error) {
      if (error instanceof SetRefused) {
        publish('refused', error.err);
      } else {
        publish('failed');
      }
      throw error;
    }
  }

  return Object.freeze({
    async acceptPush(req: NodeRequest, body?: unknown): Promise<Answer> {
      try {
        await receive(async () => {
          if (secret !== undefined) {
            requireAuthorization(req, secret);
          }
          return readPushedSet(req, body);
        });
        return { status: 202, headers: { 'Cache-Control': 'no-store' }, body: '' };
      } catch (error) {
        return closing(req, error instanceof SetRefused ? refusal(error) : trouble(error));
      }
    },
    close() {
      protection.close();
      plainHttp.close();
    },
  });

  function refusal({ err, message }: SetRefused): Answer {
    return {
      status: err === 'authentication_failed' ? 401 : 400,
      headers: {
        'Cache-Control': 'no-store',
        'Content-Type': 'application/json',
        'Content-Language': 'en',
        ...(err === 'authentication_failed' && { 'WWW-Authenticate': 'Bearer' }),
      },
      body: JSON.stringify({ err, description: message }),
    };
  }

  function trouble(error: unknown): Answer {
    const { message, retryAfter = 5 } = asRefusal(error);
    report(
      'signal_failed',
      `a signal of ${transmitter} was not acted on, and must be sent again: ${message}`,
    );
    return {
      status: 503,
      headers: { 'Cache-Control': 'no-store', 'Retry-After': String(retryAfter) },
      body: '',
    };
  }
}

function issuerOf(given: OptionReader, transmitter: string, issuers: readonly string[]): string {
  const named = given.optional('issuer', issuerUrl);
  const [only] = issuers.length === 1 ? issuers : [];
  const chosen = named ?? (issuers.includes(transmitter) ? transmitter : only);
  if (chosen === undefined || !issuers.includes(chosen)) {
    const what = named === undefined ? 'nothing' : 'an issuer that is not configured';
    throw new ConfigurationError(
      given.pathOf('issuer'),
      `${what} was given; accepted is one of ${issuers.join(', ')}`,
    );
  }
  return chosen;
}
