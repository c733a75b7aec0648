// Processes over one log of revocations may differ in the options of the cache, as while such an option is changed in one
// process after the other. What the log keeps, and what may be gone from it by its age, must not depend on them: a process
// would take for lost what another one has trimmed.
import { type CacheOptions, ConfigurationError, createResourceServer } from '@mtls-bound/core';
import { expect, it, vi } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { MemoryLog } from '../../support/memory-log.js';

const secret = 'a secret of at least 32 characters';
const good = { issuer: 'https://as.example.com', audience: 'a', clientId: 'api', clientSecret: 'a-secret' };
const caches: CacheOptions[] = [{}, { maxAge: 0 }, { maxAge: 7_200 }, { staleIfError: 7_200 }];

it.each(caches)(
  'entries are kept for longestTokenLifetime and twelve minutes with the cache %o',
  async (cache) => {
    const log = new MemoryLog();
    const append = vi.spyOn(log, 'append');
    const revocations = { log, secret, longestTokenLifetime: 600 };
    const resourceServer = createResourceServer({ ...good, cache, revocations });
    await resourceServer.revoke({ jti: 'jti-1' });
    await resourceServer.close();
    const kept = new Set(append.mock.calls.map(([, keepFor]: readonly unknown[]) => keepFor));
    expect([...kept]).toEqual([(600 + 12 * 60) * 1_000]);
  },
);

it('a process remembers a revocation for as long as its cache uses an answer, and compares the log by longestTokenLifetime', () => {
  const { revocations } = resolveSettings(
    { ...good, cache: { maxAge: 3_000, staleIfError: 4_000 }, revocations: { log: new MemoryLog(), secret } },
    {},
  );
  expect(revocations).toMatchObject({ longestUse: 7_000, log: { longestTokenLifetime: 3_600 } });
});

it.each<[string, boolean, object]>([
  ['as long as longestTokenLifetime', true, { cache: { maxAge: 3_600, staleIfError: 3_600 } }],
  ['longer than longestTokenLifetime', false, { cache: { maxAge: 3_601 } }],
  ['longer, without sharedCache', true, { cache: { maxAge: 3_601 }, sharedCache: undefined }],
  ['longer, without log', true, { cache: { maxAge: 3_601 }, revocations: {} }],
])(
  'a process that starts finds the revocations of shared answers in the log: cache.maxAge %s',
  (_what, isAccepted, options) => {
    const store = { get: async () => undefined, set: async () => undefined };
    const all = { ...good, sharedCache: { store, secret }, revocations: { log: new MemoryLog(), secret } };
    const resolve = () => resolveSettings({ ...all, ...options }, {});
    if (isAccepted) {
      expect(resolve).not.toThrow();
    } else {
      expect(resolve).toThrow(
        new ConfigurationError(
          'cache.maxAge',
          'expected at most revocations.longestTokenLifetime, 3600, next to sharedCache and revocations.log, got 3601',
        ),
      );
    }
  },
);
