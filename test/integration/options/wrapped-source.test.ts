// A token source of the user's own that wraps one of ours and returns a copy of its claims: each member must be in the copy, for
// what a member says is checked on each request.
import {
  introspection,
  jwtAccessTokens,
  readTokenClaims,
  type TokenClaims,
  type TokenSource,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import supertest from 'supertest';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { parseTokenAnswer } from '../../../packages/core/src/token/token-claims.js';
import { createApi, frameworks } from '../../support/apis.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';
let kit: TestKit;
let keys: Awaited<ReturnType<typeof generateKeyPair>>;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  [kit, keys] = await Promise.all([createTestKit(), generateKeyPair('ES256')]);
});

const copies: [string, (claims: TokenClaims) => TokenClaims][] = [
  ['a spread', (claims) => ({ ...claims })],
  ['Object.assign()', (claims) => Object.assign({}, claims)],
  ['structuredClone()', (claims) => structuredClone(claims)],
];

const said = {
  sub: 'alice',
  client_id: 'client',
  scope: 'a b',
  aud: 'https://api.example.com',
  token_type: 'Bearer',
  exp: 1_900_000_000,
  nbf: 1_700_000_000.5,
  iat: 1_700_000_000,
  cnf: { 'x5t#S256': 'thumbprint' },
};

describe.each(copies)('%s', (_title, copy) => {
  it('has each member of what readTokenClaims() returned', () => {
    expect(copy(readTokenClaims({ ...said }, issuer) as TokenClaims)).toStrictEqual({
      subject: 'alice',
      clientId: 'client',
      scopes: ['a', 'b'],
      issuer,
      audience: ['https://api.example.com'],
      tokenType: 'Bearer',
      expiresAt: 1_900_000_000,
      notBefore: 1_700_000_000.5,
      issuedAt: 1_700_000_000,
      confirmation: { 'x5t#S256': 'thumbprint' },
      claims: said,
    });
  });

  it('is an answer of a token source, with the same members', () => {
    const claims = readTokenClaims({ ...said }, issuer) as TokenClaims;
    expect({ ...(parseTokenAnswer(copy(claims)) as TokenClaims) }).toStrictEqual({ ...claims });
  });
});

it.each([
  ['subject', 'sub'],
  ['clientId', 'client_id'],
  ['audience', 'aud'],
  ['tokenType', 'token_type'],
  ['expiresAt', 'exp'],
  ['notBefore', 'nbf'],
  ['issuedAt', 'iat'],
  ['confirmation', 'cnf'],
])('an answer without the member %s, where the claims have %s, is refused', (member, claim) => {
  const answer = readTokenClaims({ ...said }, issuer) as TokenClaims;
  const { [claim]: _, ...silent } = said as Record<string, unknown>;
  expect(() => parseTokenAnswer({ ...answer, [member]: undefined })).toThrow(
    `the token source returned TokenClaims without the member for the claim ${claim}`,
  );
  expect(parseTokenAnswer({ ...answer, [member]: undefined, claims: silent })).toMatchObject({
    subject: 'alice',
    [member]: undefined,
  });
});

const now = Math.floor(Date.now() / 1000);
const tokens = ['good', 'expired', 'early', 'bound-to-another-certificate'] as const;
const expected = { good: 200, expired: 401, early: 401, 'bound-to-another-certificate': 401 };
/** What the token of this name says. */
function claimsOf(token: string): Record<string, unknown> {
  const changes: Record<string, object> = {
    good: {},
    expired: { exp: now - 3_600 },
    early: { nbf: now + 3_600 },
    'bound-to-another-certificate': { cnf: { 'x5t#S256': kit.otherCertificate.thumbprint } },
  };
  return boundClaims(kit.certificate, { ...changes[token] }) as Record<string, unknown>;
}

/** Each of our sources, the texts of the tokens, and the pretend server that the source asks. */
const sources: [string, () => TokenSource, (name: string) => Promise<string>, () => Promise<typeof fetch>][] =
  [
    [
      'introspection()',
      () => introspection(),
      async (name) => name,
      async () => pretendServer(claimsOf).fetch,
    ],
    [
      'jwtAccessTokens()',
      () => jwtAccessTokens(),
      async (name) =>
        new SignJWT({ ...claimsOf(name), iss: issuer, jti: name })
          .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt' })
          .sign(keys.privateKey),
      async () => {
        const jwk = { ...(await exportJWK(keys.publicKey)), alg: 'ES256' };
        return async (url) =>
          Response.json(
            String(url).includes('/.well-known/')
              ? { issuer, jwks_uri: `${issuer}/jwks`, tls_client_certificate_bound_access_tokens: true }
              : { keys: [jwk] },
          );
      },
    ],
  ];

describe.each(frameworks)('%s', (framework) => {
  describe.each(sources)('over %s', (_source, source, textOf, pretend) => {
    it.each(copies)('a source that returns %s refuses what it would refuse itself', async (_title, copy) => {
      const copying: TokenSource = (server) => {
        const read = source()(server);
        return async (token) => {
          const answer = await read(token);
          return typeof answer === 'string' ? answer : copy(answer);
        };
      };
      const options = optionsOver({ issuer, fetch: await pretend(), asked: [] }, kit.certificate, {
        tokens: copying,
        binding: 'when-bound',
      });
      const { listener } = createApi(framework, options);
      const statuses: Record<string, number> = {};
      for (const name of tokens) {
        const token = await textOf(name);
        statuses[name] = (await supertest(listener).get('/').auth(token, { type: 'bearer' })).status;
      }
      expect(statuses).toEqual(expected);
    });
  });
});
