// What is not a Security Event Token of this transmitter for this receiver: each is refused with the error of RFC 8935 §2.4, and
// revokes nothing.
import type { SignalEvent } from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { audience } from '../../support/audience.js';
import { generateP256 } from '../../support/key-pairs.js';
import { encoded, PretendTransmitter, pushRequest } from '../../support/pretend-transmitter.js';
import { recordedEvents } from '../../support/recorded-events.js';

const other = generateP256();
const ownKey = { jwk: other.publicKey.export({ format: 'jwk' }) };
const signals = recordedEvents<SignalEvent>('mtls-bound:signal');
const event = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';

let transmitter: PretendTransmitter;
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  transmitter = new PretendTransmitter();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const now = () => Math.floor(Date.now() / 1000);
const pushed = async (token: string, req = pushRequest()) => {
  const receiver = transmitter.receiver();
  const answer = await receiver.acceptPush(req, token);
  receiver.close();
  return answer;
};

type Make = (t: PretendTransmitter) => string;
const claim = (name: string, value: unknown): Make => {
  const changes = { [name]: value };
  return (t) => t.set(changes);
};

const claimsOfRfc8417: [string, Make, string][] = [
  ['R200: no iss', claim('iss', undefined), 'invalid_issuer'],
  ['R200: iss in a list', (t) => t.set({ iss: [t.issuer] }), 'invalid_issuer'],
  ['R200: iss with a slash more', (t) => t.set({ iss: `${t.issuer}/` }), 'invalid_issuer'],
  ['R200: no aud', claim('aud', undefined), 'invalid_audience'],
  ['R200: an empty list as aud', claim('aud', []), 'invalid_audience'],
  ['R200: aud of another receiver', claim('aud', 'https://other.example.com'), 'invalid_audience'],
  ['R200: aud that begins as ours', claim('aud', `${audience}/more`), 'invalid_audience'],
  ['R200: aud that is a number', claim('aud', 7), 'invalid_audience'],
  ['R200: aud in an object', claim('aud', { 0: audience }), 'invalid_audience'],
  ['R200: aud in a list within a list', claim('aud', [[audience]]), 'invalid_audience'],
  ['R200: no jti', claim('jti', undefined), 'invalid_request'],
  ['R200: an empty jti', claim('jti', ''), 'invalid_request'],
  ['R200: jti that is a number', claim('jti', 7), 'invalid_request'],
  ['R200: jti of 1,001 characters', claim('jti', 'a'.repeat(1_001)), 'invalid_request'],
  ['R200: no iat', claim('iat', undefined), 'invalid_request'],
  ['R200: iat that is a text', claim('iat', '1700000000'), 'invalid_request'],
  ['R200: iat below zero', claim('iat', -1), 'invalid_request'],
  ['R200: iat that is null', claim('iat', null), 'invalid_request'],
  ['R200: iat in an hour', (t) => t.set({ iat: now() + 3_600 }), 'invalid_request'],
  ['R200: iat in milliseconds', (t) => t.set({ iat: Date.now() }), 'invalid_request'],
  ['R200: exp an hour ago', (t) => t.set({ exp: now() - 3_600 }), 'invalid_request'],
  ['R200: exp that is a text', claim('exp', '9999999999'), 'invalid_request'],
  ['R200: nbf in an hour', (t) => t.set({ nbf: now() + 3_600 }), 'invalid_request'],
  ['R200: nbf that is a text', claim('nbf', '0'), 'invalid_request'],
  ['R200: no events', claim('events', undefined), 'invalid_request'],
  ['R200: events that are null', claim('events', null), 'invalid_request'],
  ['R200: events without an event', claim('events', {}), 'invalid_request'],
  ['R200: events in a list', claim('events', [event]), 'invalid_request'],
  ['R200: events that are a text', claim('events', event), 'invalid_request'],
  ['R200: an event that is null', claim('events', { [event]: null }), 'invalid_request'],
  ['R200: an event that is a list', claim('events', { [event]: [] }), 'invalid_request'],
  ['R200: an event that is a flag', claim('events', { [event]: true }), 'invalid_request'],
  ['R200: a good event next to a bad one', claim('events', { [event]: {}, x: 1 }), 'invalid_request'],
  ['R200: claims that are a list', (t) => t.signed('[]'), 'invalid_request'],
  ['R200: claims that are null', (t) => t.signed('null'), 'invalid_request'],
  ['R200: claims that are a text', (t) => t.signed('"set"'), 'invalid_request'],
  ['R200: claims that are no JSON', (t) => t.signed('{'), 'invalid_request'],
  [
    'R200: members that only a prototype has',
    (t) => t.signed(`{"__proto__":${JSON.stringify(t.claims())}}`),
    'invalid_issuer',
  ],
];

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
/** A Security Event Token with lists in the place of the text DEEP. */
const withLists =
  (depth: number, changes: object): Make =>
  (t) =>
    t.signed(JSON.stringify(t.claims(changes)).replace('"DEEP"', nested(depth)));

const depthsOfSets: [string, Make, string][] = [15_000, 65].flatMap((depth): [string, Make, string][] => [
  [
    `an event that nests ${depth} deep`,
    withLists(depth, { events: { [event]: { a: 'DEEP' } } }),
    'invalid_request',
  ],
  [`sub_id that nests ${depth} deep`, withLists(depth, { sub_id: { a: 'DEEP' } }), 'invalid_request'],
  [`aud that nests ${depth} deep`, withLists(depth, { aud: 'DEEP' }), 'invalid_request'],
  [`a claim that nests ${depth} deep`, withLists(depth, { own: 'DEEP' }), 'invalid_request'],
]);

const typesOfRfc8417: [string, Make, string][] = [
  ['R201: no typ', (t) => t.set({}, { typ: undefined }), 'invalid_request'],
  ['R201: typ JWT', (t) => t.set({}, { typ: 'JWT' }), 'invalid_request'],
  ['R201: typ at+jwt, of an access token', (t) => t.set({}, { typ: 'at+jwt' }), 'invalid_request'],
  ['R201: typ that begins as ours', (t) => t.set({}, { typ: 'secevent+jwts' }), 'invalid_request'],
  ['R201: typ in a list', (t) => t.set({}, { typ: ['secevent+jwt'] }), 'invalid_request'],
];

const keysOfRfc8417: [string, Make, string][] = [
  ['R202: another key', (t) => t.set({}, {}, other.privateKey), 'invalid_key'],
  ['R202: another key, with itself', (t) => t.set({}, ownKey, other.privateKey), 'invalid_key'],
  [
    'R202: another key, with a jku',
    (t) => t.set({}, { jku: 'https://x.example/jwks' }, other.privateKey),
    'invalid_key',
  ],
  ['R202: a kid that the transmitter does not have', (t) => t.set({}, { kid: 'x' }), 'invalid_key'],
  ['R202: alg none', (t) => t.set({}, { alg: 'none' }), 'invalid_key'],
  ['R202: no alg', (t) => t.set({}, { alg: undefined }), 'invalid_key'],
  ['R202: HS256 with the public key', (t) => t.setByPublicKey(), 'invalid_key'],
  ['R202: crit', (t) => t.set({}, { crit: ['b64'], b64: false }), 'invalid_key'],
  ['R202: a changed claim', (t) => changedClaims(t), 'invalid_key'],
  ['R202: no signature', (t) => `${t.set().split('.').slice(0, 2).join('.')}.`, 'invalid_request'],
  ['R202: two parts', (t) => t.set().split('.').slice(0, 2).join('.'), 'invalid_request'],
  ['R202: an encrypted token', (t) => `${t.set()}.${encoded('a')}.${encoded('b')}`, 'invalid_request'],
  [
    'R202: the JSON form of a JWS',
    (t) => {
      const [head, payload, signature] = t.set().split('.');
      return JSON.stringify({ protected: head, payload, signature });
    },
    'invalid_request',
  ],
  ['R202: base64 with padding', (t) => `${t.set()}=`, 'invalid_request'],
  ['R202: a header that is a list', (t) => t.signed('{}', '[]'), 'invalid_request'],
  ['R202: a header that is no JSON', (t) => t.signed('{}', 'x'), 'invalid_request'],
];

function changedClaims(t: PretendTransmitter): string {
  const [head, , signature] = t.set().split('.');
  return `${head}.${encoded(JSON.stringify(t.claims()))}.${signature}`;
}

const bodiesOfRfc8935: [string, Make, string][] = [
  ['R203: an empty body', () => '', 'invalid_request'],
  ['R203: blanks', () => ' \r\n', 'invalid_request'],
  ['R203: a form with the token', (t) => `token=${t.set()}`, 'invalid_request'],
  ['R203: a list of tokens', (t) => JSON.stringify([t.set()]), 'invalid_request'],
  ['R203: the answer to a poll', (t) => JSON.stringify({ sets: { a: t.set() } }), 'invalid_request'],
  ['R203: two tokens', (t) => `${t.set()}\n${t.set()}`, 'invalid_request'],
  ['R203: 65,537 characters', () => 'a'.repeat(65_537), 'invalid_request'],
];

describe('is refused, and revokes nothing', () => {
  it.each([...claimsOfRfc8417, ...typesOfRfc8417, ...keysOfRfc8417, ...bodiesOfRfc8935, ...depthsOfSets])(
    '%s',
    async (_title, make, err) => {
      const answer = await pushed(make(transmitter));
      expect([answer.status, JSON.parse(answer.body)]).toEqual([
        400,
        { err, description: expect.any(String) },
      ]);
      expect(signals).toMatchObject([{ outcome: 'refused', error: err, types: [] }]);
      expect(transmitter.revoke).not.toHaveBeenCalled();
    },
  );

  it.each<[string, object]>([
    ['R203: GET', { method: 'GET' }],
    ['R203: PUT', { method: 'PUT' }],
    ['R203: no content type', { headers: {} }],
    ['R203: application/jwt', { headers: { 'content-type': 'application/jwt' } }],
    ['R203: application/json', { headers: { 'content-type': 'application/json' } }],
    ['R203: a type that begins as ours', { headers: { 'content-type': 'application/secevent+jwtx' } }],
    ['R203: a form', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
  ])('%s', async (_title, changes) => {
    const answer = await pushed(transmitter.set(), pushRequest(changes));
    expect([answer.status, JSON.parse(answer.body).err]).toEqual([400, 'invalid_request']);
    expect(transmitter.revoke).not.toHaveBeenCalled();
  });

  it.each([undefined, 'https://transmitter.example.com/', 'https://other.example.com'])(
    'R215: while the transmitter’s configuration has the issuer %s',
    async (issuer) => {
      transmitter.configuration = { ...transmitter.configuration, issuer };
      expect((await pushed(transmitter.set())).status).toBe(503);
      expect(transmitter.revoke).not.toHaveBeenCalled();
    },
  );
});

describe('is accepted', () => {
  it.each<[string, Make]>([
    ['R200: aud in a list with others', claim('aud', ['https://other.example.com', audience])],
    ['R200: an iat of long ago, as a transmitter may send late', (t) => t.set({ iat: now() - 864_000 })],
    ['R200: an exp that is to come', (t) => t.set({ exp: now() + 60 })],
    ['R200: txn and toe', (t) => t.set({ txn: 'a', toe: now() })],
    ['R200: a claim that is not known', claim('reason', 'none')],
    ['an event that nests 64 deep', withLists(61, { events: { [event]: { a: 'DEEP' } } })],
    ['R201: typ application/secevent+jwt', (t) => t.set({}, { typ: 'application/secevent+jwt' })],
    ['R201: typ in capitals', (t) => t.set({}, { typ: 'SECEVENT+JWT' })],
    ['R202: no kid', (t) => t.set({}, { kid: undefined })],
    ['R203: a line end after the token', (t) => `${t.set()}\r\n`],
  ])('%s', async (_title, make) => {
    expect((await pushed(make(transmitter))).status).toBe(202);
    expect(transmitter.revoke).toHaveBeenCalledOnce();
  });

  it('R203: a content type with a parameter and in capitals is accepted', async () => {
    const headers = { 'content-type': 'Application/SecEvent+JWT; charset=utf-8' };
    expect((await pushed(transmitter.set(), pushRequest({ headers }))).status).toBe(202);
  });

  it('R204: the answer is 202 without a body', async () => {
    expect(await pushed(transmitter.set())).toEqual({
      status: 202,
      headers: { 'Cache-Control': 'no-store' },
      body: '',
    });
  });
});

it('R205: a refusal is JSON with the language of its description', async () => {
  const { headers, body } = await pushed('x');
  expect(headers).toMatchObject({ 'Content-Type': 'application/json', 'Content-Language': 'en' });
  expect(Object.keys(JSON.parse(body))).toEqual(['err', 'description']);
});

it('R205: no refusal repeats what was sent', async () => {
  const secret = 'secret-161803';
  for (const changes of [{ iss: secret }, { aud: secret }, { events: secret }, { iat: secret }]) {
    expect((await pushed(transmitter.set(changes))).body).not.toContain('161803');
  }
});

it('R206: a token that comes again is accepted and acted on once, also at the same time', async () => {
  const receiver = transmitter.receiver();
  const token = transmitter.set();
  const answers = await Promise.all([1, 2, 3].map(() => receiver.acceptPush(pushRequest(), token)));
  answers.push(await receiver.acceptPush(pushRequest(), token));
  receiver.close();
  expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
  expect(transmitter.revoke).toHaveBeenCalledOnce();
  expect(signals.map(({ outcome }) => outcome).toSorted()).toEqual([
    'repeated',
    'repeated',
    'repeated',
    'revoked',
  ]);
});

it('R206: another event under the jti of one before is acted on', async () => {
  const receiver = transmitter.receiver();
  for (const id of ['user-1', 'user-2']) {
    const token = transmitter.set({ jti: 'one', sub_id: { format: 'opaque', id } });
    expect((await receiver.acceptPush(pushRequest(), token)).status).toBe(202);
  }
  receiver.close();
  expect(transmitter.revoke).toHaveBeenCalledTimes(2);
});

it('R200: a token whose times are compared with a clock that gives NaN is refused', async () => {
  const token = transmitter.set();
  const receiver = transmitter.receiver();
  expect((await receiver.acceptPush(pushRequest(), transmitter.set({ jti: 'before' }))).status).toBe(202);
  vi.spyOn(Date, 'now').mockReturnValue(Number.NaN);
  expect((await receiver.acceptPush(pushRequest(), token)).status).toBe(400);
  receiver.close();
  expect(transmitter.revoke).toHaveBeenCalledOnce();
});
