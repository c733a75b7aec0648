// Signals that can't be acted on are kept and tried again, and hold up no other signal.
import { bearerTokenAuthentication, type SharedSignalsOptions, type SignalReceiver } from '@mtls-bound/core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { PretendTransmitter } from '../../support/pretend-transmitter.js';

interface PollBody {
  readonly maxEvents: number;
  readonly ack?: string[];
}

let transmitter: PretendTransmitter;
let receiver: SignalReceiver | undefined;
let polls: PollBody[];
let acknowledged: string[];
/** What answers polls. */
let answer: (body: PollBody) => Response;
/** The tokens that the transmitter has, by `jti`, the oldest first. */
let outstanding: Map<string, string>;
/** Subjects whose revocation fails. */
let failing: Set<string>;

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  transmitter = new PretendTransmitter();
  polls = [];
  acknowledged = [];
  outstanding = new Map();
  failing = new Set();
  answer = bringOnce;
  transmitter.revoke.mockImplementation(async (revocation) => {
    if (failing.has((revocation as { subject: string }).subject)) {
      throw new Error('no log');
    }
  });
});
afterEach(() => {
  receiver?.close();
  vi.restoreAllMocks();
});

function send(...subjects: string[]): void {
  for (const id of subjects) {
    outstanding.set(id, transmitter.set({ jti: id, sub_id: { format: 'opaque', id } }));
  }
}

const first = (count: number) => [...outstanding].slice(0, count);

/** As a transmitter that brings each token once. */
function bringOnce({ maxEvents }: PollBody): Response {
  const sets = first(maxEvents);
  for (const [jti] of sets) {
    outstanding.delete(jti);
  }
  return Response.json({ sets: Object.fromEntries(sets) });
}

/** As a transmitter that brings the oldest tokens that are not acknowledged, each time. */
const bringAgain = ({ maxEvents }: PollBody): Response =>
  Response.json({ sets: Object.fromEntries(first(maxEvents)) });

function start(poll: SharedSignalsOptions['poll'] = {}): void {
  const fetchOfTest = async (url: unknown, init?: { body?: unknown }): Promise<Response> => {
    if (!String(url).endsWith('/poll')) {
      return transmitter.fetch(url);
    }
    const body: PollBody = JSON.parse(String(init?.body));
    polls.push(body);
    for (const jti of body.ack ?? []) {
      outstanding.delete(jti);
      acknowledged.push(jti);
    }
    return answer(body);
  };
  receiver = transmitter.receiver({
    http: { fetch: fetchOfTest as typeof fetch },
    clientAuthentication: bearerTokenAuthentication(() => 'a-token'),
    poll: { endpoint: `${transmitter.issuer}/poll`, interval: 0.1, wait: 0, ...poll },
  });
}

const revocationsOf = (subject: string): number =>
  transmitter.revoke.mock.calls.filter(([of]) => (of as { subject: string }).subject === subject).length;
const patient = { timeout: 15_000 };

it.each([
  ['once', () => bringOnce],
  ['again and again', () => bringAgain],
])(
  'as many as one answer may have leave room for others, if the transmitter brings them %s',
  async (_title, way) => {
    answer = way();
    failing = new Set(['a', 'b', 'c']);
    send('a', 'b', 'c', 'good-1', 'good-2', 'good-3');
    start({ maxEvents: 3 });
    await vi.waitFor(() => expect(acknowledged).toEqual(['good-1', 'good-2', 'good-3']), patient);
    send('good-4');
    await vi.waitFor(() => expect(acknowledged).toContain('good-4'), patient);
    expect(polls.every(({ maxEvents }) => maxEvents > 0)).toBe(true);
    failing.clear();
    await vi.waitFor(() => expect(acknowledged.toSorted()).toEqual(['a', 'b', 'c', ...goods]), patient);
  },
);

const goods = ['good-1', 'good-2', 'good-3', 'good-4'];

it('the pauses between the attempts grow, and those between the polls do not', async () => {
  failing = new Set(['a']);
  send('a');
  start();
  await vi.waitFor(() => expect(polls.length).toBeGreaterThan(30), patient);
  // Ten attempts take minutes.
  expect(revocationsOf('a')).toBeGreaterThan(1);
  expect(revocationsOf('a')).toBeLessThan(10);
});

it('they are tried again while the transmitter can not be polled', async () => {
  failing = new Set(['a']);
  send('a');
  answer = (body) =>
    polls.length === 1
      ? bringOnce(body)
      : new Response('', { status: 429, headers: { 'retry-after': '300' } });
  start();
  await vi.waitFor(() => expect(revocationsOf('a')).toBe(3), patient);
  expect(polls).toHaveLength(2);
});

it('a thousand of them are kept, and what is more is left to the transmitter', async () => {
  const many = Array.from({ length: 1_000 }, (_, i) => `user-${i}`);
  failing = new Set([...many, 'last']);
  send(...many, 'last');
  answer = (body) => bringOnce({ ...body, maxEvents: Math.min(body.maxEvents, 250) });
  start({ maxEvents: 1_000 });
  await vi.waitFor(() => expect(revocationsOf('last')).toBe(1), patient);
  failing.clear();
  await vi.waitFor(() => expect(acknowledged.length).toBe(1_000), patient);
  expect(revocationsOf('last')).toBe(1);
  send('last');
  await vi.waitFor(() => expect(acknowledged.at(-1)).toBe('last'), patient);
});
