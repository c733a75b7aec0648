import type { AuthorizationServer } from 'oauth4webapi';
import { createHttpClient } from '../authorization-server/http.js';
import { createRemoteKeys } from '../authorization-server/key-set.js';
import { ConfigurationError, toRefusal } from '../errors.js';
import { withTimeoutSignal } from '../shared/deadline.js';
import { readOwnMember } from '../shared/own-member.js';
import { redactUrl } from '../shared/shown-url.js';
import { resolveSignalSettings } from '../signals/signal-options.js';
import { discoverTransmitter } from '../signals/ssf-configuration.js';
import { deliveryMethods, type Stream, StreamManagement } from '../signals/stream.js';
import { type AskTransmitter, createAskTransmitter } from '../signals/transmitter-endpoints.js';
import { describeTransmitterError } from '../signals/transmitter-error.js';
import { type Finding, ok, problem, warning } from './finding.js';

type SignalSettings = ReturnType<typeof resolveSignalSettings>;

/** What one transmitter is checked with. */
interface Access {
  readonly settings: SignalSettings;
  readonly configuration: AuthorizationServer;
  readonly ask: AskTransmitter;
}

/**
 * Checks a transmitter of Shared Signals with the options of `sharedSignals()`: its configuration,
 * its keys, how it delivers, and the stream of this API. Changes nothing there and takes no signal.
 * Never rejects.
 */
export async function checkSignals(
  issuers: readonly string[],
  options: unknown,
  environment: NodeJS.ProcessEnv,
): Promise<Finding[]> {
  let settings: SignalSettings;
  try {
    settings = resolveSignalSettings(issuers, options, environment);
  } catch (error) {
    const message = error instanceof ConfigurationError ? error.message : toRefusal(error).message;
    return [problem('configuration', message, 'set the option that it names')];
  }
  const { transmitter, http, credentials } = settings;
  const { send, close } = createHttpClient(http, credentials.find(({ identity }) => identity)?.identity);
  const closing = new AbortController();
  try {
    const configuration = await withTimeoutSignal(http.timeout, (signal) =>
      discoverTransmitter(transmitter, send, signal),
    );
    const ask = createAskTransmitter({
      transmitter,
      http: send,
      timeout: http.timeout,
      credentials,
      closing: closing.signal,
    });
    const found = ok(
      'signals_configuration',
      `the configuration of ${transmitter} has the configured issuer`,
    );
    const keys = createRemoteKeys(async () => configuration, send);
    return [
      found,
      await checkKeys(settings, keys),
      ...(await checkDelivery({ settings, configuration, ask })),
    ];
  } catch (error) {
    return [
      problem(
        'signals_configuration_unreadable',
        describeTransmitterError(error),
        'check the option transmitter, DNS, firewalls and http.ca',
      ),
    ];
  } finally {
    closing.abort();
    close();
  }
}

async function checkKeys(
  { transmitter, algorithms }: SignalSettings,
  keys: ReturnType<typeof createRemoteKeys>,
): Promise<Finding> {
  const fix = 'check jwks_uri in the configuration of the transmitter, and the option algorithms';
  try {
    const { candidates } = await keys.current();
    const count = algorithms.flatMap((alg) => candidates({ alg, kid: undefined })).length;
    return count > 0
      ? ok('signals_keys', `${transmitter} publishes keys for ${algorithms.join(' or ')}`)
      : problem('signals_keys_unusable', `${transmitter} has no key for ${algorithms.join(' or ')}`, fix);
  } catch (error) {
    return problem('signals_keys_unusable', describeTransmitterError(error), fix);
  }
}

async function checkDelivery(access: Access): Promise<Finding[]> {
  const { poll, stream, transmitter } = access.settings;
  if (poll === undefined && stream === undefined) {
    return [];
  }
  const method = poll === undefined ? deliveryMethods.push : deliveryMethods.poll;
  const offered = readOwnMember({ ...access.configuration }, 'delivery_methods_supported');
  if (Array.isArray(offered) && !offered.includes(method)) {
    const message = `${transmitter} does not deliver by ${method}`;
    return [problem('signals_delivery_unsupported', message, 'poll, or let it push, as it offers')];
  }
  return poll?.endpoint === undefined ? checkStream(access) : [await checkPoll(access, poll.endpoint)];
}

/** Asks for no token at all (RFC 8936 §2.4), so that none is taken from the API. */
async function checkPoll({ ask }: Access, url: string): Promise<Finding> {
  try {
    const { status } = await ask({ method: 'POST', url, body: { maxEvents: 0, returnImmediately: true } });
    return status === 200
      ? ok('signals_poll', `${redactUrl(url)} answers polls`)
      : streamTrouble(`${redactUrl(url)} answered ${status} to a poll`);
  } catch (error) {
    return streamTrouble(describeTransmitterError(error));
  }
}

async function checkStream(access: Access): Promise<Finding[]> {
  const { settings, configuration, ask } = access;
  const { transmitter, audience, secret, stream } = settings;
  const delivery =
    stream?.pushEndpoint === undefined
      ? ({ method: 'poll' } as const)
      : ({ method: 'push', endpoint: stream.pushEndpoint, authorizationHeader: secret } as const);
  const wish = { transmitter, audience, delivery, create: undefined };
  const management = new StreamManagement(wish, ask, async () => configuration);
  try {
    const found = await management.find();
    if (found === undefined) {
      return [streamMissing(settings)];
    }
    const url = found.pollEndpoint;
    const polled = url === undefined ? [] : [await checkPoll(access, url)];
    return [...polled, await checkStatus(transmitter, management, found)];
  } catch (error) {
    return [streamTrouble(describeTransmitterError(error))];
  }
}

async function checkStatus(
  transmitter: string,
  management: StreamManagement,
  stream: Stream,
): Promise<Finding> {
  const status = await management.status(stream);
  return status === 'paused' || status === 'disabled'
    ? problem(
        'signals_stream_stopped',
        `${transmitter} ${status} the stream of this API: no signals arrive`,
        "see there why, then receiver.setStreamStatus('enabled')",
      )
    : ok(
        'signals_stream',
        `${transmitter} has the stream of this API${status === 'enabled' ? ', and it is enabled' : ''}`,
      );
}

function streamMissing({ transmitter, audience, stream }: SignalSettings): Finding {
  const audiences = audience.join(' or ');
  const message = `${transmitter} has no stream for ${audiences} that is delivered as the options say`;
  return stream === undefined
    ? problem(
        'signals_stream_missing',
        message,
        'give the option stream, by which it is created, or poll.endpoint',
      )
    : warning('signals_stream_missing', message, 'start the API: sharedSignals() creates it');
}

function streamTrouble(message: string): Finding {
  const fix = 'check clientAuthentication of sharedSignals() and its rights at the transmitter';
  return problem('signals_stream_unreachable', message, fix);
}
