// A wrong value of an option that holds a secret is never shown: it may be the secret, in a form that is not accepted.

import { inspect } from 'node:util';
import {
  bearerTokenAuthentication,
  clientSecretBasic,
  clientSecretJwt,
  clientSecretPost,
  createResourceServer,
  introspection,
  jwtAccessTokens,
  nginx,
  privateKeyJwt,
  proxyHeader,
  selfSignedTlsClientAuth,
  tlsClientAuth,
} from '@mtls-bound/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createPki } from '../../support/pki.js';

const good = {
  issuer: 'https://as.example.com',
  clientId: 'api',
  clientSecret: 'a-client-secret',
  audience: 'https://api.example.com',
};
const store = { get: async () => undefined, set: async () => true };
const channel = { publish: async () => undefined, subscribe: async () => async () => undefined };

/** Without it the key beside it is not looked at. */
let cert: string;
beforeAll(async () => {
  cert = (await createPki()).alice.cert;
});

const secret = 'hunter2-3141592653';
/** Values that no option for a secret accepts, each with the secret in it. */
const wrongValues: [string, unknown][] = [
  ['a text that is too short, or no key', secret.slice(0, 14)],
  ['a text with a line end', `${secret.slice(0, 14)}\n`],
  ['a list of it', [secret.slice(0, 14)]],
  ['a list with something else', [secret.slice(0, 14), 7]],
  ['an object', { value: secret }],
  ['an object with it as a name', { [secret]: true }],
  ['bytes', Buffer.from(secret.slice(0, 14))],
  ['a number', 3_141_592_653],
  ['a BigInt', 3_141_592_653n],
  ['an array of characters', [...secret.slice(0, 14)]],
  ['a String object', new String(secret)],
];

const takers: [string, (value: unknown) => unknown][] = [
  ['clientSecret', (value) => createResourceServer({ ...good, clientSecret: value as string })],
  [
    'clientSecret of one of several issuers',
    (value) => {
      const { issuer, clientId, audience } = good;
      return createResourceServer({
        audience,
        issuers: [{ issuer, clientId, clientSecret: value as string }],
      });
    },
  ],
  ['clientSecretBasic()', (value) => clientSecretBasic(value as string)],
  ['clientSecretPost()', (value) => clientSecretPost(value as string)],
  ['clientSecretJwt()', (value) => clientSecretJwt(value as string)],
  ['bearerTokenAuthentication()', (value) => bearerTokenAuthentication(value as never)],
  ['privateKeyJwt().key', (value) => privateKeyJwt({ key: value as string })],
  ['tlsClientAuth().key', (value) => tlsClientAuth({ cert, key: value as string })],
  ['selfSignedTlsClientAuth().key', (value) => selfSignedTlsClientAuth({ cert, key: value as string })],
  ['jwtAccessTokens().decryptionKey', (value) => jwtAccessTokens({ decryptionKey: value as string })],
  [
    'introspection().signed.decryptionKey',
    (value) => introspection({ signed: { decryptionKey: value as string } }),
  ],
  [
    'proxyHeader().secret.value',
    (value) =>
      proxyHeader(nginx(), { trust: 'loopback', secret: { header: 'x-secret', value: value as string } }),
  ],
  ['proxyHeader().secret', (value) => proxyHeader(nginx(), { trust: 'loopback', secret: value as never })],
  [
    'sharedCache.secret',
    (value) => createResourceServer({ ...good, sharedCache: { store, secret: value as string } }),
  ],
  [
    'revocations.secret',
    (value) => createResourceServer({ ...good, revocations: { channel, secret: value as string } }),
  ],
];

describe.each(takers)('%s', (name, take) => {
  it.each(wrongValues)('is refused without a word of it: %s', (kind, value) => {
    if (kind === 'a text that is too short, or no key' && /clientSecret/.test(name)) {
      // Any text may be a client secret.
      expect(() => take(value)).not.toThrow();
      return;
    }
    let thrown: unknown;
    try {
      take(value);
    } catch (error) {
      thrown = error;
    }
    expect((thrown as { name?: string } | undefined)?.name).toBe('ConfigurationError');
    const shown = [
      inspect(thrown, { depth: 12, showHidden: true }).split('\n    at ')[0],
      String(thrown),
      JSON.stringify(thrown),
    ].join('\n');
    const parts = [secret.slice(0, 7), secret.slice(8, 14)].flatMap((part) => [
      part,
      Buffer.from(part).toString('hex'),
      [...part].join(','),
      [...Buffer.from(part)].join(','),
      [...Buffer.from(part)].join(', '),
    ]);
    for (const part of parts) {
      expect(shown).not.toContain(part);
    }
    if (typeof value === 'string') {
      expect(shown).not.toContain(`${value.length} characters`);
    }
  });
});
