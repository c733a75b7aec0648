// A token whose claims nest up to 64 levels deep is accepted, alone and with a shared cache. Deeper ones make it malformed.
import { createResourceServer, readTokenClaims, type TokenClaims } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { describe, expect, it } from 'vitest';
import { sizeOf } from '../../../packages/core/src/cache/token-cache.js';
import { MAX_NESTING } from '../../../packages/core/src/shared/json-nesting.js';
import { boundClaims, outcomeOf, pretendServer, requestWith } from '../../support/pretend-server.js';

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

// The object of the claims is the first level.
describe.each<[number, string]>([
  [1, 'admitted'],
  [MAX_NESTING - 1, 'admitted'],
  [MAX_NESTING, 'token_claims_malformed'],
  [3_000, 'token_claims_malformed'],
  [30_000, 'token_claims_malformed'],
])('claims with lists nested %i deep', (depth, expected) => {
  it.each([
    ['alone', {}],
    [
      'with a shared cache',
      {
        sharedCache: {
          store: { get: async () => undefined, set: async () => true },
          secret: 'a secret of at least 32 characters',
        },
      },
    ],
  ])('%s', async (_title, more) => {
    const kit = await createTestKit();
    const claims = JSON.stringify(boundClaims(kit.certificate)).slice(0, -1);
    const { issuer, fetch } = pretendServer(
      () =>
        new Response(`${claims},"deep":${nested(depth)}}`, {
          headers: { 'content-type': 'application/json' },
        }),
    );
    const server = createResourceServer({
      issuer,
      clientId: 'api',
      clientSecret: 'secret',
      audience: kit.options.audience,
      certificate: () => kit.certificate,
      http: { fetch },
      ...more,
    });
    for (let turn = 0; turn < 2; turn += 1) {
      expect(await outcomeOf(() => server.authorize(requestWith('token')))).toBe(expected);
    }
  });

  it('of a token source of its own', async () => {
    const kit = await createTestKit();
    const { issuer } = pretendServer(() => new Response());
    const good = boundClaims(kit.certificate) as Record<string, unknown>;
    const claims = { ...good, deep: JSON.parse(nested(depth)) };
    const server = createResourceServer({
      issuer,
      audience: kit.options.audience,
      certificate: () => kit.certificate,
      tokens: () => async () => ({ ...(readTokenClaims(good, issuer) as TokenClaims), claims }),
    });
    expect(await outcomeOf(() => server.authorize(requestWith('token')))).toBe(expected);
  });
});

it.each<[object, missing: number]>([
  [{}, 18],
  [{ sub: 'alice', exp: 1_800_000_000, active: true, nothing: null }, 0],
  [{ sub: 'alice', aud: ['a', 'b'] }, 5 + 17],
  [{ cnf: { 'x5t#S256': 'x' }, list: [], nested: [[{}], [1, 2.5]] }, 7 + 18 + 17 + 18 + 18 + 17],
])(
  'the size of %j is that of its text, in which each object and list has 20 characters or more',
  (claims, missing) => {
    expect(sizeOf({ tokenClaims: { claims } } as never)).toBe(
      650 + 3 * (JSON.stringify(claims).length + missing),
    );
  },
);
