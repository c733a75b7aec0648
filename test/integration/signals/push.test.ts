import { createServer } from 'node:https';
import {
  createSignalReceiver,
  jwtAccessTokens,
  type ProblemEvent,
  type RevocationEvent,
  type SignalEvent,
} from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import { SignJWT } from 'jose';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, type Listener, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call, post } from '../../support/calls.js';
import { answer, type FaultyServer, goodMetadata, startFaultyServer } from '../../support/faulty-server.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import {
  ignoredEvents,
  malformedSets,
  now,
  revokingEvents,
  type SetChanges,
  sessionRevoked,
  signedSet,
  signingKeySet,
  signingKeys,
  streamUpdated,
} from '../../support/security-event-tokens.js';

const authorizationHeader = 'Bearer secret-of-the-stream-31415';

let pki: Pki;
let transmitter: FaultyServer;
const signals = recordedEvents<SignalEvent>('mtls-bound:signal');
const revocations = recordedEvents<RevocationEvent>('mtls-bound:revocation');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

const jwks = answer(200, signingKeySet);

beforeAll(async () => {
  pki = await createPki();
  transmitter = await startFaultyServer(pki);
  transmitter.metadata = answer(200, {
    ...goodMetadata(transmitter.issuer),
    jwks_uri: `${transmitter.issuer}/jwks`,
  });
});
afterAll(() => transmitter?.close());
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  transmitter.introspection = jwks;
});

const set = (changes?: SetChanges): Promise<string> => signedSet(transmitter.issuer, changes);

function accessToken(claims: object): Promise<string> {
  return new SignJWT({
    iss: transmitter.issuer,
    aud: audience,
    sub: 'user-1',
    client_id: 'app-1',
    sid: 'session-1',
    jti: 'token-1',
    iat: now() - 60,
    exp: now() + 300,
    cnf: { 'x5t#S256': pki.alice.thumbprint },
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'es', typ: 'at+jwt' })
    .sign(signingKeys.es.privateKey);
}

/** What a middleware before the route makes of the body that it reads, by path. */
const parsers: Readonly<Record<string, (body: Buffer) => unknown>> = {
  '/parsed': (body) => body.toString(),
  '/bytes': (body) => new Uint8Array(body),
  '/form': (body) => ({ [body.toString()]: '' }),
  '/drained': () => undefined,
};

async function bodyOf(req: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function listenerOf(framework: string): Listener {
  const rules = {
    issuer: transmitter.issuer,
    audience,
    tokens: jwtAccessTokens(),
    http: { ca: pki.ca.cert },
  };
  const own = { transmitter: transmitter.issuer, audience, authorizationHeader, http: rules.http };
  if (framework === 'Express') {
    const guard = expressMtls.mtlsBound(rules);
    const app = express();
    app.post('/signals', expressMtls.sharedSignals(guard, own));
    const receive = expressMtls.sharedSignals(guard, own);
    app.post('/parsed', express.text({ type: '*/*' }), receive);
    app.post('/form', express.urlencoded({ type: '*/*', extended: false }), receive);
    for (const path of ['/bytes', '/drained']) {
      app.post(path, async (req, _res, next) => {
        req.body = parsers[path]?.(await bodyOf(req));
        next();
      });
      app.post(path, receive);
    }
    app.use(guard, (_req, res) => {
      res.json({});
    });
    return app as Listener;
  }
  const guard = koaMtls.mtlsBound(rules);
  const receive = koaMtls.sharedSignals(guard, own);
  const app = new Koa();
  app.use(async (ctx, next) => {
    const parse = parsers[ctx.path];
    if (parse !== undefined) {
      Object.assign(ctx.request, { body: parse(await bodyOf(ctx.req)) });
    }
    await (ctx.path === '/signals' || parse !== undefined ? receive(ctx, next) : next());
  });
  app.use(guard as Koa.Middleware);
  app.use((ctx) => {
    ctx.body = {};
  });
  return app.callback() as Listener;
}

describe.each(frameworks)('%s', (framework) => {
  let api: TestApi;
  beforeEach(async () => {
    api = await serve(createServer(mutualTls(pki), listenerOf(framework)), () => 0);
    return () => api.close();
  });

  const push = (body: string, path = '/signals') =>
    post(pki, api, path)
      .set('authorization', authorizationHeader)
      .set('content-type', 'application/secevent+jwt')
      .send(body);
  const status = async (token: string) =>
    (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;

  const opaque = (id: string) => ({ format: 'opaque', id });
  const iss = () => transmitter.issuer;
  const ofThis: [string, () => object][] = [
    ['iss_sub', () => ({ format: 'iss_sub', iss: iss(), sub: 'user-1' })],
    ['opaque', () => opaque('user-1')],
    ['jwt_id', () => ({ format: 'jwt_id', iss: iss(), jti: 'token-1' })],
    ['x5t#S256', () => ({ format: 'x5t#S256', 'x5t#S256': pki.alice.thumbprint })],
    [
      'aliases',
      () => ({
        format: 'aliases',
        identifiers: [opaque('user-9'), { format: 'iss_sub', iss: iss(), sub: 'user-1' }],
      }),
    ],
    ['complex with user', () => ({ format: 'complex', user: opaque('user-1'), tenant: opaque('any') })],
    [
      'aliases as the user of complex',
      () => ({
        format: 'complex',
        user: { format: 'aliases', identifiers: [opaque('user-9'), opaque('user-1')] },
      }),
    ],
    ['complex with session', () => ({ format: 'complex', session: opaque('session-1') })],
    ['complex with application', () => ({ format: 'complex', application: opaque('app-1') })],
  ];

  it.each(ofThis)('a signal revokes the token that %s names', async (_format, subject) => {
    const token = await accessToken({});
    expect(await status(token)).toBe(200);
    expect((await push(await set({ claims: { sub_id: subject() } }))).status).toBe(202);
    expect(await status(token)).toBe(401);
    expect(signals).toEqual([
      { transmitter: iss(), types: [sessionRevoked], outcome: 'revoked', error: undefined },
    ]);
    expect(new Set(revocations.map(({ from }) => from))).toEqual(new Set(['signal']));
  });

  it.each<[string, () => object]>([
    ['another user', () => opaque('user-2')],
    [
      'an issuer that is not configured',
      () => ({ format: 'iss_sub', iss: 'https://x.example', sub: 'user-1' }),
    ],
    ['an email', () => ({ format: 'email', email: 'user-1@example.com' })],
    ['a device', () => ({ format: 'complex', device: opaque('user-1') })],
    ['a user of an application', () => ({ user: opaque('user-2'), application: opaque('app-1') })],
  ])('a signal leaves a token that it does not name: %s', async (_title, subject) => {
    const token = await accessToken({});
    expect((await push(await set({ claims: { sub_id: subject() } }))).status).toBe(202);
    expect(await status(token)).toBe(200);
  });

  it('a subject that no token can be found by is reported', async () => {
    const subject = { format: 'email', email: 'user-1@example.com' };
    expect((await push(await set({ claims: { sub_id: subject } }))).status).toBe(202);
    expect(signals.map(({ outcome }) => outcome)).toEqual(['not_revoked']);
    expect(problems.map(({ code }) => code)).toEqual(['signal_not_revoked']);
    expect(JSON.stringify([signals, problems])).not.toContain('user-1');
  });

  it.each(revokingEvents)('the event %s revokes', async (type) => {
    const token = await accessToken({});
    expect(
      (await push(await set({ claims: { sub_id: opaque('user-1'), events: { [type]: {} } } }))).status,
    ).toBe(202);
    expect(await status(token)).toBe(401);
  });

  it.each(ignoredEvents)('the event %s is accepted and revokes nothing', async (type) => {
    const token = await accessToken({});
    expect(
      (await push(await set({ claims: { sub_id: opaque('user-1'), events: { [type]: {} } } }))).status,
    ).toBe(202);
    expect(await status(token)).toBe(200);
    expect(signals.map(({ outcome }) => outcome)).toEqual(['ignored']);
  });

  it('a stream that the transmitter disables is reported', async () => {
    const events = { [streamUpdated]: { status: 'disabled' } };
    expect((await push(await set({ claims: { events } }))).status).toBe(202);
    expect(problems.map(({ code }) => code)).toEqual(['signals_stopped']);
  });

  it('a repeated signal is accepted and not acted on again', async () => {
    const sent = await set();
    expect([(await push(sent)).status, (await push(sent)).status]).toEqual([202, 202]);
    expect(signals.map(({ outcome }) => outcome)).toEqual(['revoked', 'repeated']);
  });

  it.each(['/parsed', '/bytes'])('a body that a parser has read is used: %s', async (path) => {
    expect((await push(await set(), path)).status).toBe(202);
  });

  it.each(['/form', '/drained'])(
    'a body that another middleware has read is asked for again, and that is reported: %s',
    async (path) => {
      const sent = await set();
      const { status, headers, text } = await push(sent, path);
      expect([status, headers['retry-after'], text]).toEqual([503, '5', '']);
      expect(problems).toEqual([
        { code: 'signal_failed', message: expect.stringMatching(/another middleware has read the body/) },
      ]);
      expect((await push(sent)).status).toBe(202);
      expect(signals.map(({ outcome }) => outcome)).toEqual(['failed', 'revoked']);
    },
  );

  it('an empty body is refused, whether or not a parser has read it', async () => {
    const refused = await Promise.all(['/signals', '/parsed', '/drained'].map((path) => push('', path)));
    expect(refused.map(({ status }) => status)).toEqual([400, 400, 400]);
  });

  it('RS256 is accepted', async () => {
    expect(
      (await push(await set({ header: { alg: 'RS256', kid: 'rs' }, signer: signingKeys.rs }))).status,
    ).toBe(202);
  });

  it.each(malformedSets)('is refused: %s', async (_title, make, err) => {
    const refused = await push(await make(set));
    expect([refused.status, refused.body]).toEqual([400, { err, description: expect.any(String) }]);
    expect(signals).toEqual([{ transmitter: iss(), types: [], outcome: 'refused', error: err }]);
  });

  it.each([undefined, 'Bearer another', `${authorizationHeader}x`])(
    'another Authorization header is answered 401: %s',
    async (given) => {
      const token = await accessToken({});
      const sent = post(pki, api, '/signals').set('content-type', 'application/secevent+jwt');
      const refused = await (given === undefined ? sent : sent.set('authorization', given)).send(
        await set({ claims: { sub_id: opaque('user-1') } }),
      );
      expect([refused.status, refused.body.err]).toEqual([401, 'authentication_failed']);
      expect(refused.text).not.toContain('31415');
      expect(await status(token)).toBe(200);
    },
  );

  it('another content type is refused', async () => {
    const refused = await push(await set()).set('content-type', 'application/jwt');
    expect([refused.status, refused.body.err]).toEqual([400, 'invalid_request']);
  });

  it.each<[string, string, string, number]>([
    ['/signals', 'content-encoding', 'gzip', 400],
    ['/signals', 'content-encoding', 'identity', 202],
    ['/signals', 'content-type', 'application/secevent+jwt; charset=utf-16', 400],
    ['/signals', 'content-type', 'application/secevent+jwt; charset="utf-8"', 202],
    ['/bytes', 'content-type', 'application/secevent+jwt;charset=utf-16', 400],
  ])('at %s, %s: %s is answered %i', async (path, name, value, expected) => {
    const token = await accessToken({});
    expect(await status(token)).toBe(200);
    const answered = await push(await set({ claims: { sub_id: opaque('user-1') } }), path).set(name, value);
    expect([answered.status, answered.body.err]).toEqual([
      expected,
      expected === 400 ? 'invalid_request' : undefined,
    ]);
    expect(await status(token)).toBe(expected === 400 ? 200 : 401);
  });

  it('keys that can not be fetched are answered 503, and the next attempt is acted on', async () => {
    transmitter.introspection = answer(500, '');
    const sent = await set();
    expect((await push(sent)).status).toBe(503);
    expect(signals.map(({ outcome }) => outcome)).toEqual(['failed']);
    transmitter.introspection = jwks;
    expect((await push(sent)).status).toBe(202);
  });
});

it('a revocation that is not certain is answered 503, and the next attempt is acted on', async () => {
  const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const failure = new Error('no log at redis://api:secret-31415@redis');
  const revoke = vi.fn().mockRejectedValueOnce(failure).mockResolvedValue(undefined);
  const receiver = createSignalReceiver(
    { issuers: [transmitter.issuer], revoke },
    { transmitter: transmitter.issuer, audience, http: { ca: pki.ca.cert } },
  );
  const sent = await set();
  const req = { method: 'POST', headers: { 'content-type': 'application/secevent+jwt' }, rawHeaders: [] };
  expect((await receiver.acceptPush(req as never, sent)).status).toBe(503);
  expect((await receiver.acceptPush(req as never, sent)).status).toBe(202);
  expect(revoke).toHaveBeenCalledTimes(2);
  // Of the error that it gets, the problem tells the name alone.
  const told = warnings.mock.calls.map(String).join();
  expect(told).toContain('must be sent again: internal_error: Error was thrown');
  expect(told).not.toContain('secret-31415');
  warnings.mockRestore();
  receiver.close();
});

it.each<[string, object, string | RegExp]>([
  ['no transmitter', { audience }, mismatch('sharedSignals().transmitter', 'nothing')],
  [
    'an unknown option',
    { audience, transmitter: 'https://t.example', a: 1 },
    /: expected no options but .*, got a name of 1 characters$/,
  ],
  [
    'a short secret',
    { audience, transmitter: 'https://t.example', authorizationHeader: 'short' },
    'a value of type string',
  ],
  [
    'several issuers',
    { audience, transmitter: 'https://t.example' },
    mismatch('sharedSignals().issuer', 'nothing'),
  ],
])('is refused at start-up: %s', (_title, options, message) => {
  const server = { issuers: ['https://a.example', 'https://b.example'], revoke: async () => undefined };
  expect(() => createSignalReceiver(server, options as never)).toThrow(message);
});
