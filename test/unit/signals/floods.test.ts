// What pushes cost that no transmitter sent: no fetch of keys each, and no memory.
import { PassThrough } from 'node:stream';
import { bearerTokenAuthentication } from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deferred } from '../../support/deferred.js';
import { generateP256 } from '../../support/key-pairs.js';
import { PretendTransmitter, pushRequest } from '../../support/pretend-transmitter.js';

const other = generateP256();
const authorizationHeader = 'Bearer secret-of-the-stream-31415';

let transmitter: PretendTransmitter;
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  transmitter = new PretendTransmitter();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A push request whose body comes in pieces. */
const streamed = (httpVersionMajor = 1) =>
  Object.assign(new PassThrough(), {
    method: 'POST',
    headers: { 'content-type': 'application/secevent+jwt' },
    rawHeaders: [],
    httpVersionMajor,
  });

describe('forged tokens', () => {
  const forged = (count: number) =>
    Array.from({ length: count }, (_, i) => transmitter.set({}, { kid: `${i}` }, other.privateKey));

  it('500 at once that no key fits cost a few fetches of keys together, and 100 of them wait', async () => {
    const receiver = transmitter.receiver();
    const answers = await Promise.all(forged(500).map((token) => receiver.acceptPush(pushRequest(), token)));
    receiver.close();
    const [refused, ...others] = [400, 503].map((code) => answers.filter(({ status }) => status === code));
    expect([refused?.length, others[0]?.length]).toEqual([100, 400]);
    expect(new Set(others[0]?.map(({ headers }) => headers['Retry-After']))).toEqual(new Set(['1']));
    expect(transmitter.keyFetches).toBeLessThanOrEqual(5);
    expect(transmitter.revoke).not.toHaveBeenCalled();
  });

  it('while they wait, a token that a known key signed is acted on', async () => {
    const held = deferred();
    let isHeld = false;
    const fetch = async (url: unknown): Promise<Response> => {
      await (isHeld && held.promise);
      return transmitter.fetch(url);
    };
    const receiver = transmitter.receiver({ http: { fetch: fetch as typeof globalThis.fetch } });
    const push = async (token: string) => (await receiver.acceptPush(pushRequest(), token)).status;
    expect(await push(transmitter.set())).toBe(202);
    isHeld = true;
    const flood = Promise.all(forged(150).map(push));
    expect(await push(transmitter.set())).toBe(202);
    held.resolve();
    expect(new Set(await flood)).toEqual(new Set([400, 503]));
    receiver.close();
  });

  it.each<[string, (t: PretendTransmitter, payload: string) => string]>([
    ['with typ JWT', (t, payload) => t.signed(payload, { typ: 'JWT' })],
    ['with alg none', (t, payload) => t.signed(payload, { alg: 'none' })],
    ['with a header of 8,193 characters', (t, payload) => t.signed(payload, { x: 'a'.repeat(6_200) })],
  ])('%s are refused before their payload is parsed', async (_title, make) => {
    const receiver = transmitter.receiver();
    const payload = JSON.stringify(transmitter.claims());
    const token = make(transmitter, payload);
    const parse = vi.spyOn(JSON, 'parse');
    const { status } = await receiver.acceptPush(pushRequest(), token);
    const texts = parse.mock.calls.map(([text]) => text);
    parse.mockRestore();
    receiver.close();
    expect(status).toBe(400);
    expect(texts).not.toContain(payload);
  });

  it.each<[string, (t: PretendTransmitter) => string]>([
    ['of another issuer', (t) => t.set({ iss: 'https://x.example' }, {}, other.privateKey)],
    ['of another type', (t) => t.set({}, { typ: 'JWT' }, other.privateKey)],
    ['by an algorithm that is not accepted', (t) => t.set({}, { alg: 'none' })],
    ['from the future', (t) => t.set({ iat: Date.now() }, {}, other.privateKey)],
    ['that are too long', () => 'a'.repeat(65_537)],
    ['that are none', () => 'text'],
  ])('%s cost no request to the transmitter', async (_title, make) => {
    const receiver = transmitter.receiver();
    expect((await receiver.acceptPush(pushRequest(), make(transmitter))).status).toBe(400);
    receiver.close();
    expect(transmitter.asked).toEqual([]);
  });

  it('without the agreed header cost no request, and their body is not read', async () => {
    const receiver = transmitter.receiver({ authorizationHeader });
    const req = streamed();
    req.write(transmitter.set());
    expect((await receiver.acceptPush(req as never)).status).toBe(401);
    receiver.close();
    expect(req.readableFlowing).toBeNull();
    expect(transmitter.asked).toEqual([]);
  });

  it('are not remembered: one with the jti of a good token does not have that one ignored', async () => {
    const receiver = transmitter.receiver();
    const claims = { jti: 'one' };
    const statuses = [];
    for (const key of [other.privateKey, undefined]) {
      statuses.push((await receiver.acceptPush(pushRequest(), transmitter.set(claims, {}, key))).status);
    }
    receiver.close();
    expect(statuses).toEqual([400, 202]);
    expect(transmitter.revoke).toHaveBeenCalledOnce();
  });

  it('of another audience are not remembered either', async () => {
    const receiver = transmitter.receiver();
    const statuses = [];
    for (const aud of ['https://x.example', undefined]) {
      const claims = { jti: 'one', ...(aud && { aud }) };
      statuses.push((await receiver.acceptPush(pushRequest(), transmitter.set(claims))).status);
    }
    receiver.close();
    expect(statuses).toEqual([400, 202]);
  });
});

it('150 tokens of one poll wait for the keys together, and each is acted on', async () => {
  const sets = Object.fromEntries(
    Array.from({ length: 150 }, (_, i) => [`${i}`, transmitter.set({ jti: `${i}` })]),
  );
  const acks: unknown[] = [];
  const fetch = async (url: unknown, init?: RequestInit): Promise<Response> => {
    if (!String(url).endsWith('/poll')) {
      return transmitter.fetch(url);
    }
    acks.push(JSON.parse(String(init?.body)).ack);
    return Response.json({ sets: acks.length === 1 ? sets : {} });
  };
  const receiver = transmitter.receiver({
    http: { fetch: fetch as typeof globalThis.fetch },
    clientAuthentication: bearerTokenAuthentication(() => 'a-token-of-ours'),
    poll: { endpoint: `${transmitter.issuer}/poll`, maxEvents: 1_000 },
  });
  await vi.waitFor(() => expect(acks.length).toBeGreaterThanOrEqual(2), 10_000);
  receiver.close();
  expect(acks[1]).toHaveLength(150);
  expect(transmitter.revoke).toHaveBeenCalledTimes(150);
});

describe('a body', () => {
  it('of more than 65,536 bytes is answered before its end, and what follows is dropped', async () => {
    const receiver = transmitter.receiver();
    const req = streamed();
    const answering = receiver.acceptPush(req as never);
    for (let i = 0; i < 70; i += 1) {
      req.write('a'.repeat(1_000));
    }
    expect((await answering).status).toBe(400);
    req.write('a'.repeat(100_000));
    await vi.waitFor(() => expect(req.readableLength).toBe(0));
    req.end();
    receiver.close();
  });

  it.each([
    ['HTTP/1.1', 1],
    ['HTTP/2.0 over a connection of HTTP/1', 2],
  ])(
    'that does not end within 10 seconds is answered 400, and the connection ends: %s',
    async (_title, version) => {
      vi.useFakeTimers();
      const receiver = transmitter.receiver();
      const req = streamed(version);
      req.write('a');
      const answering = receiver.acceptPush(req as never);
      await vi.advanceTimersByTimeAsync(10_000);
      const { status, headers } = await answering;
      receiver.close();
      expect([status, headers.Connection]).toEqual([400, 'close']);
      expect(req.listenerCount('data')).toBe(0);
    },
  );

  it('whose client goes away is answered 400', async () => {
    const receiver = transmitter.receiver();
    const req = streamed();
    req.write(transmitter.set());
    const answering = receiver.acceptPush(req as never);
    req.destroy();
    expect((await answering).status).toBe(400);
    receiver.close();
    expect(transmitter.revoke).not.toHaveBeenCalled();
  });
});
