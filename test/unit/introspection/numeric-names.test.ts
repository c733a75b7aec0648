// `jti` and `sid` are strings (RFC 7519 §4.1.7). A number would escape a revocation of the same text, so it makes the token malformed.
import { createResourceServer, readTokenClaims, type TokenClaims } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { expect, it } from 'vitest';
import { boundClaims, outcomeOf, pretendServer, requestWith } from '../../support/pretend-server.js';

const kit = await createTestKit();

const cases: [string, object, string][] = [
  ['jti 5', { jti: 5 }, 'token_claims_malformed'],
  ['sid 5', { sid: 5 }, 'token_claims_malformed'],
  ['jti in a list', { jti: ['5'] }, 'token_claims_malformed'],
  ['jti "5"', { jti: '5', sid: '5' }, 'admitted'],
  ['jti null', { jti: null, sid: null }, 'admitted'],
];

it.each(cases)('an introspection answer with %s', async (_title, changes, expected) => {
  const { issuer, fetch } = pretendServer(() => Response.json(boundClaims(kit.certificate, { ...changes })));
  const server = createResourceServer({
    issuer,
    clientId: 'api',
    clientSecret: 'secret',
    audience: kit.options.audience,
    certificate: () => kit.certificate,
    http: { fetch },
  });
  expect(await outcomeOf(() => server.authorize(requestWith('token')))).toBe(expected);
});

it.each(cases)('a token source of its own with %s', async (_title, changes, expected) => {
  const { issuer } = pretendServer(() => new Response());
  const good = boundClaims(kit.certificate) as Record<string, unknown>;
  const server = createResourceServer({
    issuer,
    audience: kit.options.audience,
    certificate: () => kit.certificate,
    tokens: () => async () => ({
      ...(readTokenClaims(good, issuer) as TokenClaims),
      claims: { ...good, ...changes },
    }),
  });
  expect(await outcomeOf(() => server.authorize(requestWith('token')))).toBe(expected);
});
