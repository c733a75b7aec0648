// With several issuers each token is judged by the rules of its own: audience, algorithms, client, keys.
import { generateKeyPairSync } from 'node:crypto';
import { createResourceServer, type IssuerOptions, jwtAccessTokens } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { SignJWT } from 'jose';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { generateP256 } from '../../support/key-pairs.js';
import { boundClaims, outcomeOf, requestWith } from '../../support/pretend-server.js';

const red = 'https://red.example.com';
const blue = 'https://blue.example.com';
const redApi = 'https://api.red.example.com';
const blueApi = 'https://api.blue.example.com';
let kit: TestKit;
/** Each request to an authorization server: its address, and whom it came from. */
let sent: { url: string; from: string; token: string | null }[];
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});
beforeEach(() => {
  sent = [];
});

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateP256();
const keys = [
  { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'rsa' },
  { ...ec.publicKey.export({ format: 'jwk' }), kid: 'ec' },
];

/** Both authorization servers; `claims` is what either says of a token. */
function resourceServer(issuers: readonly IssuerOptions[], claims: (issuer: string) => object = () => ({})) {
  const fetch = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const { origin, pathname } = new URL(url);
    if (pathname.startsWith('/.well-known/')) {
      return Response.json({
        issuer: origin,
        introspection_endpoint: `${origin}/introspect`,
        jwks_uri: `${origin}/jwks`,
        tls_client_certificate_bound_access_tokens: true,
      });
    }
    if (pathname === '/jwks') {
      return Response.json({ keys });
    }
    const from = Buffer.from(
      new Headers(init.headers).get('authorization')?.slice(6) ?? '',
      'base64',
    ).toString();
    sent.push({ url, from, token: new URLSearchParams(String(init.body)).get('token') });
    return Response.json(claims(origin));
  };
  const server = createResourceServer({
    issuers,
    selectIssuer: (req) => String(req.headers['x-issuer']),
    certificate: () => kit.certificate,
    http: { fetch: fetch as typeof globalThis.fetch },
    floodGuard: false,
    cache: { rejectionMaxAge: 0 },
  });
  return (token: string, issuer: string) =>
    outcomeOf(() => server.authorize(requestWith(token, { 'x-issuer': issuer })));
}

const now = () => Math.floor(Date.now() / 1000);
const jwt = (iss: string, aud: string, alg = 'ES256') =>
  new SignJWT({
    iss,
    aud,
    sub: 'user-1',
    client_id: 'alice',
    jti: `${Math.random()}`,
    iat: now(),
    exp: now() + 300,
    cnf: { 'x5t#S256': kit.certificate.thumbprint },
  })
    .setProtectedHeader({ alg, typ: 'at+jwt', kid: alg === 'ES256' ? 'ec' : 'rsa' })
    .sign(alg === 'ES256' ? ec.privateKey : rsa.privateKey);

describe('the audience', () => {
  const introspected: IssuerOptions[] = [
    { issuer: red, audience: redApi, clientId: 'api', clientSecret: 'a-client-secret' },
    { issuer: blue, audience: blueApi, clientId: 'api', clientSecret: 'a-client-secret' },
  ];
  const byJwt: IssuerOptions[] = [
    { issuer: red, audience: redApi, tokens: jwtAccessTokens() },
    { issuer: blue, audience: blueApi, tokens: jwtAccessTokens() },
  ];
  const cases: [string, string, string][] = [
    [red, redApi, 'admitted'],
    [blue, blueApi, 'admitted'],
    [red, blueApi, 'refused'],
    [blue, redApi, 'refused'],
  ];

  it.each(cases)(
    'introspected: a token of %s for %s is %s, asked about and known',
    async (issuer, aud, expected) => {
      const decide = resourceServer(introspected, () => boundClaims(kit.certificate, { aud }));
      for (let i = 0; i < 2; i += 1) {
        expect(await decide('opaque', issuer)).toBe(
          expected === 'admitted' ? 'admitted' : 'token_wrong_audience',
        );
      }
    },
  );

  it.each(cases)('JWT: a token of %s for %s is %s', async (issuer, aud, expected) => {
    const outcome = await resourceServer(byJwt)(await jwt(issuer, aud), issuer);
    expect(outcome === 'admitted').toBe(expected === 'admitted');
  });

  it('that one server enforces is not enforced by that for the other', async () => {
    const mixed = [{ ...introspected[0], audience: 'server-enforced' }, introspected[1]] as IssuerOptions[];
    for (const issuers of [mixed, mixed.toReversed()]) {
      const decide = resourceServer(issuers, () =>
        boundClaims(kit.certificate, { aud: 'https://other.example.com', token_type: 'Bearer' }),
      );
      expect(await decide('opaque', red)).toBe('admitted');
      expect(await decide('opaque', blue)).toBe('token_wrong_audience');
    }
  });
});

it('the algorithms are those of the issuer of the token', async () => {
  const decide = resourceServer([
    { issuer: red, audience: redApi, tokens: jwtAccessTokens({ algorithms: ['RS256'] }) },
    { issuer: blue, audience: blueApi, tokens: jwtAccessTokens({ algorithms: ['ES256'] }) },
  ]);
  const outcomes = [];
  for (const alg of ['RS256', 'ES256']) {
    outcomes.push(
      await decide(await jwt(red, redApi, alg), red),
      await decide(await jwt(blue, blueApi, alg), blue),
    );
  }
  const refused = 'jwt_algorithm_not_accepted';
  expect(outcomes).toEqual(['admitted', refused, refused, 'admitted']);
});

it('the iss that an introspection answer names must be that of the server that was asked', async () => {
  const issuers = [red, blue].map((issuer) => ({
    issuer,
    audience: redApi,
    clientId: 'api',
    clientSecret: 'a-client-secret',
  }));
  for (const [iss, outcomes] of [
    [red, ['admitted', 'token_wrong_issuer']],
    [blue, ['token_wrong_issuer', 'admitted']],
    ['https://third.example.com', ['token_wrong_issuer', 'token_wrong_issuer']],
  ] as const) {
    const decide = resourceServer(issuers, () => boundClaims(kit.certificate, { aud: redApi, iss }));
    expect([await decide('opaque', red), await decide('opaque', blue)]).toEqual(outcomes);
  }
});

it('a token and our credentials go to the server that it is meant for, and to no other', async () => {
  const decide = resourceServer(
    [
      { issuer: red, audience: redApi, clientId: 'red-api', clientSecret: 'red-client-secret' },
      { issuer: blue, audience: blueApi, clientId: 'blue-api', clientSecret: 'blue-client-secret' },
    ],
    () => ({ active: false }),
  );
  const [ofRed, ofBlue] = [await jwt(red, redApi), await jwt(blue, blueApi)];
  const requests: [string, string][] = [
    ['opaque-1', red],
    ['opaque-2', blue],
    [ofRed, red],
    [ofBlue, blue],
    // Its iss is not what the selector says: it is for none of the issuers here.
    [ofRed, blue],
    [ofBlue, red],
    [await jwt('https://third.example.com', redApi), red],
  ];
  const outcomes = [];
  for (const [token, issuer] of requests) {
    outcomes.push(await decide(token, issuer));
  }
  expect(outcomes).toEqual([...Array(4).fill('token_inactive'), ...Array(3).fill('token_wrong_issuer')]);
  expect(sent).toEqual([
    { url: `${red}/introspect`, from: 'red-api:red-client-secret'.replaceAll('-', '%2D'), token: 'opaque-1' },
    {
      url: `${blue}/introspect`,
      from: 'blue-api:blue-client-secret'.replaceAll('-', '%2D'),
      token: 'opaque-2',
    },
    { url: `${red}/introspect`, from: 'red-api:red-client-secret'.replaceAll('-', '%2D'), token: ofRed },
    { url: `${blue}/introspect`, from: 'blue-api:blue-client-secret'.replaceAll('-', '%2D'), token: ofBlue },
  ]);
});
