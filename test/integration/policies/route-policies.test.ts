import { createServer } from 'node:https';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { describe, expect, it, vi } from 'vitest';
import { frameworks, type Listener, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { type ExpectedRefusal, expectRefusal } from '../../support/refusals.js';
import { useFaultyServer } from '../../support/suites.js';

type Library = typeof expressMtls | typeof koaMtls;
type Guard = (library: Library) => unknown;

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();

const options = (more: expressMtls.ResourceServerOptions = {}): expressMtls.ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: 'secret',
  audience,
  http: { ca: pki.ca.cert },
  ...more,
});

/** An API whose one route is behind `mtlsBound()` and these guards. */
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
  ['requireAnyScope() accepts a token with one of the scopes', anyOf, { scope: 'b c' }, passes],
  ['requireAnyScope() refuses a token with none of the scopes', anyOf, { scope: 'c A' }, noScope('a b')],
  [
    'requireScopes() accepts a token with both scopes',
    ({ requireScopes }) => requireScopes('a', 'b'),
    { scope: 'b a' },
    passes,
  ],
  [
    'S10: requireScopes() refuses a token with one of two scopes',
    ({ requireScopes }) => requireScopes('a', 'b'),
    { scope: 'a' },
    noScope('a b'),
  ],
  [
    'requireClaims() accepts the required value',
    ({ requireClaims }) => requireClaims({ tenant: 'x' }),
    { tenant: 'x' },
    passes,
  ],
  [
    'requireClaims() refuses another value',
    ({ requireClaims }) => requireClaims({ tenant: 'x' }),
    { tenant: 'X' },
    noRight,
  ],
  [
    'S11 R138 R139: requireAuthentication() accepts a strong and recent login',
    strong,
    { acr: 'urn:loa4', auth_time: now() - 100 },
    passes,
  ],
  [
    'S11 R138: requireAuthentication() refuses a weak login',
    strong,
    { acr: 'urn:loa2', auth_time: now() - 100 },
    stepUp({ acr_values: 'urn:loa3 urn:loa4', max_age: '300' }),
  ],
  [
    'S11 R139: requireAuthentication() refuses a login of long ago',
    strong,
    { acr: 'urn:loa3', auth_time: now() - 400 },
    stepUp({ acr_values: 'urn:loa3 urn:loa4', max_age: '300' }),
  ],
  [
    'R139: requireAuthentication() refuses a token without acr',
    strong,
    { auth_time: now() },
    stepUp({ acr_values: 'urn:loa3 urn:loa4', max_age: '300' }),
  ],
  [
    'R139: requireAuthentication() refuses a token without auth_time',
    recent,
    { acr: 'x' },
    stepUp({ max_age: '300' }),
  ],
  [
    'requireAuthorizationDetails() accepts a detail with each action',
    pay,
    detail({ type: 'payment', actions: ['status', 'initiate', 'x'] }),
    passes,
  ],
  [
    'requireAuthorizationDetails() refuses a detail with one action of two',
    pay,
    detail({ type: 'payment', actions: ['status'] }),
    noRight,
  ],
  [
    'requireCertificate() accepts a verified certificate',
    ({ requireCertificate }) => requireCertificate({ requireVerified: true }),
    {},
    passes,
  ],
  [
    'S12: requireCertificate() refuses another issuer with 403',
    ({ requireCertificate }) => requireCertificate({ issuer: 'CN=Other' }),
    {},
    badCertificate,
  ],
  [
    'S12: requireCertificate() refuses another issuer with 401 if told to',
    ({ requireCertificate }) => requireCertificate({ issuer: 'CN=Other', refusalStatus: 401 }),
    {},
    { status: 401, error: 'invalid_token' },
  ],
  [
    'requireCertificateSubject() accepts the subject that the token names',
    ({ requireCertificateSubject }) => requireCertificateSubject({ CN: 'client_id', O: () => 'Example' }),
    {},
    passes,
  ],
  [
    'S12: requireCertificateSubject() refuses another subject',
    ({ requireCertificateSubject }) => requireCertificateSubject({ CN: 'client_id' }),
    { client_id: 'bob' },
    badCertificate,
  ],
  [
    'S12: requirePsd2Role() refuses a certificate that is not of eIDAS',
    ({ requirePsd2Role }) => requirePsd2Role('PSP_AI'),
    {},
    badCertificate,
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
      // R140: a client with a stolen token does not learn the requirement.
      const stolen = await call(pki, api, '/', pki.bob).auth('token', { type: 'bearer' });
      await expectRefusal(stolen, { status: 401, error: 'invalid_token' });
    } finally {
      await api.close();
    }
  });

  it('R140: the first guard that refuses answers', async () => {
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

  it.each<[string, Guard]>([
    ['requireAnyScope()', ({ requireAnyScope }) => requireAnyScope()],
    ['requireClaims()', ({ requireClaims }) => requireClaims({})],
    ['requireAuthentication()', ({ requireAuthentication }) => requireAuthentication({})],
    [
      'requireAuthorizationDetails()',
      ({ requireAuthorizationDetails }) => requireAuthorizationDetails({} as never),
    ],
    ['requireCertificate()', ({ requireCertificate }) => requireCertificate({})],
    ['requireCertificateSubject()', ({ requireCertificateSubject }) => requireCertificateSubject({})],
    ['requirePsd2Role()', ({ requirePsd2Role }) => requirePsd2Role('PSP' as never)],
  ])('%s names itself when it is refused at start-up', async (name, guard) => {
    await expect(start(framework, [guard])).rejects.toThrow(name);
  });

  describe("credentials: 'optional'", () => {
    it('a request without credentials is accepted, and every other one is treated as without the option', async () => {
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
        // The first answer comes from the server, the second from the cache.
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

    it('a guarded route asks a request without credentials for them', async () => {
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
