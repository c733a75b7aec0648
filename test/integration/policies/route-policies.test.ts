import { createServer } from 'node:https';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks, type Listener, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, type FaultyServer, goodClaims, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';
import { type ExpectedRefusal, expectRefusal } from '../../support/refusals.js';

type Library = typeof expressMtls | typeof koaMtls;
type Guard = (library: Library) => unknown;

let pki: Pki;
let server: FaultyServer;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  server = await startFaultyServer(pki);
});
afterAll(() => server?.close());

const options = (more: expressMtls.ResourceServerOptions = {}): expressMtls.ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: 'secret',
  audience,
  http: { ca: pki.ca.cert },
  ...more,
});

/** An API whose one route has these guards behind `mtlsBound()`, in turn. */
async function start(
  framework: (typeof frameworks)[number],
  guards: readonly Guard[],
  more: expressMtls.ResourceServerOptions = {},
): Promise<TestApi> {
  let handled = 0;
  let listener: Listener;
  if (framework === 'Express') {
    const app = express();
    app.use(expressMtls.mtlsBound(options(more)));
    for (const guard of guards) {
      app.use(guard(expressMtls) as express.RequestHandler);
    }
    app.use((req, res) => {
      handled += 1;
      res.json({ ...req.auth });
    });
    listener = app as Listener;
  } else {
    const app = new Koa();
    app.use(koaMtls.mtlsBound(options(more)));
    for (const guard of guards) {
      app.use(guard(koaMtls) as Koa.Middleware);
    }
    app.use((ctx) => {
      handled += 1;
      ctx.body = { ...ctx.state.auth };
    });
    listener = app.callback() as Listener;
  }
  return serve(createServer(mutualTls(pki), listener), () => handled);
}

const now = () => Math.floor(Date.now() / 1000);
const passes = 'passes';
const noScope = (scope: string): ExpectedRefusal => ({ status: 403, error: 'insufficient_scope', scope });
const noRight: ExpectedRefusal = { status: 403, error: 'insufficient_scope' };
const stepUp = (more: { acr_values?: string; max_age?: string }) => ({
  status: 401,
  error: 'insufficient_user_authentication',
  parameters: more,
});
const badCertificate: ExpectedRefusal = { status: 403, error: 'access_denied' };

type Outcome = typeof passes | (ExpectedRefusal & { parameters?: Record<string, string> });

const anyOf: Guard = ({ requireAnyScope }) => requireAnyScope('a', 'b');
const strong: Guard = ({ requireAuthentication }) =>
  requireAuthentication({ acrValues: ['urn:loa3', 'urn:loa4'], maxAge: 300 });
const recent: Guard = ({ requireAuthentication }) => requireAuthentication({ maxAge: 300 });
const pay: Guard = ({ requireAuthorizationDetails }) =>
  requireAuthorizationDetails({ type: 'payment', actions: ['initiate', 'status'] });
const detail = (more: object) => ({ authorization_details: [{ type: 'account' }, more] });

const table: [string, Guard, object, Outcome][] = [
  ['requireAnyScope: one of them', anyOf, { scope: 'b c' }, passes],
  ['requireAnyScope: none of them', anyOf, { scope: 'c A' }, noScope('a b')],
  ['requireAnyScope: no scope at all', anyOf, { scope: undefined }, noScope('a b')],
  ['S10: requireScopes: both', ({ requireScopes }) => requireScopes('a', 'b'), { scope: 'b a' }, passes],
  [
    'S10: requireScopes: one of them',
    ({ requireScopes }) => requireScopes('a', 'b'),
    { scope: 'a' },
    noScope('a b'),
  ],
  ['requireClaims: a value', ({ requireClaims }) => requireClaims({ tenant: 'x' }), { tenant: 'x' }, passes],
  [
    'requireClaims: another value',
    ({ requireClaims }) => requireClaims({ tenant: 'x' }),
    { tenant: 'X' },
    noRight,
  ],
  ['requireClaims: a missing claim', ({ requireClaims }) => requireClaims({ tenant: 'x' }), {}, noRight],
  ['requireClaims: one of several', ({ requireClaims }) => requireClaims({ n: [1, 2] }), { n: 2 }, passes],
  ['requireClaims: 1 is not "1"', ({ requireClaims }) => requireClaims({ n: [1, 2] }), { n: '1' }, noRight],
  [
    'requireClaims: a list with it',
    ({ requireClaims }) => requireClaims({ roles: 'x' }),
    { roles: ['a', 'x'] },
    passes,
  ],
  [
    'requireClaims: a list without',
    ({ requireClaims }) => requireClaims({ roles: 'x' }),
    { roles: ['a'] },
    noRight,
  ],
  [
    'requireClaims: two, one fits',
    ({ requireClaims }) => requireClaims({ a: 1, b: 1 }),
    { a: 1, b: 2 },
    noRight,
  ],
  [
    'requireClaims: a function',
    ({ requireClaims }) => requireClaims({ a: (v) => v === 7 }),
    { a: 7 },
    passes,
  ],
  [
    'requireClaims: what is true only in JavaScript',
    ({ requireClaims }) => requireClaims({ a: (() => 'yes') as never }),
    { a: 7 },
    noRight,
  ],
  [
    'requireClaims: a name that every object has',
    ({ requireClaims }) => requireClaims({ constructor: (value: unknown) => value !== undefined }),
    {},
    noRight,
  ],
  [
    'S11 R138 R139: requireAuthentication: strong and recent',
    strong,
    { acr: 'urn:loa4', auth_time: now() - 100 },
    passes,
  ],
  [
    'S11 R138: requireAuthentication: weak',
    strong,
    { acr: 'urn:loa2', auth_time: now() - 100 },
    stepUp({ acr_values: 'urn:loa3 urn:loa4', max_age: '300' }),
  ],
  [
    'S11 R139: requireAuthentication: long ago',
    strong,
    { acr: 'urn:loa3', auth_time: now() - 400 },
    stepUp({ acr_values: 'urn:loa3 urn:loa4', max_age: '300' }),
  ],
  [
    'R139: requireAuthentication: no acr',
    strong,
    { auth_time: now() },
    stepUp({ acr_values: 'urn:loa3 urn:loa4', max_age: '300' }),
  ],
  ['R139: requireAuthentication: no auth_time', recent, { acr: 'x' }, stepUp({ max_age: '300' })],
  [
    'R139: requireAuthentication: auth_time as text',
    recent,
    { auth_time: `${now()}` },
    stepUp({ max_age: '300' }),
  ],
  [
    'requireAuthorizationDetails: all',
    pay,
    detail({ type: 'payment', actions: ['status', 'initiate', 'x'] }),
    passes,
  ],
  ['requireAuthorizationDetails: some', pay, detail({ type: 'payment', actions: ['status'] }), noRight],
  [
    'requireAuthorizationDetails: another type',
    pay,
    detail({ type: 'x', actions: ['status', 'initiate'] }),
    noRight,
  ],
  ['requireAuthorizationDetails: none', pay, {}, noRight],
  ['requireAuthorizationDetails: no list', pay, { authorization_details: { type: 'payment' } }, noRight],
  ['requireAuthorizationDetails: null in the list', pay, { authorization_details: [null, 7] }, noRight],
  [
    'requireAuthorizationDetails: two that would do together',
    pay,
    {
      authorization_details: [
        { type: 'payment', actions: ['status'] },
        { type: 'payment', actions: ['initiate'] },
      ],
    },
    noRight,
  ],
  [
    'requireAuthorizationDetails: by location',
    ({ requireAuthorizationDetails }) =>
      requireAuthorizationDetails({ type: 'payment', locations: [audience] }),
    detail({ type: 'payment', locations: [audience, 'x'] }),
    passes,
  ],
  [
    'requireAuthorizationDetails: elsewhere',
    ({ requireAuthorizationDetails }) =>
      requireAuthorizationDetails({ type: 'payment', locations: [audience] }),
    detail({ type: 'payment', locations: ['x'] }),
    noRight,
  ],
  [
    'requireCertificate: verified',
    ({ requireCertificate }) => requireCertificate({ requireVerified: true }),
    {},
    passes,
  ],
  [
    'S12: requireCertificateSubject: the token names it',
    ({ requireCertificateSubject }) => requireCertificateSubject({ CN: 'client_id', O: () => 'Example' }),
    {},
    passes,
  ],
  [
    'S12: requireCertificateSubject: the token names another',
    ({ requireCertificateSubject }) => requireCertificateSubject({ CN: 'client_id' }),
    { client_id: 'bob' },
    badCertificate,
  ],
  [
    'S12: requirePsd2Role: no eIDAS certificate',
    ({ requirePsd2Role }) => requirePsd2Role('PSP_AI'),
    {},
    badCertificate,
  ],
  [
    'S12: requireCertificate: another issuer',
    ({ requireCertificate }) => requireCertificate({ issuer: 'CN=Other' }),
    {},
    badCertificate,
  ],
  [
    'S12: requireCertificate: 401 by choice',
    ({ requireCertificate }) => requireCertificate({ issuer: 'CN=Other', status: 401 }),
    {},
    { status: 401, error: 'invalid_token' },
  ],
];

describe.each(frameworks)('%s', (framework) => {
  it.each(table)('%s', async (_title, guard, claims, expected) => {
    server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint, claims as never));
    const api = await start(framework, [guard]);
    try {
      const response = await call(pki, api, '/', pki.alice).auth('token', { type: 'bearer' });
      expect(api.handled()).toBe(expected === passes ? 1 : 0);
      if (expected === passes) {
        expect(response.status).toBe(200);
      } else {
        await expectRefusal(response, expected);
      }
      // R140: who holds a token that is not theirs learns of no requirement.
      const stolen = await call(pki, api, '/', pki.bob).auth('token', { type: 'bearer' });
      await expectRefusal(stolen, { status: 401, error: 'invalid_token' });
    } finally {
      await api.close();
    }
  });

  it('R140: guards stand one behind the other, the first that refuses answers', async () => {
    server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint, { scope: 'a' }));
    const api = await start(framework, [
      ({ requireScopes }) => requireScopes('a'),
      ({ requireAuthentication }) => requireAuthentication({ maxAge: 60 }),
      ({ requireScopes }) => requireScopes('b'),
    ]);
    try {
      const response = await call(pki, api, '/', pki.alice).auth('token', { type: 'bearer' });
      await expectRefusal(response, stepUp({ max_age: '60' }));
    } finally {
      await api.close();
    }
  });

  it.each<[string, Guard, string]>([
    ['no scope', ({ requireAnyScope }) => requireAnyScope(), 'requireAnyScope(): no scope was given'],
    ['no claim', ({ requireClaims }) => requireClaims({}), 'requireClaims(): accepted is an object'],
    [
      'a claim of nothing',
      ({ requireClaims }) => requireClaims({ a: undefined as never }),
      'requireClaims(): accepted',
    ],
    [
      'no requirement',
      ({ requireAuthentication }) => requireAuthentication({}),
      'requireAuthentication(): nothing was given',
    ],
    [
      'an acr with a blank',
      ({ requireAuthentication }) => requireAuthentication({ acrValues: ['a b'] }),
      'requireAuthentication().acrValues: a list was given',
    ],
    [
      'half a second',
      ({ requireAuthentication }) => requireAuthentication({ maxAge: 0.5 }),
      'requireAuthentication().maxAge: 0.5 was given',
    ],
    [
      'no type',
      ({ requireAuthorizationDetails }) => requireAuthorizationDetails({} as never),
      'requireAuthorizationDetails().type: nothing was given',
    ],
    [
      'no rule',
      ({ requireCertificate }) => requireCertificate({}),
      'requireCertificate(): nothing was given',
    ],
    [
      'no subject',
      ({ requireCertificateSubject }) => requireCertificateSubject({ planet: 'x' }),
      'requireCertificateSubject(): accepted is an object',
    ],
    [
      'no role',
      ({ requirePsd2Role }) => requirePsd2Role('PSP' as never),
      'requirePsd2Role(): accepted is PSP_AS',
    ],
  ])('%s is refused at start-up', async (_title, guard, message) => {
    await expect(start(framework, [guard])).rejects.toThrow(message);
  });

  describe("credentials: 'optional'", () => {
    it('lets a request without credentials pass, and no other that it would have refused', async () => {
      const good = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
      server.introspection = (req, res, body) => {
        const isGood = new URLSearchParams(body).get('token') === 'token';
        return (isGood ? good : answer(200, { active: false }))(req, res, body);
      };
      const api = await start(framework, [], { credentials: 'optional' });
      try {
        const open = await call(pki, api, '/');
        expect([open.status, open.body]).toEqual([200, {}]);
        const known = await call(pki, api, '/', pki.alice).auth('token', { type: 'bearer' });
        expect([known.status, known.body.clientId]).toEqual([200, 'alice']);
        const stolen = await call(pki, api, '/', pki.bob).auth('token', { type: 'bearer' });
        await expectRefusal(stolen, { status: 401, error: 'invalid_token' });
        // Asked about, then known.
        for (let i = 0; i < 2; i += 1) {
          const inactive = await call(pki, api, '/', pki.alice).auth('inactive', { type: 'bearer' });
          await expectRefusal(inactive, { status: 401, error: 'invalid_token' });
        }
        const malformed = await call(pki, api, '/').set('authorization', 'Bearer a b');
        await expectRefusal(malformed, { status: 400, error: 'invalid_request' });
        const inQuery = await call(pki, api, '/?access_token=x');
        await expectRefusal(inQuery, { status: 400, error: 'invalid_request' });
      } finally {
        await api.close();
      }
    });

    it('a guarded route asks such a request for credentials', async () => {
      const api = await start(framework, [({ requireScopes }) => requireScopes('a')], {
        credentials: 'optional',
      });
      try {
        await expectRefusal(await call(pki, api, '/'), { status: 401 });
        expect(api.handled()).toBe(0);
      } finally {
        await api.close();
      }
    });
  });
});
