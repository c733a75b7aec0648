import {
  type IssuerOptions,
  type IssuerSelection,
  issuerByHeader,
  issuerByHost,
  issuerByPath,
  jwtAccessTokens,
  type RefusedEvent,
} from '@mtls-bound/core';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import {
  audience,
  jwtAudience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import {
  answer,
  type FaultyServer,
  goodClaims,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { generateP256 } from '../../support/key-pairs.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { expectRefusal } from '../../support/refusals.js';

let pki: Pki;
let red: TestAuthorizationServer;
let blue: TestAuthorizationServer;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  [red, blue] = await Promise.all([startAuthorizationServer(pki), startAuthorizationServer(pki)]);
});
afterAll(() => Promise.all([red?.stop(), blue?.stop()]));

const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const invalidToken = { status: 401, error: 'invalid_token' };
const introspected = ({ issuer, secrets }: TestAuthorizationServer): IssuerOptions => ({
  issuer,
  clientId: 'api',
  clientSecret: secrets.api,
});
const byJwt = ({ issuer }: { issuer: string }): IssuerOptions => ({
  issuer,
  audience: jwtAudience,
  tokens: jwtAccessTokens(),
});

interface Sent {
  readonly token: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
}

describe.each(frameworks)('%s', (framework) => {
  /** The answers, and how many introspections each of the two servers made for them. */
  async function answersTo(
    requests: readonly Sent[],
    issuers: readonly IssuerOptions[],
    selectIssuer?: IssuerSelection,
  ) {
    const shared = { audience, http: { ca: pki.ca.cert, timeout: 1 }, cache: { rejectionMaxAge: 0 } };
    const api = await startApi(framework, pki, {
      ...shared,
      issuers,
      ...(selectIssuer !== undefined && { selectIssuer }),
    });
    const before = [red.introspections(), blue.introspections()] as const;
    try {
      const responses = [];
      for (const { token, path = '/', headers = {} } of requests) {
        responses.push(await call(pki, api, path, pki.alice).set(headers).auth(token, { type: 'bearer' }));
      }
      const asked = [red.introspections() - before[0], blue.introspections() - before[1]];
      return { responses, statuses: responses.map(({ status }) => status), asked };
    } finally {
      await api.close();
    }
  }

  const tokenOf = (server: TestAuthorizationServer, resource = audience) =>
    server.token({ ...testClients(pki).alice, resource });

  describe.each<[string, () => IssuerSelection, (tenant: string) => Partial<Sent>]>([
    [
      'issuerByHeader()',
      () => issuerByHeader('X-Tenant', { Red: red.issuer, blue: blue.issuer }),
      (tenant) => ({ headers: { 'x-tenant': tenant } }),
    ],
    [
      'issuerByHost()',
      () => issuerByHost({ LocalHost: red.issuer, 'api.example.com': blue.issuer }),
      (tenant) => ({ headers: { host: tenant === 'red' ? 'localhost:8443' : 'api.example.com' } }),
    ],
    [
      'issuerByPath()',
      () =>
        issuerByPath({ '/red/': red.issuer, '/blue': blue.issuer, '/': red.issuer, '/red/x': blue.issuer }),
      (tenant) => ({ path: `/${tenant}/accounts?x=/other` }),
    ],
    [
      'a function',
      () => (req) => (req.headers['x-tenant'] === 'red' ? red.issuer : blue.issuer),
      (tenant) => ({ headers: { 'x-tenant': tenant } }),
    ],
  ])('opaque tokens by %s', (_title, select, at) => {
    it('each goes to its own server alone; one sent to the other is refused and shown to no third', async () => {
      const [ofRed, ofBlue] = await Promise.all([tokenOf(red), tokenOf(blue)]);
      const both = [introspected(red), introspected(blue)];
      const { responses, statuses, asked } = await answersTo(
        [
          { token: ofRed, ...at('red') },
          { token: ofBlue, ...at('blue') },
          { token: ofRed, ...at('red') },
          // The answer of one server says nothing at the other, cached as it is.
          { token: ofRed, ...at('blue') },
        ],
        both,
        select(),
      );
      expect(statuses).toEqual([200, 200, 200, 401]);
      expect(asked).toEqual([1, 2]);
      expect(responses.map(({ body }) => body.issuer).slice(0, 2)).toEqual([red.issuer, blue.issuer]);
    });
  });

  it('with one issuer every token is shown to it, also one of another issuer', async () => {
    const ofBlue = await tokenOf(blue);
    const { statuses, asked } = await answersTo([{ token: ofBlue }], [introspected(red)]);
    expect([statuses, asked]).toEqual([[401], [1, 0]]);
    expect(red.introspections(ofBlue)).toBe(1);
  });

  it.each<[string, () => IssuerSelection | undefined, Partial<Sent>]>([
    ['no selector', () => undefined, {}],
    [
      'a header with another value',
      () => issuerByHeader('x-tenant', { red: red.issuer }),
      { headers: { 'x-tenant': 'green' } },
    ],
    [
      'a header that is repeated',
      () => issuerByHeader('x-tenant', { red: red.issuer }),
      { headers: { 'x-tenant': 'red, red' } },
    ],
    ['no header', () => issuerByHeader('x-tenant', { red: red.issuer }), {}],
    ['another host', () => issuerByHost({ 'red.example': red.issuer }), {}],
    ['a path that only begins alike', () => issuerByPath({ '/red': red.issuer }), { path: '/redder' }],
    ['a function that names none', () => () => undefined, {}],
  ])('a token that names no issuer, and %s: 401, and no server is asked', async (_title, select, sent) => {
    const token = await tokenOf(red);
    const { responses, asked } = await answersTo(
      [{ token, ...sent }],
      [introspected(red), introspected(blue)],
      select(),
    );
    await expectRefusal(responses[0] as never, invalidToken);
    expect(asked).toEqual([0, 0]);
    expect(refused.at(-1)?.refusal.message).toBe(
      'token_wrong_issuer: the token names no issuer, and the option selectIssuer named none',
    );
  });

  it.each(['/RED/accounts', '/%72ed/accounts', '/red/%zz', '/%E0%A4%A/red'])(
    'issuerByPath() refuses %s, which can be read in more than one way: 401, no server is asked',
    async (path) => {
      const { responses, asked } = await answersTo(
        [{ token: await tokenOf(red), path }],
        [introspected(red), introspected(blue)],
        issuerByPath({ '/red': red.issuer }),
      );
      await expectRefusal(responses[0] as never, invalidToken);
      expect(asked).toEqual([0, 0]);
      expect(refused.at(-1)?.refusal.detail).toMatch(/^selectIssuer can name no issuer: the path /);
    },
  );

  it('one issuer in the list: what selectIssuer does not name is refused, and the server is not asked', async () => {
    const [ofRed, jwt] = await Promise.all([tokenOf(red), tokenOf(red, jwtAudience)]);
    const select = issuerByHeader('x-tenant', { red: red.issuer });
    for (const [token, issuers] of [
      [ofRed, [introspected(red)]],
      [jwt, [byJwt(red)]],
    ] as const) {
      const { statuses, asked } = await answersTo(
        [{ token }, { token, headers: { 'x-tenant': 'green' } }, { token, headers: { 'x-tenant': 'red' } }],
        issuers,
        select,
      );
      expect(statuses).toEqual([401, 401, 200]);
      expect(asked[0]).toBe(issuers[0].tokens === undefined ? 1 : 0);
    }
  });

  it("a token of one issuer that is for another issuer's audience is refused", async () => {
    const requests = [
      { token: await tokenOf(red), headers: { 'x-tenant': 'red' } },
      { token: await tokenOf(blue), headers: { 'x-tenant': 'blue' } },
    ];
    const { statuses } = await answersTo(
      requests,
      [introspected(red), { ...introspected(blue), audience: 'https://other.example.com' }],
      issuerByHeader('x-tenant', { red: red.issuer, blue: blue.issuer }),
    );
    expect(statuses).toEqual([200, 401]);
  });

  it('a selector that names an unknown issuer is our own trouble: 503', async () => {
    const both = [introspected(red), introspected(blue)];
    const { responses, asked } = await answersTo([{ token: 'x' }], both, () => 'https://green.example');
    await expectRefusal(responses[0] as never, { status: 503, error: 'server_error', retryAfter: null });
    expect(asked).toEqual([0, 0]);
  });

  it('in order: the first that knows the token, and only when asked for', async () => {
    const [ofRed, ofBlue] = await Promise.all([tokenOf(red), tokenOf(blue)]);
    const requests = [{ token: ofRed }, { token: ofBlue }, { token: ofBlue }, { token: 'of-no-issuer' }];
    const both = [introspected(red), introspected(blue)];
    const { responses, statuses, asked } = await answersTo(requests, both, 'in-order');
    expect(statuses).toEqual([200, 200, 200, 401]);
    expect(asked).toEqual([3, 2]);
    expect(responses[1]?.body.issuer).toBe(blue.issuer);
  });

  it('in order, one of them down: a token that another knows passes, any other is 503', async () => {
    const down = { issuer: 'https://127.0.0.1:9', clientId: 'api', clientSecret: 'secret' };
    const requests = [{ token: await tokenOf(blue) }, { token: 'of-no-issuer' }];
    const { statuses } = await answersTo(requests, [down, introspected(blue)], 'in-order');
    expect(statuses).toEqual([200, 503]);
  });

  it('JWTs go to their iss, opaque tokens of the same API where they belong', async () => {
    const requests = [
      { token: await tokenOf(red, jwtAudience), headers: { 'x-tenant': 'red' } },
      { token: await tokenOf(blue), headers: { 'x-tenant': 'blue' } },
    ];
    const { responses, statuses, asked } = await answersTo(
      requests,
      [byJwt(red), introspected(blue)],
      issuerByHeader('x-tenant', { red: red.issuer, blue: blue.issuer }),
    );
    expect(statuses).toEqual([200, 200]);
    expect(asked).toEqual([0, 1]);
    expect(responses.map(({ body }) => body.issuer)).toEqual([red.issuer, blue.issuer]);
  });

  it('a JWT is refused where the selector names another issuer or none, and where its iss is not in the list', async () => {
    const token = await tokenOf(red, jwtAudience);
    const select = issuerByHeader('x-tenant', { red: red.issuer, blue: blue.issuer });
    const crossed = await answersTo(
      [{ token, headers: { 'x-tenant': 'blue' } }],
      [byJwt(red), introspected(blue)],
      select,
    );
    await expectRefusal(crossed.responses[0] as never, invalidToken);
    expect(refused.at(-1)?.refusal.detail).toBe(`selectIssuer named ${blue.issuer}, the token's iss another`);
    const unnamed = await answersTo([{ token }], [byJwt(red), introspected(blue)], select);
    await expectRefusal(unnamed.responses[0] as never, invalidToken);
    expect(refused.at(-1)?.refusal.detail).toBe(
      'the option selectIssuer named none, for a token that names its issuer',
    );
    for (const order of [undefined, 'in-order'] as const) {
      const foreign = await answersTo(
        [{ token }],
        [introspected(blue), { ...introspected(blue), issuer: 'https://127.0.0.1:9' }],
        order,
      );
      await expectRefusal(foreign.responses[0] as never, invalidToken);
      expect(foreign.asked).toEqual([0, 0]);
      expect(refused.at(-1)?.refusal.detail).toBe("the token's iss is not among issuers");
    }
  });
});

describe('R119: issuer and keys belong together', () => {
  const keys = {
    one: generateP256(),
    two: generateP256(),
  };
  let one: FaultyServer;
  let two: FaultyServer;
  beforeAll(async () => {
    [one, two] = await Promise.all([startFaultyServer(pki), startFaultyServer(pki)]);
    for (const [server, { publicKey }] of [[one, keys.one] as const, [two, keys.two] as const]) {
      server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });
      server.introspection = answer(200, { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'same' }] });
    }
  });
  afterAll(() => Promise.all([one?.close(), two?.close()]));

  it.each([
    ['one', 'one', 200],
    ['two', 'two', 200],
    ['one', 'two', 401],
    ['two', 'one', 401],
  ] as const)('iss of %s, signed by a key of %s', async (name, signer, status) => {
    const { active, token_type, ...claims } = goodClaims({ one, two }[name].issuer, pki.alice.thumbprint);
    const token = await new SignJWT({ ...claims, jti: '1' })
      .setProtectedHeader({ alg: 'ES256', kid: 'same', typ: 'at+jwt' })
      .sign(keys[signer].privateKey);
    const api = await startApi('Koa', pki, {
      audience,
      tokens: jwtAccessTokens(),
      http: { ca: pki.ca.cert },
      issuers: [{ issuer: one.issuer }, { issuer: two.issuer }],
    });
    try {
      expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(status);
    } finally {
      await api.close();
    }
  });
});
