// An option that would do nothing, as what it needs is missing or what stands next to it leaves it no work, is refused at
// start-up: no option is ever ignored without a word.
import { ConfigurationError, introspection, jwtAccessTokens } from '@mtls-bound/core';
import { expect, it } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { MemoryLog } from '../../support/memory-log.js';

const secret = 'a secret of at least 32 characters';
const good = { issuer: 'https://as.example.com', clientId: 'api', clientSecret: 'a-secret', audience: 'a' };
const log = new MemoryLog();
const channel = { publish: async () => undefined, subscribe: async () => async () => undefined };
const store = { get: async () => undefined, set: async () => undefined };
const lock = { acquire: async () => true, release: async () => undefined };
const proofs = { add: async () => true };
const authorizationServerMetadata = { introspection_endpoint: 'https://as.example.com/introspect' };
const authorizationServer = { issuer: good.issuer, clientId: 'api', clientSecret: 'a-secret' };
const ofList = { issuer: undefined, clientId: undefined, clientSecret: undefined };
const other = { ...authorizationServer, issuer: 'https://other.example.com' };
const jwts = { issuer: 'https://jwts.example.com', tokens: jwtAccessTokens() };
const jwtsToo = { ...authorizationServer, tokens: jwtAccessTokens({ introspection: introspection() }) };
const sharedCache = { store, secret, lock };
const keepsNothing = 'nothing next to cache.maxAge: 0, which keeps no answer, got both';
const sharesNothing =
  'nothing next to jwtAccessTokens(), with which each process validates tokens itself, got both';
const origin = 'https://api.example.com';
const either = 'revocations.log or revocations.channel';

it.each<[option: string, idle: object, why: string, atWork: readonly object[]]>([
  [
    'revocations.secret',
    { revocations: { secret } },
    `${either} next to it, got nothing there`,
    [{ revocations: { secret, log } }, { revocations: { secret, channel } }],
  ],
  [
    'revocations.maxAgeWhileUnsynced',
    { revocations: { maxAgeWhileUnsynced: 60 } },
    `${either} next to it, got nothing there`,
    [
      { revocations: { secret, log, maxAgeWhileUnsynced: 60 } },
      { revocations: { secret, channel, maxAgeWhileUnsynced: 60 } },
    ],
  ],
  [
    'revocations.jwtsWithUnknownRevocation',
    { revocations: { secret, channel, jwtsWithUnknownRevocation: 'accept' } },
    'revocations.log next to it, got nothing there',
    [{ revocations: { secret, log, jwtsWithUnknownRevocation: 'accept' } }],
  ],
  [
    'revocations.maxWait',
    { revocations: { secret, channel, maxWait: 1 } },
    'revocations.log next to it, got nothing there',
    [{ revocations: { secret, log, maxWait: 1 } }],
  ],
  [
    'revocations.maxWait',
    { revocations: { secret, log, maxWait: 1, jwtsWithUnknownRevocation: 'accept' } },
    "nothing next to revocations.jwtsWithUnknownRevocation: 'accept', with which no request waits, got both",
    [{ revocations: { secret, log, maxWait: 1, jwtsWithUnknownRevocation: 'refuse' } }],
  ],
  [
    'sharedCache.lockTimeout',
    { sharedCache: { store, secret, lockTimeout: 1 } },
    'sharedCache.lock next to it, got nothing there',
    [{ sharedCache: { store, secret, lock, lockTimeout: 1 } }],
  ],
  [
    'cache.staleIfError',
    { cache: { maxAge: 0, staleIfError: 60 } },
    '0 next to cache.maxAge: 0, which keeps no answer, got 60',
    [{ cache: { maxAge: 1, staleIfError: 60 } }],
  ],
  [
    'cache.maxEntries',
    { cache: { maxAge: 0, maxEntries: 5 } },
    keepsNothing,
    [{ cache: { maxAge: 0.001, maxEntries: 5 } }],
  ],
  [
    'cache.maxSize',
    { cache: { maxAge: 0, maxSize: 65_536 } },
    keepsNothing,
    [{ cache: { maxSize: 65_536 } }, { cache: { maxAge: 0 } }],
  ],
  [
    'sharedCache',
    { sharedCache, tokens: jwtAccessTokens() },
    sharesNothing,
    [
      { sharedCache },
      // A function of the user's own may return what introspection() made, and createTestKit() has one.
      { sharedCache, tokens: () => async () => 'token_inactive' },
    ],
  ],
  ['sharedCache', { sharedCache, tokens: jwtsToo.tokens }, sharesNothing, []],
  [
    'sharedCache',
    { ...ofList, sharedCache, issuers: [jwtsToo, jwts] },
    sharesNothing,
    [{ ...ofList, sharedCache, issuers: [authorizationServer, jwts] }],
  ],
  [
    'dpop.timeout',
    { dpop: { origin, timeout: 1 } },
    'dpop.store next to it, got nothing there',
    [{ dpop: { origin, timeout: 1, store: proofs } }],
  ],
  [
    'dpop.onStoreFailure',
    { dpop: { origin, onStoreFailure: 'accept' } },
    'dpop.store next to it, got nothing there',
    [{ dpop: { origin, onStoreFailure: 'accept', store: proofs } }],
  ],
  [
    'authorizationServerMetadataMaxAge',
    { authorizationServerMetadata, authorizationServerMetadataMaxAge: 60 },
    'nothing next to authorizationServerMetadata, which are not read again, got both',
    [{ authorizationServerMetadataMaxAge: 60 }],
  ],
  [
    'authorizationServerMetadataMaxAge',
    {
      ...ofList,
      authorizationServerMetadataMaxAge: 60,
      issuers: [
        { ...authorizationServer, authorizationServerMetadata },
        { ...other, authorizationServerMetadata },
      ],
    },
    'nothing next to authorizationServerMetadata of each issuer, which are not read again, got both',
    [
      {
        ...ofList,
        authorizationServerMetadataMaxAge: 60,
        issuers: [{ ...authorizationServer, authorizationServerMetadata }, other],
      },
    ],
  ],
  [
    'selectIssuer',
    { selectIssuer: 'in-order' },
    'issuers, which it selects from next to it, got nothing there',
    [],
  ],
  [
    'errorContentType',
    { onRefused: 'next', errorContentType: 'application/problem+json' },
    "nothing next to onRefused: 'next', with which the application writes the body, got both",
    [{ onRefused: 'answer', errorContentType: 'application/problem+json' }],
  ],
])('%s with %o', (option, idle, why, atWork) => {
  expect(() => resolveSettings({ ...good, ...idle }, {})).toThrow(
    new ConfigurationError(option, `expected ${why}`),
  );
  for (const options of atWork) {
    expect(() => resolveSettings({ ...good, ...options }, {})).not.toThrow();
  }
});
