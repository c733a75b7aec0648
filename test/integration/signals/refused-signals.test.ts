// The operator learns that signals of the transmitter are refused. A client that pushes what the transmitter did not sign has no part
// in that.
import { bearerTokenAuthentication, type ProblemEvent, type SignalReceiver } from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { generateP256 } from '../../support/key-pairs.js';
import { PretendTransmitter, pushRequest } from '../../support/pretend-transmitter.js';
import { recordedEvents } from '../../support/recorded-events.js';

const other = generateP256();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refusals = () => problems.filter(({ code }) => code === 'signal_refused').map(({ message }) => message);

let transmitter: PretendTransmitter;
let receiver: SignalReceiver | undefined;
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  transmitter = new PretendTransmitter();
});
afterEach(() => {
  receiver?.close();
  vi.restoreAllMocks();
});

type Make = (t: PretendTransmitter) => string;
const now = () => Math.floor(Date.now() / 1000);

const signed: [string, Make, RegExp][] = [
  ['aud of another receiver', (t) => t.set({ aud: 'https://other.example.com' }), /aud.*the option audience/],
  ['no jti', (t) => t.set({ jti: undefined }), /jti/],
  ['no events', (t) => t.set({ events: {} }), /events/],
  ['an event that is a text', (t) => t.set({ events: { a: 'text' } }), /Each event/],
];
const unsigned: [string, Make, RegExp][] = [
  ['no token', () => 'none', /not a signed Security Event Token/],
  ['another key', (t) => t.set({}, {}, other.privateKey), /No key.*the option algorithms/],
  ['another issuer', (t) => t.set({ iss: 'https://other.example.com' }), /iss.*the option transmitter/],
  ['an iat that is to come', (t) => t.set({ iat: now() + 3_600 }), /iat.*the clocks/],
  ['another algorithm', (t) => t.set({}, { alg: 'HS256' }), /algorithm/],
];

const push = async (token: string): Promise<number> => {
  receiver ??= transmitter.receiver();
  return (await receiver.acceptPush(pushRequest(), token)).status;
};
beforeEach(() => {
  receiver = undefined;
});

describe('a push', () => {
  it.each(signed)(
    'that the transmitter signed and that is refused is reported: %s',
    async (_title, make, why) => {
      expect(await push(make(transmitter))).toBe(400);
      expect(refusals()).toEqual([expect.stringMatching(why)]);
      expect(refusals()[0]).toContain(transmitter.issuer);
    },
  );

  it.each(unsigned)('that any client could send is refused without a report: %s', async (_title, make) => {
    expect(await push(make(transmitter))).toBe(400);
    expect(problems).toEqual([]);
  });

  it('that is refused for the same reason is reported once a minute', async () => {
    const clock = vi.spyOn(performance, 'now').mockReturnValue(1_000_000);
    const refused = (changes: object) => push(transmitter.set(changes));
    await refused({ aud: 'a' });
    await refused({ aud: 'b' });
    clock.mockReturnValue(1_059_999);
    await refused({ aud: 'c' });
    expect(refusals()).toHaveLength(1);
    await refused({ events: {} });
    expect(refusals()).toHaveLength(2);
    clock.mockReturnValue(1_060_000);
    await refused({ aud: 'd' });
    expect(refusals()).toHaveLength(3);
  });
});

describe('a token that a poll brings', () => {
  it.each([...signed, ...unsigned])('is reported if it is refused: %s', async (_title, make, why) => {
    const jws = make(transmitter);
    const told: object[] = [];
    const fetchOfTest = async (url: unknown, init?: { body?: unknown }): Promise<Response> => {
      if (!String(url).endsWith('/poll')) {
        return transmitter.fetch(url);
      }
      told.push(JSON.parse(String(init?.body)));
      return Response.json({ sets: told.length === 1 ? { name: jws } : {} });
    };
    receiver = transmitter.receiver({
      http: { fetch: fetchOfTest as typeof fetch },
      clientAuthentication: bearerTokenAuthentication(() => 'a-token'),
      poll: { endpoint: `${transmitter.issuer}/poll`, wait: 0 },
    });
    await vi.waitFor(() => expect(refusals()).toEqual([expect.stringMatching(why)]));
  });
});
