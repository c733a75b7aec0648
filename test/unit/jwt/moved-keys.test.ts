// The metadata name another jwks_uri while the keys of the old one are fetched.
import { expect, it } from 'vitest';
import { createRemoteKeys } from '../../../packages/core/src/authorization-server/key-set.js';
import { gate } from '../../support/pretend-server.js';

it.each(['current', 'fetchAfresh'] as const)(
  '%s() does not wait for the keys of the old one',
  async (name) => {
    const asked: string[] = [];
    const { opened, open } = gate();
    let jwksUri = 'https://as.example.com/old';
    const keys = createRemoteKeys(
      (async () => ({ issuer: 'https://as.example.com', jwks_uri: jwksUri })) as never,
      (async (url: string) => {
        asked.push(url);
        await (url.endsWith('/old') ? opened : undefined);
        return Response.json({ keys: [] });
      }) as never,
    );
    const old = keys.current();
    await expect.poll(() => asked.length).toBe(1);
    jwksUri = 'https://as.example.com/new';
    await keys[name]();
    expect(asked).toEqual(['https://as.example.com/old', 'https://as.example.com/new']);
    open();
    await old;
    // The keys of the old one have not taken the place of the newer ones.
    await keys.current();
    expect(asked).toHaveLength(2);
  },
);
