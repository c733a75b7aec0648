// An answer that is cached for longer than revocations.longestTokenLifetime must not be used again once the revocation of
// its token would be forgotten.
import { createResourceServer, type Revocation } from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import {
  boundClaims,
  optionsOver,
  outcomeOf,
  pretendServer,
  requestWith,
} from '../../support/pretend-server.js';

const kit = await createTestKit();

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it.each<[string, Revocation, string]>([
  ['the token: refused', { token: 'token' }, 'token_inactive 1'],
  ['its subject: introspected again', { subject: 'user-1' }, 'admitted 2'],
  ['another subject: the answer is used', { subject: 'user-2' }, 'admitted 1'],
])(
  'an answer that is cached for 2 hours, 62 minutes after the revocation of %s',
  async (_what, revocation, expected) => {
    const server = pretendServer(async () =>
      boundClaims(kit.certificate, { exp: Math.floor(Date.now() / 1000) + 86_400 }),
    );
    const resourceServer = createResourceServer(
      optionsOver(server, kit.certificate, { cache: { maxAge: 7_200 } }),
    );
    const authorize = () => outcomeOf(() => resourceServer.authorize(requestWith('token')));
    expect(await authorize()).toBe('admitted');
    await resourceServer.revoke(revocation);
    vi.advanceTimersByTime(3_720_000);
    expect(`${await authorize()} ${server.asked.length}`).toBe(expected);
    await resourceServer.close();
  },
);
