import { createHttpClient } from '../authorization-server/http.js';
import { createRemoteKeys, limitWaiting, type RemoteKeys } from '../authorization-server/key-set.js';
import { jose } from '../authorization-server/lazy-modules.js';
import { createLimitedHttpClient } from '../authorization-server/limited-http.js';
import { createDiscovery } from '../authorization-server/metadata.js';
import { JwtRejected, verifyJwt } from '../authorization-server/verified-jwt.js';
import { TransmitterError, toRefusal } from '../errors.js';
import { createProblemReporter, publishSignal, type SignalEvent } from '../observe/events.js';
import type { NodeRequest } from '../request/node-request.js';
import { withCloseIfBodyUnread } from '../request/request-body.js';
import type { ResourceServer } from '../resource-server.js';
import type { HttpAnswer } from '../response/http-answer.js';
import type { Revocation } from '../revocation/revocations.js';
import { refuseFurtherArguments } from '../shared/call-arguments.js';
import { giveUpWhenAborted, withTimeoutSignal } from '../shared/deadline.js';
import { createMismatch } from '../shared/option-errors.js';
import { isPlainObject } from '../shared/option-rules.js';
import { EventTokensToRetry } from './event-tokens-to-retry.js';
import { revokingEvents, streamUpdatedEvent, verificationEvent } from './event-types.js';
import { HandledEventTokens } from './handled-event-tokens.js';
import { Poll } from './poll.js';
import { readPushedEventToken, requireSharedSecret } from './push-request.js';
import {
  type EventTokenErrorCode,
  EventTokenRefused,
  type SecurityEventToken,
  verifyEventToken,
} from './security-event-token.js';
import { resolveSignalSettings, type SharedSignalsOptions } from './signal-options.js';
import { discoverTransmitter } from './ssf-configuration.js';
import { type Delivery, StreamManagement, type StreamStatus } from './stream.js';
import { StreamKeeper } from './stream-keeper.js';
import { revocationsOf } from './subject-identifier.js';
import { createAskTransmitter } from './transmitter-endpoints.js';
import { describeTransmitterError, toTransmitterError } from './transmitter-error.js';
import { VerificationStateValues } from './verification-state-values.js';

/** Receives the signals of one transmitter. The adapters use it. */
export interface SignalReceiver {
  /**
   * Answers a push request (RFC 8935 §2). Never rejects.
   *
   * @param body what a body parser made of the request's body, when one ran
   */
  acceptPush(req: NodeRequest, body?: unknown): Promise<HttpAnswer>;
  /**
   * Has the stream send events of a subject (SSF 1.0 §8.1.3.2), for a transmitter whose
   * `default_subjects` is `NONE`. Rejects with `TransmitterError` if the transmitter does not accept
   * it, and with `TypeError` if the receiver has no stream: it has one with the option `stream`, and with
   * `poll` without `endpoint`.
   *
   * @param subject a subject identifier (RFC 9493), as `{ format: 'iss_sub', iss, sub }`
   */
  addSubject(subject: object): Promise<void>;
  /**
   * Sets the status of the stream (SSF 1.0 §8.1.2.2): has a transmitter that paused or disabled it
   * send signals again, or has it keep them meanwhile. Rejects with `TransmitterError` if the
   * transmitter does not accept it, and with `TypeError` if the receiver has no stream: it has one with
   * the option `stream`, and with `poll` without `endpoint`.
   *
   * @param reason sent to the transmitter; none by default
   */
  setStreamStatus(status: StreamStatus, reason?: string): Promise<void>;
  /**
   * Deletes the stream (SSF 1.0 §8.1.1.5) and closes the receiver, for an API that is taken down
   * for good. Rejects with `TransmitterError` if the transmitter does not accept it, and with
   * `TypeError` if the receiver has no stream: it has one with the option `stream`, and with `poll`
   * without `endpoint`.
   */
  deleteStream(): Promise<void>;
  /** Ends the polls, and closes the connections to the transmitter. */
  close(): void;
}

const streamStatuses: ReadonlySet<unknown> = new Set<StreamStatus>(['enabled', 'paused', 'disabled']);

/** Seconds by which the transmitter's clock may differ from this process's. */
const CLOCK_TOLERANCE = 300;

/**
 * Pushes that wait for the transmitter's keys. Each holds a text of up to 65,536 characters, and
 * any client can send one.
 */
const MOST_PUSHES_WAITING = 100;

/** Seconds for which signals that are refused for the same reason are reported once. */
const REFUSALS_EVERY = 60;

/** Seconds after which a push that could not be acted on is to be sent again, if no time is known. */
const RETRY_AFTER = 5;

/** Seconds after which the transmitter's configuration is read again. */
const METADATA_MAX_AGE = 3_600;

/**
 * Creates a receiver of Shared Signals (SSF 1.0) that revokes what `server` accepts. Without the
 * options `poll` and `stream` nothing is asked of the transmitter before the first signal. Throws
 * `ConfigurationError` for a wrong option.
 */
export function createSignalReceiver(
  server: Pick<ResourceServer, 'issuers' | 'revoke'> | undefined,
  options: SharedSignalsOptions,
): SignalReceiver;
export function createSignalReceiver(
  ...args: [server: Pick<ResourceServer, 'issuers' | 'revoke'> | undefined, options: SharedSignalsOptions]
): SignalReceiver {
  refuseFurtherArguments('createSignalReceiver()', args, 2, 'a resource server and one object of options');
  const [server, options] = args;
  if (typeof server?.revoke !== 'function' || !Array.isArray(server.issuers)) {
    throw createMismatch('sharedSignals()', 'the middleware of mtlsBound()', 'something else');
  }
  const settings = resolveSignalSettings(server.issuers, options, process.env);
  const {
    transmitter,
    audience,
    issuer,
    issuers,
    secret,
    algorithms,
    http: httpRules,
    circuitBreaker,
  } = settings;
  const { credentials, poll, stream: streamSettings } = settings;
  const report = createProblemReporter();
  const ending = new AbortController();
  const plainHttp = createHttpClient(httpRules, credentials.find(({ identity }) => identity)?.identity);
  const { timeout, maxConcurrent, maxQueued } = httpRules;
  const limits = { timeout, maxConcurrent, maxQueued };
  const limitedHttp = createLimitedHttpClient(
    plainHttp.send,
    { role: 'transmitter', name: transmitter },
    { ...circuitBreaker, ...limits },
    report,
  );
  const metadata = createDiscovery(
    { issuer: transmitter, metadataMaxAge: METADATA_MAX_AGE, metadata: undefined },
    {
      http: limitedHttp.send,
      timeout,
      onFound: () => undefined,
      report,
      discover: discoverTransmitter,
    },
  );
  jose.preload();
  const keys = createRemoteKeys(metadata, limitedHttp.send);
  const jwtRules = { algorithms, clockTolerance: CLOCK_TOLERANCE };
  const signedBy =
    (some: RemoteKeys) =>
    async (jws: string): Promise<boolean> => {
      try {
        await verifyJwt(jws, some, jwtRules);
        return true;
      } catch (error) {
        if (error instanceof JwtRejected) {
          return false;
        }
        throw toTransmitterError(error);
      }
    };
  const tokensToRetry = new EventTokensToRetry();
  const rules = {
    transmitter,
    audience,
    algorithms,
    clockTolerance: CLOCK_TOLERANCE,
    isVerifiedRetry: (jws: string) => tokensToRetry.has(jws),
  };
  const pollRules = { ...rules, isSigned: signedBy(keys) };
  const pushRules = { ...rules, isSigned: signedBy(limitWaiting(keys, MOST_PUSHES_WAITING)) };
  const handledTokens = new HandledEventTokens();
  /** When a kind of refusal was last reported, by its message: there are few. */
  const refusedAt = new Map<string, number>();
  const access = { transmitter, http: limitedHttp.send, timeout, credentials, closing: ending.signal };
  const ask = createAskTransmitter(access);
  const states = streamSettings && new VerificationStateValues([transmitter, audience, secret ?? null]);
  const keeper = createKeeper();

  async function act({ events, subject }: SecurityEventToken): Promise<SignalEvent['outcome']> {
    const subjects = events
      .filter(([type]) => revokingEvents.has(type))
      // Transmitters from before SSF 1.0 name the subject in the event.
      .map(([, event]) => revocationsOf(subject ?? event.subject, { issuer, issuers }));
    // Events of one token name the same subject, and its aliases can repeat it.
    const revocations = [
      ...new Map(
        subjects.flatMap((one) => one.revocations).map((one) => [JSON.stringify(one), one] as const),
      ).values(),
    ];
    await Promise.all(
      revocations.map(({ kind, value, issuer: of }) =>
        server?.revoke({ [kind]: value, issuer: of } as unknown as Revocation, 'signal'),
      ),
    );
    if (subjects.some(({ isComplete }) => !isComplete)) {
      report(
        'signal_not_revoked',
        `a signal of ${transmitter} names a subject, or a part of one, that no ` +
          'access token can be found by; ' +
          `have the transmitter send iss_sub of ${issuers.join(' or ')}, opaque, jwt_id or a session`,
      );
      return 'not_revoked';
    }
    return revocations.length > 0 ? 'revoked' : 'ignored';
  }

  function reportStopped(status: unknown): void {
    if (status === 'paused' || status === 'disabled') {
      report(
        'signals_stopped',
        `${transmitter} ${status} the stream: no signals arrive; see there why, and enable the stream again`,
      );
    }
  }

  function checkState({ events }: SecurityEventToken): void {
    const state = events.find(([type]) => type === verificationEvent)?.[1].state;
    if (states === undefined || state === undefined) {
      return;
    }
    if (!states.isOurs(state)) {
      report(
        'signal_state_unknown',
        `a verification event of ${transmitter} has a state that no receiver with these options sent; ` +
          'see there who asked for it',
      );
      throw new EventTokenRefused('invalid_state', 'state is not one that this receiver sent');
    }
    keeper?.noteVerification(state);
  }

  /** `jti` is what a poll names the token. */
  async function receive(read: () => Promise<string>, jti?: string): Promise<void> {
    let types: readonly string[] = [];
    const publish = (outcome: SignalEvent['outcome'], error?: string): void =>
      publishSignal({ transmitter, types, outcome, error });
    try {
      const jws = await read();
      const token = await verifyEventToken(jws, jti === undefined ? pushRules : pollRules);
      if (jti !== undefined && token.jti !== jti) {
        throw new EventTokenRefused('invalid_request', 'jti is not the name under which the token was given');
      }
      types = token.events.map(([type]) => type);
      let outcome: SignalEvent['outcome'] = 'repeated';
      try {
        await handledTokens.actOnce(token, async () => {
          outcome = await act(token);
          reportStopped(token.events.find(([type]) => type === streamUpdatedEvent)?.[1].status);
          checkState(token);
        });
      } catch (error) {
        if (!(error instanceof EventTokenRefused)) {
          tokensToRetry.add(jws);
        }
        throw error;
      }
      tokensToRetry.delete(jws);
      publish(outcome);
    } catch (error) {
      if (error instanceof EventTokenRefused) {
        publish('refused', error.err);
        // Any client can push a token that is not signed. A state is reported by itself.
        if ((jti !== undefined || error.isSigned) && error.err !== 'invalid_state') {
          reportRefused(error);
        }
      } else {
        publish('failed');
      }
      throw error;
    }
  }

  function createKeeper(): StreamKeeper | undefined {
    if (streamSettings === undefined && (poll === undefined || poll.endpoint !== undefined)) {
      return undefined;
    }
    const delivery: Delivery =
      streamSettings?.pushEndpoint === undefined
        ? { method: 'poll' }
        : { method: 'push', endpoint: streamSettings.pushEndpoint, authorizationHeader: secret };
    const management = new StreamManagement(
      { transmitter, audience, delivery, create: streamSettings },
      ask,
      metadata,
    );
    return new StreamKeeper({
      transmitter,
      management,
      states,
      verificationInterval: streamSettings?.verificationInterval,
      onStopped: reportStopped,
      report,
      closing: ending.signal,
    });
  }

  async function pollEndpoint(): Promise<string> {
    const current = await giveUpWhenAborted(ending.signal, async () => keeper?.current());
    return poll?.endpoint ?? current?.pollEndpoint ?? '';
  }

  async function receivePolled(jws: string, jti: string): Promise<void> {
    try {
      await receive(async () => jws, jti);
    } catch (error) {
      if (!(error instanceof EventTokenRefused)) {
        reportFailed(error, 'it is tried again');
      }
      throw error;
    }
  }

  if (keeper !== undefined) {
    void keeper.run();
  }
  if (poll !== undefined) {
    const polling = new Poll({
      transmitter,
      rules: poll,
      ask,
      endpoint: pollEndpoint,
      onRefused: () => keeper?.check(),
      receive: receivePolled,
      report,
      closing: ending.signal,
    });
    void polling.run();
  }

  return Object.freeze({
    async acceptPush(req: NodeRequest, body?: unknown): Promise<HttpAnswer> {
      try {
        await receive(async () => {
          if (secret !== undefined) {
            requireSharedSecret(req, secret);
          }
          return readPushedEventToken(req, body);
        });
        return { status: 202, headers: { 'Cache-Control': 'no-store' }, body: '' };
      } catch (error) {
        return withCloseIfBodyUnread(
          req,
          error instanceof EventTokenRefused ? refusal(error) : trouble(error),
        );
      }
    },
    async addSubject(subject: object): Promise<void> {
      const streamKeeper = keeperFor('addSubject()');
      if (!isPlainObject(subject)) {
        throw new TypeError('addSubject() takes a subject identifier, as { format, ... }');
      }
      await inTime(() => streamKeeper.addSubject(subject));
    },
    async setStreamStatus(status: StreamStatus, reason?: string): Promise<void> {
      const streamKeeper = keeperFor('setStreamStatus()');
      if (!streamStatuses.has(status) || !['undefined', 'string'].includes(typeof reason)) {
        throw new TypeError(
          "setStreamStatus() takes 'enabled', 'paused' or 'disabled', and a text as the reason",
        );
      }
      await inTime(() => streamKeeper.setStatus(status, reason));
    },
    async deleteStream(): Promise<void> {
      const streamKeeper = keeperFor('deleteStream()');
      await inTime(() => streamKeeper.deleteStream());
      close();
    },
    close,
  });

  function close(): void {
    ending.abort();
    limitedHttp.close();
    plainHttp.close();
  }

  function keeperFor(method: string): StreamKeeper {
    if (keeper === undefined) {
      throw new TypeError(`${method} needs the option stream of sharedSignals(), or poll without endpoint`);
    }
    return keeper;
  }

  /** Waits for work of the stream, but not for ever: it may take long until the stream is set up. */
  async function inTime(work: () => Promise<void>): Promise<void> {
    await withTimeoutSignal(2 * timeout, async (signal) => {
      const either = AbortSignal.any([signal, ending.signal]);
      await giveUpWhenAborted(either, work).catch((error: unknown) => {
        throw either.aborted ? notSetUp() : error;
      });
    });
  }

  function refusal({ err, message }: EventTokenRefused): HttpAnswer {
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

  function trouble(error: unknown): HttpAnswer {
    const { retryAfter = RETRY_AFTER } = TransmitterError.isTransmitterError(error)
      ? error
      : toRefusal(error);
    reportFailed(error, 'it must be sent again');
    return {
      status: 503,
      headers: { 'Cache-Control': 'no-store', 'Retry-After': String(retryAfter) },
      body: '',
    };
  }

  function notSetUp(): TransmitterError {
    const detail = `the stream of ${transmitter} is not set up, or did not answer in time`;
    return new TransmitterError('transmitter_not_asked', detail);
  }

  function reportRefused({ err, message }: EventTokenRefused): void {
    const now = performance.now();
    const before = refusedAt.get(message);
    if (before === undefined || now - before >= REFUSALS_EVERY * 1000) {
      refusedAt.set(message, now);
      report(
        'signal_refused',
        `signals of ${transmitter} are refused, and revoke nothing: ${message} (${err}); ${whatToCheck(err)}`,
      );
    }
  }

  function reportFailed(error: unknown, outlook: string): void {
    const why = describeTransmitterError(error);
    report('signal_failed', `a signal of ${transmitter} was not acted on; ${outlook}: ${why}`);
  }
}

/** Returns what an operator has to look at if signals are refused with this error. */
function whatToCheck(err: EventTokenErrorCode): string {
  switch (err) {
    case 'invalid_audience':
      return 'compare the option audience with aud of the signals';
    case 'invalid_issuer':
      return 'compare the option transmitter with iss of the signals';
    case 'invalid_key':
      return (
        'compare the key set of the transmitter, and the option algorithms, with ' +
        'kid and alg of the signals'
      );
    default:
      return 'have the transmitter correct them; compare the clocks';
  }
}
