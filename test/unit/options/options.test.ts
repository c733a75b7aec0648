import { generateKeyPairSync } from 'node:crypto';
import {
  ConfigurationError,
  clientSecretBasic,
  clientSecretPost,
  createResourceServer,
  introspection,
  issuerByHeader,
  issuerByHost,
  issuerByPath,
  jwtAccessTokens,
  type ResourceServerOptions,
  tlsSocket,
} from '@mtls-bound/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';

const pkcs8 = { format: 'pem', type: 'pkcs8' } as const;
const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey.export(pkcs8).toString();
const oddCurve = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey.export(pkcs8).toString();

const good = {
  issuer: 'https://as.example.com',
  clientId: 'api',
  clientSecret: 'a-secret',
  audience: 'https://api.example.com',
};

const variables = Object.keys(process.env).filter((name) => name.startsWith('MTLS_BOUND_'));

beforeEach(() => {
  for (const name of variables) {
    vi.stubEnv(name, undefined);
  }
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** What is given in place of the good options, and how the error must name option, given and accepted. */
const wrong: [string, unknown, string][] = [
  [
    'no object',
    'https://as.example.com',
    'options: a string of 22 characters was given; accepted is an object',
  ],
  ['null', null, 'options: null was given; accepted is an object'],
  ['a list', [], 'options: a list was given; accepted is an object'],
  [
    'an unknown option',
    { ...good, isuer: 'x' },
    'isuer: there is no such option; accepted are issuer, authorizationServerMetadataMaxAge,',
  ],
  [
    'an issuer without TLS',
    { ...good, issuer: 'http://as.example.com' },
    'issuer: "http://as.example.com/" was given; accepted is an https URL',
  ],
  [
    'an issuer with a query',
    { ...good, issuer: 'https://as.example.com?x' },
    'issuer: "https://as.example.com/" was given',
  ],
  [
    'an issuer with a fragment',
    { ...good, issuer: 'https://as.example.com#x' },
    'issuer: "https://as.example.com/" was given',
  ],
  ['an issuer with a user name', { ...good, issuer: 'https://u:p@as.example.com' }, 'issuer: '],
  [
    'an issuer that is no URL',
    { ...good, issuer: 'as.example.com' },
    'issuer: a string of 14 characters was given',
  ],
  [
    'an issuer of another type',
    { ...good, issuer: 7 },
    'issuer: a number was given; accepted is an https URL',
  ],
  ['a URL object', { ...good, issuer: new URL('https://as.example.com') }, 'issuer: an object was given'],
  [
    'no issuer',
    { ...good, issuer: undefined },
    'issuer: nothing was given, nor is the environment variable MTLS_BOUND_ISSUER set; accepted is an https URL',
  ],
  [
    'no client id',
    { ...good, clientId: undefined },
    'clientId: nothing was given, nor is the environment variable MTLS_BOUND_CLIENT_ID set; accepted is a non-empty string',
  ],
  ['an empty client id', { ...good, clientId: '' }, 'clientId: "" was given; accepted is a non-empty string'],
  [
    'no secret',
    { ...good, clientSecret: undefined },
    'clientSecret: nothing was given, nor is the environment variable MTLS_BOUND_CLIENT_SECRET set',
  ],
  [
    'a secret of another type',
    { ...good, clientSecret: 31415 },
    'clientSecret: a value of type number was given; accepted is a non-empty string',
  ],
  [
    'a secret twice',
    { ...good, clientAuthentication: clientSecretPost('b') },
    'clientSecret: clientAuthentication was given too',
  ],
  [
    'an authentication that is none',
    { ...good, clientSecret: undefined, clientAuthentication: 'client_secret_post' },
    'clientAuthentication: a string of 18 characters was given; accepted is clientSecretBasic(secret), privateKeyJwt(',
  ],
  [
    'no audience',
    { ...good, audience: undefined },
    "audience: nothing was given, nor is the environment variable MTLS_BOUND_AUDIENCE set; accepted is the identifier of this API or a list of them, or 'server-enforced'",
  ],
  [
    'an empty list of audiences',
    { ...good, audience: [] },
    "audience: a list was given; accepted is the identifier of this API or a list of them, or 'server-enforced' where the authorization server checks the audience",
  ],
  ['an audience of another type', { ...good, audience: ['a', 1] }, 'audience: a list was given'],
  [
    'server-enforced beside others',
    { ...good, audience: ['server-enforced', 'a'] },
    "audience: 'server-enforced' was given beside others",
  ],
  [
    'several issuers beside one',
    { ...good, issuers: [{ issuer: good.issuer }] },
    'issuer: issuers was given too; accepted is one of the two',
  ],
  [
    'one credential beside several issuers',
    { audience: 'a', clientSecret: '31415', issuers: [{ issuer: good.issuer }] },
    'clientSecret: issuers was given too',
  ],
  [
    'no issuer in the list',
    { audience: 'a', issuers: [] },
    'issuers: a list was given; accepted is a list of one or more',
  ],
  ['issuers that are no list', { audience: 'a', issuers: {} }, 'issuers: an object was given'],
  [
    'issuers by name',
    { audience: 'a', issuers: [good.issuer] },
    'issuers[0]: a string of 22 characters was given',
  ],
  [
    'an issuer of the list without credentials, whatever the environment says',
    { audience: 'a', issuers: [good, { issuer: 'https://b.example.com' }] },
    'issuers[1].clientId: nothing was given; accepted is a non-empty string',
  ],
  ['an issuer twice', { issuers: [good, good] }, 'issuers: https://as.example.com was given twice'],
  [
    'an unknown option of an issuer',
    { issuers: [{ ...good, realm: 'x' }] },
    'issuers[0]: a name of 5 characters was given; there is no such option; accepted are issuer, ',
  ],
  [
    'no audience for an issuer',
    { issuers: [{ ...good, audience: undefined }] },
    'audience: nothing was given, nor is the environment variable MTLS_BOUND_AUDIENCE set',
  ],
  [
    'a selection of nothing',
    { ...good, selectIssuer: 'in-order' },
    'selectIssuer: it was given without issuers',
  ],
  [
    'a selection that is none',
    { issuers: [good], selectIssuer: 'random' },
    'selectIssuer: a string of 6 characters was given; accepted is issuerByHeader(), issuerByHost(), issuerByPath(), a function',
  ],
  [
    'a selection of an issuer that is not there',
    { issuers: [good], selectIssuer: issuerByHost({ a: 'https://b.example.com' }) },
    'selectIssuer: https://b.example.com was given; accepted are those of issuers',
  ],
  [
    'metadata without an endpoint',
    { ...good, authorizationServerMetadata: { token_endpoint: 'https://a.example' } },
    'authorizationServerMetadata: an object was given; accepted is an object like { introspection_endpoint } or { jwks_uri }',
  ],
  [
    'a binding that is none',
    { ...good, binding: 'optional' },
    `binding: a string of 8 characters was given; accepted is 'required' or 'when-bound'`,
  ],
  ['a binding of another type', { ...good, binding: false }, 'binding: false was given'],
  [
    'a certificate source that was not called',
    { ...good, certificate: tlsSocket },
    'certificate: a function was given; accepted is a certificate source: tlsSocket()',
  ],
  [
    'a certificate for a source',
    { ...good, certificate: 'x' },
    'certificate: a string of 1 characters was given',
  ],
  [
    'a token source that was not called',
    { ...good, tokens: introspection },
    'tokens: a function was given; accepted is a token source: introspection()',
  ],
  [
    'a tolerance beyond 5 minutes',
    { ...good, clockTolerance: 301 },
    'clockTolerance: 301 was given; accepted is a number of seconds from 0 to 300',
  ],
  ['a tolerance that is no number', { ...good, clockTolerance: Number.NaN }, 'clockTolerance: NaN was given'],
  ['a cache that is no object', { ...good, cache: false }, 'cache: false was given; accepted is an object'],
  [
    'an unknown option of the cache',
    { ...good, cache: { ttl: 1 } },
    'cache: a name of 3 characters was given; there is no such option; accepted are maxAge, maxEntries, maxSize, inactiveMaxAge, refreshAhead, staleIfError',
  ],
  [
    'a negative age',
    { ...good, cache: { maxAge: -1 } },
    'cache.maxAge: -1 was given; accepted is a number of seconds from 0 to 86400',
  ],
  [
    'an age as text',
    { ...good, cache: { maxAge: '60' } },
    'cache.maxAge: a string of 2 characters was given',
  ],
  [
    'half an entry',
    { ...good, cache: { maxEntries: 0.5 } },
    'cache.maxEntries: 0.5 was given; accepted is a whole number from 1 to',
  ],
  [
    'a timeout in milliseconds',
    { ...good, http: { timeout: 5_000 } },
    'http.timeout: 5000 was given; accepted is a number of seconds from 0.05 to 60',
  ],
  [
    'an authority that is no PEM',
    { ...good, http: { ca: 'ca.pem' } },
    'http.ca: a string of 6 characters was given; accepted is one or more certificates in PEM',
  ],
  ['an authority cut short', { ...good, http: { ca: '-----BEGIN CERTIFICATE-----\nMIIB' } }, 'http.ca: '],
  [
    'a realm with a quote',
    { ...good, realm: 'my "api"' },
    'realm: a string of 8 characters was given; accepted is printable ASCII',
  ],
  [
    'a realm with a line end',
    { ...good, realm: 'a\r\nSet-Cookie: x' },
    'realm: a string of 16 characters was given',
  ],
  ['a realm beyond ASCII', { ...good, realm: 'é' }, 'realm: a string of 1 characters was given'],
  [
    'a body that is no function',
    { ...good, errorBody: {} },
    'errorBody: an object was given; accepted is a function',
  ],
  ...['text/html', 'application/jsonp', 'application/json\r\nx: y', ''].map(
    (errorContentType): [string, object, string] => [
      `a body of the type ${JSON.stringify(errorContentType)}`,
      { ...good, errorContentType },
      'errorContentType: ',
    ],
  ),
  [
    'a type of a body that the application writes',
    { ...good, errorContentType: 'application/problem+json', onRefused: 'next' },
    "errorContentType: it was given with onRefused: 'next'; accepted is one of the two",
  ],
  [
    'refusals that go elsewhere',
    { ...good, onRefused: 'throw' },
    "onRefused: a string of 5 characters was given; accepted is 'answer' or 'next'",
  ],
];

describe('a configuration that is refused at start-up', () => {
  it.each(wrong)('%s', (_title, options, message) => {
    const error = thrownBy(() => createResourceServer(options as ResourceServerOptions));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message.slice(0, message.length)).toBe(message);
    expect(error.message).toContain((error as ConfigurationError).option);
    expect(error.message).not.toContain('31415');
  });

  it.each<[string, () => unknown, string]>([
    [
      'introspection() with an unknown option',
      () => introspection({ hint: true } as never),
      'introspection(): a name of 4 characters was given; there is no such option',
    ],
    [
      'introspection() with a parameter of another type',
      () => introspection({ parameters: { a: 1 } } as never),
      'introspection().parameters: an object was given; accepted is an object whose values are strings',
    ],
    [
      'introspection() with a hint of another type',
      () => introspection({ tokenTypeHint: 'yes' } as never),
      'introspection().tokenTypeHint: a string of 3 characters was given; accepted is true or false',
    ],
    [
      'an empty secret',
      () => clientSecretBasic(''),
      'clientSecretBasic(secret): "" was given; accepted is a non-empty string',
    ],
    [
      'a secret that is none',
      () => clientSecretBasic(undefined as never),
      'clientSecretBasic(secret): a value of type undefined was given',
    ],
    [
      'issuerByHeader() without issuers',
      () => issuerByHeader('x-tenant', {}),
      'issuerByHeader(issuers): an object was given; accepted is an object from names to issuers, https URLs',
    ],
    [
      'issuerByHeader() of no header',
      () => issuerByHeader('x tenant', { a: 'https://a.example' }),
      'issuerByHeader(name): a string of 8 characters was given; accepted is a header name',
    ],
    [
      'issuerByPath() to what is no URL',
      () => issuerByPath({ '/a': 'a' }),
      'issuerByPath(issuers): an object was given',
    ],
    [
      'an RSA key for decryption of 1,024 bits',
      () => jwtAccessTokens({ decryptionKey: weakRsa }),
      'jwtAccessTokens().decryptionKey: a value of type string was given; accepted is a private key of RSA with 2048 to 8192 bits',
    ],
    [
      'a key for decryption of a curve that ECDH-ES does not have',
      () => jwtAccessTokens({ decryptionKey: oddCurve }),
      'jwtAccessTokens().decryptionKey: a value of type string was given; accepted is a private key of RSA with 2048 to 8192 bits',
    ],
    [
      'a key for decryption that is none',
      () => jwtAccessTokens({ decryptionKey: '31415' }),
      'jwtAccessTokens().decryptionKey: a value of type string was given; accepted is a private key of RSA with 2048 to 8192 bits, of P-256',
    ],
    [
      'an introspection that was not called',
      () => jwtAccessTokens({ introspection: {} as never }),
      'jwtAccessTokens().introspection: an object was given; accepted is introspection()',
    ],
  ])('%s', (_title, make, message) => {
    const error = thrownBy(make);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message.slice(0, message.length)).toBe(message);
  });

  it('an authorization server that is down does not keep an API from starting', () => {
    expect(() => createResourceServer({ ...good, issuer: 'https://127.0.0.1:9' })).not.toThrow();
  });

  function thrownBy(run: () => unknown): Error {
    try {
      run();
    } catch (error) {
      return error as Error;
    }
    throw new Error('nothing was thrown');
  }
});

describe('settings', () => {
  it('are frozen and complete', () => {
    const settings = resolveSettings(good, {});
    expect(settings).toMatchObject({
      binding: 'required',
      clockTolerance: 30,
      cache: { maxAge: 60, maxEntries: 10_000, inactiveMaxAge: 5 },
      realm: 'api',
      issuers: [
        {
          authorizationServerMetadataMaxAge: 3_600,
          audience: ['https://api.example.com'],
          http: { timeout: 5, maxResponseSize: 262_144, ca: undefined },
          client: { id: 'api', authentication: { method: 'client_secret_basic' } },
        },
      ],
    });
    const [one] = settings.issuers;
    const objects = [settings, settings.cache, settings.issuers, one, one?.client, one?.http, one?.audience];
    expect(objects.every(Object.isFrozen)).toBe(true);
  });

  it('hold no secret that a log could show', () => {
    const settings = resolveSettings({ ...good, clientSecret: 'secret-31415' }, {});
    expect(JSON.stringify(settings)).not.toContain('31415');
  });

  it('what is given comes before the environment', () => {
    const environment = { MTLS_BOUND_ISSUER: 'https://other.example.com', MTLS_BOUND_REALM: 'other' };
    expect(resolveSettings(good, environment)).toMatchObject({
      issuers: [{ issuer: good.issuer }],
      realm: 'other',
    });
  });

  it.each([
    [
      'MTLS_BOUND_ISSUER',
      'http://as.example.com',
      'MTLS_BOUND_ISSUER: "http://as.example.com/" was given; accepted is an https URL',
    ],
    [
      'MTLS_BOUND_BINDING',
      'no',
      "MTLS_BOUND_BINDING: a string of 2 characters was given; accepted is 'required' or 'when-bound'",
    ],
    [
      'MTLS_BOUND_CLIENT_AUTHENTICATION',
      'none',
      `MTLS_BOUND_CLIENT_AUTHENTICATION: a string of 4 characters was given; accepted is 'client_secret_basic' or 'client_secret_post'`,
    ],
    [
      'MTLS_BOUND_CA_FILE',
      '/no/such/file',
      'MTLS_BOUND_CA_FILE: a string of 13 characters was given; accepted is the path of a readable file of PEM certificates',
    ],
    ['MTLS_BOUND_REALM', 'é', 'MTLS_BOUND_REALM: a string of 1 characters was given'],
  ])('a wrong %s is named', (name, value, message) => {
    const { issuer, ...rest } = good;
    const options = name === 'MTLS_BOUND_ISSUER' ? rest : { issuer, ...rest };
    expect(() => resolveSettings(options, { [name]: value })).toThrow(message);
  });
});
