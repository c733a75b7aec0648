import { createServer } from 'node:https';
import {
  bearerTokenAuthentication,
  createSignalReceiver,
  jwtAccessTokens,
  type ProblemEvent,
  type SignalEvent,
  type SignalReceiver,
  type SignalStreamOptions,
  tlsClientAuth,
} from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, type Listener, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { post } from '../../support/calls.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import {
  revokingEvents,
  sessionRevoked,
  signedSet,
  verification,
} from '../../support/security-event-tokens.js';
import { accessToken, json, type StreamOfTest, Transmitter } from '../../support/transmitter.js';

const authorizationHeader = 'Bearer secret-of-the-stream-31415';
const pushEndpoint = 'https://api.example.com/signals';

let pki: Pki;
let transmitter: Transmitter;
const signals = recordedEvents<SignalEvent>('mtls-bound:signal');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const receivers = new Set<SignalReceiver>();
const revoke = vi.fn<(revocation: object) => Promise<void>>();

beforeAll(async () => {
  pki = await createPki();
});
beforeEach(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  revoke.mockReset().mockResolvedValue(undefined);
  transmitter = await new Transmitter(pki).start();
});
afterEach(async () => {
  for (const receiver of receivers) {
    receiver.close();
  }
  receivers.clear();
  await transmitter.close();
});

const own = () => ({
  transmitter: transmitter.issuer,
  audience,
  http: { ca: pki.ca.cert, timeout: 2 },
  clientAuthentication: [
    bearerTokenAuthentication(() => accessToken),
    tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key }),
  ],
});

function start(options: object): SignalReceiver {
  const server = { issuers: [transmitter.issuer], revoke };
  const receiver = createSignalReceiver(server, { ...own(), ...options });
  receivers.add(receiver);
  return receiver;
}

const push = (stream: Partial<SignalStreamOptions> = {}, options: object = {}) =>
  start({ authorizationHeader, stream: { pushEndpoint, ...stream }, ...options });
const poll = (stream?: SignalStreamOptions, options: object = {}) =>
  start({ poll: { interval: 0.1, wait: 0 }, ...(stream && { stream }), ...options });

const codes = () => problems.map(({ code }) => code);
const patient = { timeout: 8_000 };

/** A stream of ours as the transmitter has it, with changes. */
function stream(changes: Partial<StreamOfTest> = {}): StreamOfTest {
  return {
    stream_id: 'stream-of-before',
    aud: [audience, 'https://other.example'],
    delivery: {
      method: 'urn:ietf:rfc:8935',
      endpoint_url: pushEndpoint,
      authorization_header: authorizationHeader,
    },
    events_requested: revokingEvents,
    events_delivered: revokingEvents,
    ...changes,
  };
}

const pollDelivery = () => ({ method: 'urn:ietf:rfc:8936', endpoint_url: `${transmitter.issuer}/poll` });

/** Waits until the receiver has looked at the stream's status, which is the last that it does. */
const isSetUp = () => vi.waitFor(() => expect(transmitter.of('/status', 'GET').length).toBe(1), patient);

describe('the stream', () => {
  it('is created for push where there is none', async () => {
    push({ description: 'the accounts API' });
    await isSetUp();
    expect(transmitter.of('/streams').map(({ body }) => body)).toEqual([
      {
        events_requested: revokingEvents,
        delivery: {
          method: 'urn:ietf:rfc:8935',
          endpoint_url: pushEndpoint,
          authorization_header: authorizationHeader,
        },
        description: 'the accounts API',
      },
    ]);
    expect(transmitter.of('/streams', 'PATCH')).toEqual([]);
    expect(codes()).toEqual([]);
  });

  it('is created for poll where there is none, and polled where the transmitter says', async () => {
    poll({ events: [sessionRevoked] });
    const jti = await transmitter.send();
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    expect(transmitter.of('/streams').map(({ body }) => body)).toEqual([
      { events_requested: [sessionRevoked], delivery: { method: 'urn:ietf:rfc:8936' } },
    ]);
  });

  it('is used as it is where it is as wanted', async () => {
    transmitter.streams.push(stream({ stream_id: 'x', aud: 'https://x.example' }), stream());
    push();
    await isSetUp();
    expect(transmitter.asked.map(({ method }) => method)).toEqual(['GET', 'GET']);
  });

  it.each<[string, Partial<StreamOfTest>]>([
    ['fewer events', { events_requested: [sessionRevoked] }],
    ['more events', { events_requested: [...revokingEvents, 'https://example.com/own'] }],
    [
      'another Authorization header',
      {
        delivery: {
          method: 'urn:ietf:rfc:8935',
          endpoint_url: pushEndpoint,
          authorization_header: 'Bearer of-before-27182818',
        },
      },
    ],
    [
      'an Authorization header that it does not show',
      { delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: pushEndpoint } },
    ],
  ])('is changed where it has %s', async (_title, changes) => {
    transmitter.streams.push(stream(changes));
    push();
    await isSetUp();
    expect(transmitter.of('/streams')).toEqual([]);
    expect(transmitter.of('/streams', 'PATCH').map(({ body }) => body)).toEqual([
      {
        stream_id: 'stream-of-before',
        events_requested: revokingEvents,
        delivery: {
          method: 'urn:ietf:rfc:8935',
          endpoint_url: pushEndpoint,
          authorization_header: authorizationHeader,
        },
      },
    ]);
  });

  it('of another audience or URL is left alone, and another one is created', async () => {
    const others = [
      stream({ stream_id: 'a', aud: 'https://x.example' }),
      stream({
        stream_id: 'b',
        delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://x.example' },
      }),
      stream({ stream_id: 'c', delivery: pollDelivery() }),
    ];
    transmitter.streams.push(...structuredClone(others));
    push();
    await isSetUp();
    expect(transmitter.streams.slice(0, 3)).toEqual(others);
    expect(transmitter.streams[3]?.delivery.endpoint_url).toBe(pushEndpoint);
  });

  it('is delivered in our way where the transmitter permits one stream alone', async () => {
    transmitter.streams.push(stream({ delivery: pollDelivery() }));
    transmitter.instead.set('POST /streams', (res) => json(res, 409, {}));
    push();
    await isSetUp();
    expect(transmitter.streams.map(({ delivery }) => delivery.endpoint_url)).toEqual([pushEndpoint]);
  });

  it('that is created for another audience is deleted again and reported', async () => {
    transmitter.audience = 'https://given.example';
    push();
    await vi.waitFor(() => expect(codes()).toEqual(['signal_stream_not_set_up']), patient);
    expect(problems[0]?.message).toContain('for the audience https://given.example');
    expect(transmitter.streams).toEqual([]);
  });

  it('that delivers none of the events is reported', async () => {
    transmitter.streams.push(stream({ events_delivered: [] }));
    push();
    await vi.waitFor(() => expect(codes()).toEqual(['signal_stream_not_set_up']), patient);
  });

  it('is found for poll without the option stream, and not changed', async () => {
    transmitter.streams.push(stream({ delivery: pollDelivery(), events_requested: [] }));
    poll();
    const jti = await transmitter.send();
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    expect(transmitter.of('/streams', 'PATCH')).toEqual([]);
  });

  it('that is missing is reported without the option stream, and used when it is there', async () => {
    poll();
    await vi.waitFor(() => expect(codes()).toEqual(['signal_stream_not_set_up']), patient);
    transmitter.streams.push(stream({ delivery: pollDelivery() }));
    const jti = await transmitter.send();
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    expect(codes()).toEqual(['signal_stream_not_set_up', 'signal_stream_set_up']);
    expect(transmitter.of('/streams')).toEqual([]);
  });

  it.each(['paused', 'disabled'])('that is %s is reported', async (status) => {
    transmitter.status = status;
    push({ verificationInterval: 1 });
    await vi.waitFor(() => expect(codes()).toEqual(['signals_stopped']), patient);
    expect(transmitter.of('/verify')).toEqual([]);
  });

  it('that is gone is created again where a poll is refused', async () => {
    poll({});
    await vi.waitFor(() => expect(transmitter.of('/poll').length).toBeGreaterThan(0), patient);
    transmitter.streams.length = 0;
    transmitter.instead.set('POST /poll', (res) => {
      transmitter.instead.clear();
      json(res, 404, {});
    });
    await vi.waitFor(() => expect(transmitter.of('/streams').length).toBe(2), patient);
  });
});

it.each<[string, (transmitter: Transmitter) => void, RegExp]>([
  [
    '401',
    ({ instead }) => instead.set('GET /streams', (res) => json(res, 401, {})),
    /check clientAuthentication/,
  ],
  ['500', ({ instead }) => instead.set('GET /streams', (res) => json(res, 500, {})), /answered 500/],
  ['no connection', ({ instead }) => instead.set('GET /streams', (res) => res.destroy()), /no connection/],
  ['400', ({ instead }) => instead.set('POST /streams', (res) => json(res, 400, {})), /answered 400/],
  ['no object', ({ instead }) => instead.set('POST /streams', (res) => json(res, 201, [])), /no JSON object/],
  [
    'no configuration_endpoint',
    (one) => {
      one.configuration = { configuration_endpoint: undefined };
    },
    /no configuration_endpoint/,
  ],
  [
    'a configuration_endpoint without TLS',
    (one) => {
      one.configuration = { configuration_endpoint: 'http://127.0.0.1:1/streams' };
    },
    /no configuration_endpoint/,
  ],
  [
    'a URL to poll without TLS',
    ({ streams }) =>
      streams.push(stream({ delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: 'http://127.0.0.1:1' } })),
    /no https URL to poll/,
  ],
])(
  'a stream that can not be set up is reported: %s',
  async (_title, fail, message) => {
    fail(transmitter);
    poll({});
    await vi.waitFor(() => expect(codes()).toEqual(['signal_stream_not_set_up']), patient);
    expect(problems[0]?.message).toMatch(message);
    expect(problems[0]?.message).not.toContain(accessToken);
  },
  15_000,
);

it('a stream that is set up after a failure is reported', async () => {
  transmitter.instead.set('GET /streams', (res) => json(res, 403, {}));
  push();
  await vi.waitFor(() => expect(codes()).toEqual(['signal_stream_not_set_up']), patient);
  transmitter.instead.clear();
  await vi.waitFor(
    () => expect(codes()).toEqual(['signal_stream_not_set_up', 'signal_stream_set_up']),
    patient,
  );
});

describe('a verification event', () => {
  const states = () => transmitter.of('/verify').map(({ body }) => body.state);

  it('is asked for, and its state is accepted', async () => {
    poll({ verificationInterval: 3_600 });
    await vi.waitFor(() => expect(transmitter.acknowledged.length).toBe(1), patient);
    expect(transmitter.of('/verify').map(({ body }) => body)).toEqual([
      { stream_id: 'stream-1', state: expect.any(String) },
    ]);
    expect(signals.map(({ types, outcome }) => [types, outcome])).toEqual([[[verification], 'ignored']]);
    expect(codes()).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['another text', 'another'],
    ['a number', 1],
    ['null', null],
    ['one of the same form', `${'a'.repeat(22)}.${'b'.repeat(43)}`],
  ])('with an unknown state is in setErrs and reported: %s', async (_title, state) => {
    poll({});
    const jti = await transmitter.verify(state);
    await vi.waitFor(() => expect(transmitter.errors.get(jti)?.err).toBe('invalid_state'), patient);
    expect(codes()).toEqual(['signal_state_unknown']);
    expect(transmitter.acknowledged).toEqual([]);
  });

  it('without state, which the transmitter sends of its own accord, is accepted', async () => {
    poll({});
    const jti = await transmitter.verify(undefined);
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    expect(codes()).toEqual([]);
  });

  it('that another process of the fleet asked for is accepted', async () => {
    poll({ verificationInterval: 3_600 });
    await vi.waitFor(() => expect(transmitter.acknowledged.length).toBe(1), patient);
    for (const receiver of receivers) {
      receiver.close();
    }
    poll({});
    const jti = await transmitter.verify(states()[0]);
    await vi.waitFor(() => expect(transmitter.acknowledged).toContain(jti), patient);
    expect(codes()).toEqual([]);
  });

  it('that a receiver with another audience asked for is not accepted', async () => {
    poll({ verificationInterval: 3_600 });
    await vi.waitFor(() => expect(transmitter.acknowledged.length).toBe(1), patient);
    for (const receiver of receivers) {
      receiver.close();
    }
    poll({}, { audience: ['https://other.example', audience] });
    const jti = await transmitter.verify(states()[0]);
    await vi.waitFor(() => expect(transmitter.errors.get(jti)?.err).toBe('invalid_state'), patient);
  });

  it('that does not arrive is reported, and one that arrives after that too', async () => {
    // Sent without its state, the event shows nothing.
    transmitter.state = () => undefined;
    poll({ verificationInterval: 1 });
    await vi.waitFor(() => expect(codes()).toEqual(['signal_stream_unverified']), patient);
    transmitter.state = (state) => state;
    await vi.waitFor(
      () => expect(codes()).toEqual(['signal_stream_unverified', 'signal_stream_verified']),
      patient,
    );
  });

  it('is not asked for more often than the transmitter permits', async () => {
    transmitter.streams.push(stream({ delivery: pollDelivery(), min_verification_interval: 3_600 }));
    poll({ verificationInterval: 1 });
    await vi.waitFor(() => expect(transmitter.of('/status', 'GET').length).toBeGreaterThan(2), patient);
    expect(states().length).toBe(1);
  });

  it('that was asked for too often once is no failure', async () => {
    transmitter.instead.set('POST /verify', (res) => {
      transmitter.instead.delete('POST /verify');
      json(res, 429, {});
    });
    poll({ verificationInterval: 1 });
    await vi.waitFor(() => expect(signals.length).toBe(1), patient);
    expect(states().length).toBe(2);
    expect(codes()).toEqual([]);
  });

  it('whose requests are all answered 429 is reported, and one that arrives after that too', async () => {
    transmitter.instead.set('POST /verify', (res) => json(res, 429, {}));
    poll({ verificationInterval: 1 });
    await vi.waitFor(() => expect(states().length).toBeGreaterThan(3), patient);
    expect(problems).toEqual([
      { code: 'signal_stream_unverified', message: expect.stringMatching(/429.*verificationInterval/) },
    ]);
    transmitter.instead.delete('POST /verify');
    await vi.waitFor(
      () => expect(codes()).toEqual(['signal_stream_unverified', 'signal_stream_verified']),
      patient,
    );
  });
});

describe.each(frameworks)('%s', (framework) => {
  let api: TestApi;
  let receiver: SignalReceiver;
  beforeEach(async () => {
    const rules = {
      issuer: transmitter.issuer,
      audience,
      tokens: jwtAccessTokens(),
      http: { ca: pki.ca.cert },
    };
    const options = { ...own(), authorizationHeader, stream: { pushEndpoint, verificationInterval: 3_600 } };
    let listener: Listener;
    if (framework === 'Express') {
      const handler = expressMtls.sharedSignals(expressMtls.mtlsBound(rules), options);
      receiver = handler.receiver;
      listener = express().use(handler) as Listener;
    } else {
      const middleware = koaMtls.sharedSignals(koaMtls.mtlsBound(rules), options);
      receiver = middleware.receiver;
      listener = new Koa().use(middleware).callback() as Listener;
    }
    receivers.add(receiver);
    api = await serve(createServer(mutualTls(pki), listener), () => 0);
    return () => api.close();
  });

  const pushed = async (state: unknown) =>
    post(pki, api, '/')
      .set('authorization', authorizationHeader)
      .set('content-type', 'application/secevent+jwt')
      .send(await signedSet(transmitter.issuer, { claims: { events: { [verification]: { state } } } }));

  it('a pushed verification event is answered by its state', async () => {
    await vi.waitFor(() => expect(transmitter.of('/verify').length).toBe(1), patient);
    expect((await pushed(transmitter.of('/verify')[0]?.body.state)).status).toBe(202);
    expect((await pushed(undefined)).status).toBe(202);
    const refused = await pushed('another');
    expect([refused.status, refused.body.err]).toEqual([400, 'invalid_state']);
    expect(codes()).toEqual(['signal_state_unknown']);
  });

  it('addSubject() has the stream tell of a subject', async () => {
    const subject = { format: 'iss_sub', iss: transmitter.issuer, sub: 'user-1' };
    await receiver.addSubject(subject);
    expect(transmitter.of('/subjects').map(({ body }) => body)).toEqual([{ stream_id: 'stream-1', subject }]);
  });

  it('addSubject() rejects where the transmitter does not accept the subject', async () => {
    transmitter.instead.set('POST /subjects', (res) => json(res, 404, {}));
    await expect(receiver.addSubject({ format: 'opaque', id: 'user-9' })).rejects.toMatchObject({
      code: 'transmitter_invalid_answer',
      message: expect.not.stringContaining('user-9'),
    });
  });

  it.each([undefined, null, 'user-1', []])('addSubject() rejects what is no subject: %s', async (subject) => {
    await expect(receiver.addSubject(subject as never)).rejects.toThrow(TypeError);
    expect(transmitter.of('/subjects')).toEqual([]);
  });
});

it('addSubject() rejects without the options stream and poll', async () => {
  const receiver = start({ clientAuthentication: undefined });
  await expect(receiver.addSubject({ format: 'opaque', id: 'user-1' })).rejects.toThrow(TypeError);
});

it('addSubject() rejects in bounded time where the stream is not set up', async () => {
  transmitter.instead.set('GET /streams', (res) => json(res, 403, {}));
  const receiver = push({}, { http: { ca: pki.ca.cert, timeout: 0.2 } });
  await expect(receiver.addSubject({ format: 'opaque', id: 'user-1' })).rejects.toMatchObject({
    code: 'transmitter_not_asked',
  });
});
