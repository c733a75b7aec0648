// A signal that was verified is acted on as soon as that is possible, however long a revocation fails.
import {
  bearerTokenAuthentication,
  type ProblemEvent,
  type SignalEvent,
  type SignalReceiver,
} from '@mtls-bound/core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { PretendTransmitter, pushRequest } from '../../support/pretend-transmitter.js';
import { recordedEvents } from '../../support/recorded-events.js';

const signals = recordedEvents<SignalEvent>('mtls-bound:signal');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

let transmitter: PretendTransmitter;
let receiver: SignalReceiver;
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  vi.useFakeTimers({ toFake: ['Date'] });
  transmitter = new PretendTransmitter();
});
afterEach(() => {
  receiver.close();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const seconds = () => Math.floor(Date.now() / 1000);
const later = (passed: number) => vi.setSystemTime(Date.now() + passed * 1000);
const push = async (token: string) => (await receiver.acceptPush(pushRequest(), token)).status;

it('a push that was verified and not acted on is accepted again after exp', async () => {
  receiver = transmitter.receiver();
  const [first, second] = [1, 2].map(() => transmitter.set({ exp: seconds() + 60 }));
  transmitter.revoke.mockRejectedValueOnce(new Error('no log'));
  expect(await push(String(first))).toBe(503);
  later(3_600);
  // Nothing shows that the transmitter made the other one in time.
  expect(await push(String(second))).toBe(400);
  expect(await push(String(first))).toBe(202);
  expect(transmitter.revoke.mock.calls.at(-1)).toEqual([
    { subject: 'user-1', issuer: transmitter.issuer },
    'signal',
  ]);
  expect(signals.map(({ outcome }) => outcome)).toEqual(['failed', 'refused', 'revoked']);
  // It was acted on: from now on it is one like any other.
  expect(await push(String(first))).toBe(400);
});

it('a push whose signature differs by a character is refused after exp', async () => {
  receiver = transmitter.receiver();
  const claims = JSON.stringify(transmitter.claims({ exp: seconds() + 60 }));
  transmitter.revoke.mockRejectedValueOnce(new Error('no log'));
  expect(await push(transmitter.signed(claims))).toBe(503);
  later(3_600);
  expect(await push(transmitter.signed(claims))).toBe(400);
});

it('a token that a poll brought is acknowledged after exp, when it is acted on', async () => {
  const jws = transmitter.set({ jti: 'a', exp: seconds() + 60 });
  const told: { ack?: string[]; setErrs?: object }[] = [];
  const fetchOfTest = async (url: unknown, init?: { body?: unknown }): Promise<Response> => {
    if (!String(url).endsWith('/poll')) {
      return transmitter.fetch(url);
    }
    told.push(JSON.parse(String(init?.body)));
    return Response.json({ sets: told.length === 1 ? { a: jws } : {} });
  };
  transmitter.revoke.mockImplementationOnce(async () => {
    later(3_600);
    throw new Error('no log');
  });
  receiver = transmitter.receiver({
    http: { fetch: fetchOfTest as typeof fetch },
    clientAuthentication: bearerTokenAuthentication(() => 'a-token'),
    poll: { endpoint: `${transmitter.issuer}/poll`, interval: 0.1, wait: 0 },
  });
  await vi.waitFor(() => expect(told.some(({ ack }) => ack?.includes('a'))).toBe(true), { timeout: 8_000 });
  expect(told.filter(({ setErrs }) => setErrs !== undefined)).toEqual([]);
  // Other tests of this process may have left resource servers behind, which report their own problems.
  const ofSignals = problems.map(({ code }) => code).filter((code) => code.startsWith('signal'));
  expect(ofSignals).toEqual(['signal_failed']);
});
