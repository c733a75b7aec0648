import {
  bearerTokenAuthentication,
  createSignalReceiver,
  jwtAccessTokens,
  type ProblemEvent,
  type SignalEvent,
  type SignalPollOptions,
  type SignalReceiver,
  tlsClientAuth,
} from '@mtls-bound/core';
import * as expressMtls from 'express-mtls';
import * as koaMtls from 'koa-mtls';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import {
  ignoredEvents,
  malformedSets,
  revokingEvents,
  sessionRevoked,
  signedSet,
  streamUpdated,
} from '../../support/security-event-tokens.js';
import { accessToken, json, type Reply, Transmitter } from '../../support/transmitter.js';

let pki: Pki;
let transmitter: Transmitter;
const signals = recordedEvents<SignalEvent>('mtls-bound:signal');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const revoke = vi.fn<(revocation: object) => Promise<void>>();
const receivers = new Set<SignalReceiver>();

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

const credentials = () => [
  bearerTokenAuthentication(() => accessToken),
  tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key }),
];

function optionsOf(poll: SignalPollOptions = {}) {
  return {
    transmitter: transmitter.issuer,
    audience,
    http: { ca: pki.ca.cert, timeout: 2 },
    clientAuthentication: credentials(),
    poll: { endpoint: `${transmitter.issuer}/poll`, interval: 0.1, wait: 10, ...poll },
  };
}

/** A receiver that core makes alone, over `revoke`. */
function start(poll?: SignalPollOptions, options: object = {}): SignalReceiver {
  const server = { issuers: [transmitter.issuer], revoke };
  const receiver = createSignalReceiver(server, { ...optionsOf(poll), ...options });
  receivers.add(receiver);
  return receiver;
}

/** The receiver of the function of an adapter, of which no route is used. */
function startIn(framework: string): void {
  const rules = {
    issuer: transmitter.issuer,
    audience,
    tokens: jwtAccessTokens(),
    http: { ca: pki.ca.cert },
  };
  if (framework === 'Express') {
    const guard = expressMtls.mtlsBound(rules);
    const resourceServer = { ...guard.resourceServer, revoke };
    receivers.add(expressMtls.sharedSignals({ resourceServer }, optionsOf()).receiver);
  } else {
    const guard = koaMtls.mtlsBound(rules);
    const resourceServer = { ...guard.resourceServer, revoke };
    receivers.add(koaMtls.sharedSignals({ resourceServer }, optionsOf()).receiver);
  }
}

const codes = () => problems.map(({ code }) => code);
const polls = () => transmitter.of('/poll');
const opaque = (id: string) => ({ format: 'opaque', id });
const patient = { timeout: 8_000 };

describe.each(frameworks)('%s', (framework) => {
  it.each(revokingEvents)('the event %s revokes, and is acknowledged after that', async (type) => {
    let acknowledgedBefore: number | undefined;
    revoke.mockImplementation(async () => {
      acknowledgedBefore = transmitter.acknowledged.length;
    });
    startIn(framework);
    const jti = await transmitter.send({ claims: { sub_id: opaque('user-1'), events: { [type]: {} } } });
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    expect(revoke.mock.calls).toEqual([[{ subject: 'user-1', issuer: transmitter.issuer }, 'signal']]);
    expect(acknowledgedBefore).toBe(0);
  });

  it('aliases as the user of a complex subject revoke', async () => {
    startIn(framework);
    const user = { format: 'aliases', identifiers: [opaque('user-1'), opaque('user-2')] };
    const jti = await transmitter.send({ claims: { sub_id: { format: 'complex', user } } });
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    const { issuer } = transmitter;
    expect(revoke.mock.calls).toEqual([
      [{ subject: 'user-1', issuer }, 'signal'],
      [{ subject: 'user-2', issuer }, 'signal'],
    ]);
  });

  it.each(malformedSets)('is reported in setErrs: %s', async (_title, make, err) => {
    startIn(framework);
    const jws = await make((changes) =>
      signedSet(transmitter.issuer, { ...changes, claims: { jti: 'bad', ...changes?.claims } }),
    );
    transmitter.sendRaw(jws, 'bad');
    const good = await transmitter.send();
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([good]), patient);
    await vi.waitFor(() => expect(transmitter.errors.get('bad')?.err).toBe(err), patient);
    expect(revoke).toHaveBeenCalledTimes(1);
  });
});

it.each(ignoredEvents)('the event %s is acknowledged and revokes nothing', async (type) => {
  start();
  const jti = await transmitter.send({ claims: { events: { [type]: {} } } });
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
  expect(revoke).not.toHaveBeenCalled();
});

it('a token under another name than its jti is reported in setErrs', async () => {
  start();
  transmitter.sendRaw(await signedSet(transmitter.issuer), 'another');
  await vi.waitFor(() => expect(transmitter.errors.get('another')?.err).toBe('invalid_request'), patient);
  expect(revoke).not.toHaveBeenCalled();
});

it('what is no text in place of a token is reported in setErrs', async () => {
  start();
  transmitter.sendRaw({} as never, 'object');
  await vi.waitFor(() => expect(transmitter.errors.get('object')?.err).toBe('invalid_request'), patient);
});

it('a stream that the transmitter pauses is reported', async () => {
  start();
  await transmitter.send({ claims: { events: { [streamUpdated]: { status: 'paused' } } } });
  await vi.waitFor(() => expect(codes()).toEqual(['signals_stopped']), patient);
});

it('one of several values of aud is enough', async () => {
  start({}, { audience: ['https://other.example', audience] });
  const jti = await transmitter.send({ claims: { aud: ['https://third.example', audience] } });
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
});

it('the poll shows our certificate with the access token, as RFC 8936 spells it', async () => {
  start({ maxEvents: 7 });
  await vi.waitFor(() => expect(polls().length).toBeGreaterThan(1), patient);
  const [first, second] = polls();
  expect(first?.headers).toMatchObject({
    authorization: `Bearer ${accessToken}`,
    'content-type': 'application/json',
    accept: 'application/json',
  });
  expect(first?.body).toEqual({ maxEvents: 7, returnImmediately: true });
  // The transmitter answers: from now on it may hold the poll.
  expect(second?.body).toEqual({ maxEvents: 7, returnImmediately: false });
  expect(codes()).toEqual([]);
});

it('a poll that waits brings a token as soon as there is one, and no poll overlaps with it', async () => {
  start();
  await vi.waitFor(() => expect(polls().length).toBe(2), patient);
  const jti = await transmitter.send();
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
  expect(polls().map(({ body }) => body.ack)).toEqual([undefined, undefined, [jti]]);
});

it('all tokens are fetched at once where there are more than one answer holds', async () => {
  start({ maxEvents: 2, interval: 3_600 });
  const sent = await Promise.all(
    ['a', 'b', 'c', 'd', 'e'].map((jti) => transmitter.send({ claims: { jti } })),
  );
  await vi.waitFor(() => expect(transmitter.acknowledged.toSorted()).toEqual(sent), patient);
});

it('a token beyond the ones that were asked for is left for the next poll', async () => {
  const sets = await Promise.all(
    ['a', 'b', 'c'].map(async (jti) => [jti, await signedSet(transmitter.issuer, { claims: { jti } })]),
  );
  transmitter.instead.set('POST /poll', (res, { body }) => {
    if (polls().length > 1) {
      transmitter.instead.clear();
    }
    json(res, 200, { sets: body.ack === undefined ? Object.fromEntries(sets) : {} });
  });
  start({ maxEvents: 2 });
  await vi.waitFor(
    () => expect([...((polls()[1]?.body.ack ?? []) as string[])].sort()).toEqual(['a', 'b']),
    patient,
  );
  expect(revoke).toHaveBeenCalledTimes(2);
});

it('a transmitter that repeats a token is asked no more often than the interval says', async () => {
  const jws = await signedSet(transmitter.issuer, { claims: { jti: 'a' } });
  transmitter.instead.set('POST /poll', (res) => json(res, 200, { sets: { a: jws }, moreAvailable: true }));
  start({ interval: 3_600 });
  await vi.waitFor(() => expect(polls().length).toBe(2), patient);
  await vi.waitFor(() => expect(signals.map(({ outcome }) => outcome)).toEqual(['revoked', 'repeated']));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(polls().length).toBe(2);
});

it('a token under a name of more than 1,000 characters is left out, reported and named to no endpoint', async () => {
  const tooLong = 'n'.repeat(1_001);
  const longest = 'm'.repeat(1_000);
  const good = await signedSet(transmitter.issuer, { claims: { jti: 'good' } });
  transmitter.instead.set('POST /poll', (res) =>
    json(res, 200, { sets: { [tooLong]: 'none', [longest]: 'none', good } }),
  );
  start({ maxEvents: 2 });
  await vi.waitFor(() => expect(polls()[1]?.body.ack).toEqual(['good']), patient);
  expect(Object.keys(polls()[1]?.body.setErrs as object)).toEqual([longest]);
  expect(codes()).toEqual(['signal_poll_failed', 'signal_refused']);
  expect(problems[0]?.message).toMatch(/more than 1,000 characters/);
  transmitter.instead.clear();
  const jti = await transmitter.send({ claims: { jti: 'last' } });
  await vi.waitFor(() => expect(transmitter.acknowledged).toContain(jti), patient);
  expect(codes()).toEqual(['signal_poll_failed', 'signal_refused', 'signal_poll_resumed']);
  expect(JSON.stringify([polls().map(({ body }) => body), problems])).not.toContain(tooLong);
});

it.each([
  ['that is no Security Event Token', (n: number) => ({ [`name ${n}`]: 'none' })],
  ['under a name that is too long', (n: number) => ({ ['n'.repeat(2_000) + n]: 'none' })],
])('a transmitter that always has another token %s is polled with pauses', async (_title, sets) => {
  transmitter.instead.set('POST /poll', (res) => json(res, 200, { sets: sets(polls().length) }));
  const startedAt = performance.now();
  start({ interval: 3_600 });
  await vi.waitFor(() => expect(polls().length).toBe(2), patient);
  await new Promise((resolve) => setTimeout(resolve, 300));
  // The first pause is half a second or more, and the later ones are longer.
  expect((polls().length - 1) * 500).toBeLessThanOrEqual(performance.now() - startedAt);
});

it('a revocation that is not certain is not acknowledged, and is tried again', async () => {
  revoke.mockRejectedValueOnce(new Error('no log'));
  start();
  const jti = await transmitter.send();
  await vi.waitFor(() => expect(codes()).toEqual(['signal_failed']), patient);
  expect(transmitter.acknowledged).toEqual([]);
  // It is kept: a transmitter does not have to bring it again.
  transmitter.outstanding.clear();
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
  expect(revoke).toHaveBeenCalledTimes(2);
});

const wrongAnswers: [title: string, poll: Reply, message: RegExp][] = [
  ['status 500', (res) => json(res, 500, {}), /answered 500/],
  ['status 404', (res) => json(res, 404, {}), /answered 404/],
  ['status 204', (res) => res.writeHead(204).end(), /answered 204/],
  ['a redirect', (res) => res.writeHead(307, { location: '/elsewhere' }).end(), /answered 307/],
  ['no JSON', (res) => res.writeHead(200).end('<html>'), /no object with sets/],
  ['no object', (res) => json(res, 200, []), /no object with sets/],
  ['sets in a list', (res) => json(res, 200, { sets: [] }), /no object with sets/],
  ['no connection', (res) => res.destroy(), /no connection/],
  [
    'more than http.maxResponseSize',
    (res) => json(res, 200, { sets: {}, a: 'a'.repeat(300_000) }),
    /larger than http.maxResponseSize/,
  ],
];

it.each(wrongAnswers)(
  'a poll that fails is reported once, and its end too: %s',
  async (_title, fail, message) => {
    transmitter.instead.set('POST /poll', fail);
    start();
    await vi.waitFor(() => expect(polls().length).toBeGreaterThan(1), patient);
    expect(codes().filter((code) => code.startsWith('signal'))).toEqual(['signal_poll_failed']);
    expect(problems[0]?.message).toMatch(message);
    expect(problems[0]?.message).not.toContain(accessToken);
    expect(transmitter.of('/elsewhere')).toEqual([]);
    transmitter.instead.clear();
    const jti = await transmitter.send();
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    expect(codes().filter((code) => code.startsWith('signal'))).toEqual([
      'signal_poll_failed',
      'signal_poll_resumed',
    ]);
  },
);

it('an answer that is too large is followed by a poll for half as many tokens', async () => {
  transmitter.instead.set('POST /poll', (res) => json(res, 200, { sets: {}, a: 'a'.repeat(300_000) }));
  start({ maxEvents: 5 });
  await vi.waitFor(() => expect(polls().length).toBe(3), patient);
  expect(polls().map(({ body }) => body.maxEvents)).toEqual([5, 2, 1]);
});

it('a transmitter that refuses our credentials is reported with what to check', async () => {
  start({}, { clientAuthentication: bearerTokenAuthentication(() => 'another-token-16180') });
  await vi.waitFor(() => expect(codes()).toEqual(['signal_poll_failed']), patient);
  expect(problems[0]?.message).toMatch(/\/poll answered 401; check clientAuthentication/);
  expect(problems[0]?.message).not.toContain('16180');
});

it('an access token that can not be had is reported without what the function threw', async () => {
  const token = () => Promise.reject(new Error('the password was 14142'));
  start({}, { clientAuthentication: bearerTokenAuthentication(token) });
  await vi.waitFor(() => expect(codes()).toEqual(['signal_poll_failed']), patient);
  expect(problems[0]?.message).not.toContain('14142');
  expect(polls()).toEqual([]);
});

it('Retry-After is kept', async () => {
  transmitter.instead.set('POST /poll', (res) => json(res, 429, {}, { 'retry-after': '3' }));
  start();
  await vi.waitFor(() => expect(polls().length).toBe(1), patient);
  transmitter.instead.clear();
  // Without it the pause is one second at most.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(polls().length).toBe(1);
  await vi.waitFor(() => expect(polls().length).toBeGreaterThan(1), patient);
});

it('a poll that the transmitter holds for too long is followed by one that asks for an answer at once', async () => {
  start({ wait: 0.1 }, { http: { ca: pki.ca.cert, timeout: 0.3 } });
  await vi.waitFor(() => expect(polls().length).toBeGreaterThan(3), patient);
  expect(
    polls()
      .slice(0, 4)
      .map(({ body }) => body.returnImmediately),
  ).toEqual([true, false, true, false]);
  expect(codes()).toEqual([]);
});

it('a poll is asked for an answer at once where wait is 0', async () => {
  start({ wait: 0 });
  await vi.waitFor(() => expect(polls().length).toBeGreaterThan(2), patient);
  expect(polls().map(({ body }) => body.returnImmediately)).not.toContain(false);
});

it('close() ends a poll that waits, and no other follows', async () => {
  const receiver = start();
  await vi.waitFor(() => expect(polls().length).toBe(2), patient);
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TLSSocketWrap').length;
  receiver.close();
  await transmitter.send();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(polls().length).toBe(2);
  expect([codes(), sockets()]).toEqual([[], 0]);
});

it('a token that was acted on is acknowledged again where the answer to the poll was lost', async () => {
  start();
  await vi.waitFor(() => expect(polls().length).toBe(2), patient);
  transmitter.instead.set('POST /poll', (res) => res.destroy());
  const jti = await transmitter.send();
  await vi.waitFor(() => expect(revoke).toHaveBeenCalledTimes(1), patient);
  await vi.waitFor(() => expect(codes()).toContain('signal_poll_failed'), patient);
  transmitter.instead.clear();
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
  expect(revoke).toHaveBeenCalledTimes(1);
});

it.each([400, 404, 409, 410, 422, 500])(
  'a transmitter that answers %i to acknowledgements that it does not know is polled without them next',
  async (status) => {
    start();
    await vi.waitFor(() => expect(polls().length).toBe(2), patient);
    // It takes the acknowledgement, but its answer is lost.
    transmitter.instead.set('POST /poll', (res, { body }) => {
      for (const jti of (body.ack ?? []) as string[]) {
        transmitter.outstanding.delete(jti);
      }
      json(res, 503, {});
    });
    const lost = await transmitter.send();
    await vi.waitFor(() => expect(codes()).toEqual(['signal_poll_failed']), patient);
    transmitter.instead.set('POST /poll', (res, { body }) => {
      const acks = (body.ack ?? []) as string[];
      const isKnown = acks.every((jti) => transmitter.outstanding.delete(jti));
      transmitter.acknowledged.push(...(isKnown ? acks : []));
      json(res, isKnown ? 200 : status, isKnown ? { sets: Object.fromEntries(transmitter.outstanding) } : {});
    });
    const jti = await transmitter.send();
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    expect(revoke).toHaveBeenCalledTimes(2);
    expect(polls().filter(({ body }) => (body.ack as string[] | undefined)?.includes(lost)).length).toBe(2);
    expect(codes()).toEqual(['signal_poll_failed', 'signal_poll_failed', 'signal_poll_resumed']);
    expect(problems[1]?.message).toContain(`/poll answered ${status} to a poll with ack`);
  },
);

it('a transmitter that refuses setErrs brings further tokens, and is reported once', async () => {
  transmitter.instead.set('POST /poll', (res, { body }) => {
    const acks = (body.ack ?? []) as string[];
    if (body.setErrs !== undefined) {
      json(res, 400, {});
    } else {
      for (const jti of acks) {
        transmitter.outstanding.delete(jti);
      }
      transmitter.acknowledged.push(...acks);
      json(res, 200, { sets: Object.fromEntries(transmitter.outstanding) });
    }
  });
  transmitter.sendRaw('none', 'bad');
  const first = await transmitter.send();
  start();
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([first]), patient);
  await vi.waitFor(
    () => expect(polls().filter(({ body }) => body.setErrs !== undefined)).toHaveLength(3),
    patient,
  );
  expect(codes()).toEqual(['signal_refused', 'signal_poll_failed', 'signal_poll_resumed']);
  expect(problems[1]?.message).toContain('/poll answered 400 to a poll with setErrs');
  const second = await transmitter.send();
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([first, second]), patient);
});

it.each([401, 403, 429, 502, 503])(
  'what was acted on is acknowledged again after an answer of %i',
  async (status) => {
    start();
    await vi.waitFor(() => expect(polls().length).toBe(2), patient);
    transmitter.instead.set('POST /poll', (res) => json(res, status, {}));
    const jti = await transmitter.send();
    await vi.waitFor(() => expect(codes()).toEqual(['signal_poll_failed']), patient);
    const failed = polls().length;
    transmitter.instead.clear();
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
    expect(polls()[failed]?.body.ack).toEqual([jti]);
  },
);

it('what was acted on is not acknowledged to the URL of another stream', async () => {
  transmitter.instead.set('POST /poll', (res, { body }) => {
    const delivery = { ...transmitter.streams[0]?.delivery, endpoint_url: `${transmitter.issuer}/poll-2` };
    if (body.ack !== undefined) {
      Object.assign(transmitter.streams[0] ?? {}, { stream_id: 'another', delivery });
    }
    json(res, body.ack === undefined ? 200 : 401, { sets: Object.fromEntries(transmitter.outstanding) });
  });
  transmitter.instead.set('POST /poll-2', (res) => json(res, 200, {}));
  const jti = await transmitter.send();
  start({}, { stream: {}, poll: { interval: 0.1, wait: 10 } });
  await vi.waitFor(() => expect(transmitter.of('/poll-2').length).toBeGreaterThan(0), patient);
  expect(polls()[1]?.body.ack).toEqual([jti]);
  expect(transmitter.of('/poll-2')[0]?.body.ack).toBeUndefined();
});

it.each([403, 500])('a stream is polled though its status is answered with %i', async (status) => {
  transmitter.instead.set('GET /status', (res) => json(res, status, {}));
  const jti = await transmitter.send();
  start({}, { stream: {}, poll: { interval: 0.1, wait: 10 } });
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
  expect(codes()).toEqual(['signal_stream_not_set_up']);
});

it('two transmitters are polled at the same time, each for its own tokens', async () => {
  const second = await new Transmitter(pki).start('/tenant');
  try {
    start();
    const server = { issuers: [transmitter.issuer], revoke };
    const { origin } = new URL(second.issuer);
    const options = { ...optionsOf({ endpoint: `${origin}/poll` }), transmitter: second.issuer };
    receivers.add(createSignalReceiver(server, options));
    const [own, others] = await Promise.all([transmitter.send(), second.send()]);
    second.sendRaw(await signedSet(transmitter.issuer, { claims: { jti: 'strange' } }));
    await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([own]), patient);
    await vi.waitFor(() => expect(second.acknowledged).toEqual([others]), patient);
    await vi.waitFor(() => expect(second.errors.get('strange')?.err).toBe('invalid_issuer'), patient);
    expect(signals.map(({ types }) => types)).toContainEqual([sessionRevoked]);
  } finally {
    await second.close();
  }
});
