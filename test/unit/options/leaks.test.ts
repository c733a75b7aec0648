// No piece of eight characters of a secret is in an error of start-up, whatever form the secret is given in.

import { generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import {
  introspection,
  issuerByHeader,
  jwtAccessTokens,
  nginx,
  privateKeyJwt,
  proxyHeader,
  selfSignedTlsClientAuth,
  tlsClientAuth,
} from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { mismatch } from '../../support/mismatch.js';

const good = { issuer: 'https://as.example.com', clientId: 'api', clientSecret: 'x-x-x', audience: 'api' };
const { clientSecret: _, ...withoutSecret } = good;
const store = { get: async () => undefined, set: async () => true };
const channel = { publish: async () => undefined, subscribe: async () => async () => undefined };

const secret = 'kR7vQ2xW9zLp4TnB8mYc3HdF6sJg1AeUwE5iOa0N';
const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const encryptedPem = generateKeyPairSync('ed25519')
  .privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: secret })
  .toString();

/** Every form in which a text is shown: as it is, and as bytes, which a Buffer is printed as. */
function piecesOf(text: string): Set<string> {
  const pieces = new Set<string>();
  for (const line of [text, ...text.split('\n')]) {
    for (let start = 0; start + 8 <= line.length; start += 1) {
      const piece = line.slice(start, start + 8);
      if (!/-{3}|BEGIN|PRIVATE|KEY/.test(piece)) {
        const bytes = [...Buffer.from(piece)];
        pieces.add(piece);
        pieces.add(Buffer.from(piece).toString('hex'));
        pieces.add(bytes.join(','));
        pieces.add(bytes.join(', '));
        pieces.add(bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' '));
      }
    }
  }
  return pieces;
}

class Holder {
  constructor(readonly value: string) {}
}

/** Forms that hold `text`. */
const formsOf = (text: string): [string, unknown][] => [
  ['a text', text],
  ['a text with a line end', `${text}\n`],
  ['a text with a blank before it', ` ${text}`],
  ['a piece of 12 characters', text.slice(0, 12)],
  ['a list with a number', [text, 7]],
  ['a list with a short one', [text, text.slice(0, 12)]],
  ['a list in a list', [[text]]],
  ['an object', { value: text }],
  ['an object of key and secret', { key: text, secret: text, header: text }],
  ['an object with it as a name', { [text]: true }],
  ['an instance', new Holder(text)],
  ['bytes', Buffer.from(text)],
  ['bytes in a list', [new Uint8Array(Buffer.from(text)), 7]],
  ['characters', [...text]],
  ['a String', new String(text)],
  ['a Map', new Map([[text, text]])],
  ['an error', new Error(text)],
  ['a function with it as its name', { [text]: () => text }[text]],
  ['a symbol', Symbol(text)],
  ['a URL with it as the user', `https://user:${text}@as.example.com`],
  ['a URL with it in the query', `https://as.example.com/?code=${text}`],
];

const option = (make: (value: never) => object) => (value: unknown) =>
  resolveSettings(make(value as never), {});
const variable = (name: string, options: object) => (value: unknown) =>
  typeof value === 'string' ? resolveSettings(options, { [name]: value }) : undefined;

/** Options that may hold a secret, or that one is easily given in place of. */
const takers: [string, (value: unknown) => unknown][] = [
  ['clientSecret', option((clientSecret) => ({ ...good, clientSecret }))],
  ['clientId', option((clientId) => ({ ...good, clientId }))],
  ['clientAuthentication', option((clientAuthentication) => ({ ...withoutSecret, clientAuthentication }))],
  ['issuers', option((value) => ({ audience: 'api', issuers: value }))],
  [
    'issuers[0].clientSecret',
    option((clientSecret) => ({ audience: 'api', issuers: [{ ...good, clientSecret }] })),
  ],
  ['privateKeyJwt()', (value) => privateKeyJwt(value as never)],
  ['privateKeyJwt().key', (value) => privateKeyJwt({ key: value as never })],
  ['privateKeyJwt().kid', (value) => privateKeyJwt({ key: pem, kid: value as never })],
  ['tlsClientAuth()', (value) => tlsClientAuth(value as never)],
  ['tlsClientAuth().key', (value) => tlsClientAuth({ cert: 'x', key: value as never })],
  ['tlsClientAuth().cert', (value) => tlsClientAuth({ cert: value as never, key: value as never })],
  ['selfSignedTlsClientAuth().key', (value) => selfSignedTlsClientAuth({ cert: 'x', key: value as never })],
  ['jwtAccessTokens().decryptionKey', (value) => jwtAccessTokens({ decryptionKey: value as never })],
  ['introspection().signed', (value) => introspection({ signed: value as never })],
  [
    'introspection().signed.decryptionKey',
    (value) => introspection({ signed: { decryptionKey: value as never } }),
  ],
  ['introspection().parameters', (value) => introspection({ parameters: value as never })],
  ['proxyHeader().secret', (value) => proxyHeader(nginx(), { trust: 'unix', secret: value as never })],
  [
    'proxyHeader().secret.value',
    (value) => proxyHeader(nginx(), { trust: 'unix', secret: { header: 'x-s', value: value as never } }),
  ],
  [
    'proxyHeader().secret.header',
    (value) =>
      proxyHeader(nginx(), { trust: 'unix', secret: { header: value as never, value: 'x-proxy-secret-1' } }),
  ],
  [
    'proxyHeader().secret, the value as the name of a member',
    (value) =>
      proxyHeader(nginx(), { trust: 'unix', secret: { [String(value)]: 'x-proxy-secret' } as never }),
  ],
  ['nginx().header', (value) => nginx({ header: value as never })],
  ['issuerByHeader(name)', (value) => issuerByHeader(value as never, { red: good.issuer })],
  ['realm', option((realm) => ({ ...good, realm }))],
  ['binding', option((binding) => ({ ...good, binding }))],
  ['certificatePolicy.san.ip', option((ip) => ({ ...good, certificatePolicy: { san: { ip } } }))],
  ['sharedCache', option((sharedCache) => ({ ...good, sharedCache }))],
  ['sharedCache.secret', option((given) => ({ ...good, sharedCache: { store, secret: given } }))],
  ['revocations', option((revocations) => ({ ...good, revocations }))],
  ['revocations.secret', option((given) => ({ ...good, revocations: { channel, secret: given } }))],
  ['issuer', option((issuer) => ({ ...good, issuer }))],
  ['authorizationServerMetadata', option((given) => ({ ...good, authorizationServerMetadata: given }))],
  [
    'authorizationServerMetadata.introspection_endpoint',
    option((introspection_endpoint) => ({
      ...good,
      authorizationServerMetadata: { introspection_endpoint },
    })),
  ],
  [
    'authorizationServerMetadata.jwks_uri',
    option((jwks_uri) => ({ ...good, authorizationServerMetadata: { jwks_uri } })),
  ],
  ['http', option((http) => ({ ...good, http }))],
  ['http.ca', option((ca) => ({ ...good, http: { ca } }))],
  ['http.fetch', option((fetch) => ({ ...good, http: { fetch } }))],
  ['tokens', option((tokens) => ({ ...good, tokens }))],
  ['MTLS_BOUND_CLIENT_SECRET', variable('MTLS_BOUND_CLIENT_SECRET', withoutSecret)],
  ['MTLS_BOUND_CLIENT_AUTHENTICATION', variable('MTLS_BOUND_CLIENT_AUTHENTICATION', good)],
  ['MTLS_BOUND_BINDING', variable('MTLS_BOUND_BINDING', good)],
  ['MTLS_BOUND_CA_FILE', variable('MTLS_BOUND_CA_FILE', good)],
  ['MTLS_BOUND_ISSUER', variable('MTLS_BOUND_ISSUER', { ...good, issuer: undefined })],
];

const secrets = { words: secret, 'a key': pem, 'a key with a passphrase': encryptedPem };

describe.each(takers)('%s', (name, take) => {
  it.each(Object.entries(secrets))('shows no piece of %s, in any form', (_secret, text) => {
    const pieces = piecesOf(text);
    const refused: string[] = [];
    for (const [form, value] of formsOf(text)) {
      try {
        take(value);
      } catch (thrown) {
        refused.push(form);
        const { message, stack, cause } = thrown as Error;
        const shown = [
          message,
          stack,
          String(cause),
          JSON.stringify(thrown),
          inspect(thrown, { depth: Number.POSITIVE_INFINITY, showHidden: true, maxArrayLength: null }),
        ].join('\n');
        expect((thrown as Error).name, `${name}: ${form}`).toBe('ConfigurationError');
        expect(
          [...pieces].filter((piece) => shown.includes(piece)),
          `${name}: ${form}`,
        ).toEqual([]);
      }
    }
    expect(refused, 'forms that are refused').not.toEqual([]);
  });
});

it.each([
  ['sharedCache.secret', { store }],
  ['revocations.secret', { channel }],
])('%s: not even the length of a secret is shown', (path, beside) => {
  const [name = ''] = path.split('.');
  const make = () => resolveSettings({ ...good, [name]: { ...beside, secret: secret.slice(0, 12) } }, {});
  expect(make).toThrow(mismatch(`${path}`, 'a value of type string'));
});
