// A member of a published key that is null counts as absent.
import { describe, expect, it } from 'vitest';
import { createRemoteKeys } from '../../../packages/core/src/authorization-server/key-set.js';
import { generateP256 } from '../../support/key-pairs.js';

const issuer = 'https://as.example.com';
const jwk = { ...generateP256().publicKey.export({ format: 'jwk' }), kid: 'k' };

async function candidatesOf(changes: object, kid?: string): Promise<number> {
  const keys = await createRemoteKeys(
    async () => ({ issuer, jwks_uri: `${issuer}/jwks` }),
    async () => Response.json({ keys: [{ ...jwk, ...changes }] }),
  ).current();
  return keys.candidates({ alg: 'ES256', kid }).length;
}

describe('a key whose member is null', () => {
  it.each(['alg', 'use', 'key_ops', 'd', 'x5c'])('%s verifies', async (name) => {
    expect(await candidatesOf({ [name]: null }, 'k')).toBe(1);
  });

  it('kid verifies a token without kid alone', async () => {
    expect([await candidatesOf({ kid: null }), await candidatesOf({ kid: null }, 'k')]).toEqual([1, 0]);
  });

  it.each([{ x: null }, { kty: null }])('%o does not', async (changes) => {
    expect(await candidatesOf(changes, 'k')).toBe(0);
  });
});
