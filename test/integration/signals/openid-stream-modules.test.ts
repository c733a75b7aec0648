// What the receiver modules of OpenID's conformance suite demand of a receiver that manages its stream, by poll.

import {
  bearerTokenAuthentication,
  createSignalReceiver,
  type SignalReceiver,
  tlsClientAuth,
} from '@mtls-bound/core';
import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { sessionRevoked } from '../../support/security-event-tokens.js';
import { accessToken, json, Transmitter } from '../../support/transmitter.js';

let pki: Pki;
let transmitter: Transmitter;
let receiver: SignalReceiver;
const revoke = vi.fn<(revocation: object) => Promise<void>>();
const problems = recordedEvents<{ readonly code: string }>('mtls-bound:problem');
const patient = { timeout: 15_000 };

beforeAll(async () => {
  pki = await createPki();
});
beforeEach(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  revoke.mockReset().mockResolvedValue(undefined);
  transmitter = await new Transmitter(pki).start();
});
afterEach(async () => {
  receiver.close();
  await transmitter.close();
});

/** Starts a receiver with a stream of its own. */
function start(stream: object = {}): void {
  receiver = createSignalReceiver(
    { issuers: [transmitter.issuer], revoke },
    {
      transmitter: transmitter.issuer,
      audience,
      http: { ca: pki.ca.cert, timeout: 10 },
      clientAuthentication: [
        bearerTokenAuthentication(() => accessToken),
        tlsClientAuth({ cert: pki.alice.cert, key: pki.alice.key }),
      ],
      poll: { interval: 0.1, wait: 0 },
      stream,
    },
  );
}

/** What the transmitter was asked for of its stream, in order. */
const operations = () =>
  transmitter.asked.map(({ method, path }) => `${method} ${path}`).filter((name) => name !== 'POST /poll');
const isCreated = () => vi.waitFor(() => expect(operations()).toContain('GET /status'), patient);

it('openid-ssf-receiver-happypath: the stream is created, read, updated, replaced and deleted', async () => {
  transmitter.streams.push({
    stream_id: 'stream-of-before',
    aud: audience,
    delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: `${transmitter.issuer}/poll` },
    events_requested: [sessionRevoked],
    events_delivered: [sessionRevoked],
    description: 'the API',
  });
  start();
  await vi.waitFor(
    () => expect(operations()).toEqual(['GET /streams', 'PATCH /streams', 'GET /status']),
    patient,
  );
  receiver.close();

  transmitter.asked.length = 0;
  transmitter.instead.set('PATCH /streams', (res) => json(res, 405, {}));
  start({ events: [sessionRevoked] });
  await vi.waitFor(
    () => expect(operations()).toEqual(['GET /streams', 'PATCH /streams', 'PUT /streams', 'GET /status']),
    patient,
  );
  expect(transmitter.streams).toMatchObject([{ events_requested: [sessionRevoked], description: 'the API' }]);
  await receiver.deleteStream();
  expect(transmitter.streams).toEqual([]);

  transmitter.asked.length = 0;
  start();
  await isCreated();
  expect(operations()).toEqual(['GET /streams', 'POST /streams', 'GET /status']);
});

it('openid-ssf-receiver-stream-create-delete: the stream is created and deleted, and not created again', async () => {
  start();
  await isCreated();
  await receiver.deleteStream();
  expect(operations()).toEqual(['GET /streams', 'POST /streams', 'GET /status', 'DELETE /streams']);
  expect(transmitter.streams).toEqual([]);
  await expect(receiver.deleteStream()).rejects.toThrow('is not set up, or did not answer in time');
});

it('openid-ssf-receiver-stream-verification: a verification is asked for, and its event is acknowledged', async () => {
  start({ verificationInterval: 60 });
  await vi.waitFor(() => expect(operations()).toContain('POST /verify'), patient);
  await vi.waitFor(() => expect(transmitter.acknowledged).toHaveLength(1), patient);
  expect(transmitter.errors).toEqual(new Map());
  await receiver.deleteStream();
  expect(transmitter.streams).toEqual([]);
});

it('openid-ssf-receiver-stream-status-update: the status is set to each value', async () => {
  start();
  await isCreated();
  await receiver.setStreamStatus('paused', 'maintenance');
  expect(transmitter.status).toBe('paused');
  await receiver.setStreamStatus('disabled');
  await receiver.setStreamStatus('enabled');
  expect(transmitter.of('/status').map(({ body }) => body)).toEqual([
    { stream_id: 'stream-1', status: 'paused', reason: 'maintenance' },
    { stream_id: 'stream-1', status: 'disabled' },
    { stream_id: 'stream-1', status: 'enabled' },
  ]);
});

it('openid-ssf-receiver-stream-caep-interop: the stream, its status, a verification and the events, by poll', async () => {
  start({ verificationInterval: 60 });
  await vi.waitFor(() => expect(operations()).toContain('POST /verify'), patient);
  const subjects = [
    { format: 'iss_sub', iss: transmitter.issuer, sub: 'user-1' },
    { format: 'email', email: 'user@example.com' },
  ];
  const jtis: string[] = [];
  for (const sub_id of subjects) {
    jtis.push(await transmitter.send({ claims: { sub_id, events: { [sessionRevoked]: {} } } }));
  }
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual(expect.arrayContaining(jtis)), patient);
  expect(transmitter.errors).toEqual(new Map());
  expect(revoke.mock.calls.map(([revocation]) => revocation)).toEqual([
    { subject: 'user-1', issuer: transmitter.issuer },
  ]);
  expect(problems.map(({ code }) => code)).toEqual(['signal_not_revoked']);
});

it.each([
  ['setStreamStatus', ['stopped']],
  ['setStreamStatus', ['paused', 7]],
] as const)('%s(%j) is refused', async (method, given) => {
  start();
  await expect((receiver[method] as (...given: unknown[]) => Promise<void>)(...given)).rejects.toThrow(
    TypeError,
  );
  expect(transmitter.of('/status')).toEqual([]);
});

it.each(['setStreamStatus', 'deleteStream'] as const)(
  '%s() rejects without the options stream and poll',
  async (method) => {
    receiver = createSignalReceiver(
      { issuers: [transmitter.issuer], revoke },
      { transmitter: transmitter.issuer, audience, authorizationHeader: 'Bearer secret-of-the-stream-31415' },
    );
    await expect(receiver[method]('enabled')).rejects.toThrow(`${method}() needs the option stream`);
  },
);

it('a stream that the transmitter does not delete is left, and the receiver goes on', async () => {
  start();
  await isCreated();
  transmitter.instead.set('DELETE /streams', (res) => json(res, 500, {}));
  await expect(receiver.deleteStream()).rejects.toMatchObject({ code: 'transmitter_failed' });
  const jti = await transmitter.send();
  await vi.waitFor(() => expect(transmitter.acknowledged).toEqual([jti]), patient);
});
