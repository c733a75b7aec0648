import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates as authorities } from 'node:tls';
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
import { mismatch } from '../../support/mismatch.js';

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

const joined = (given: string): string =>
  `${given}: a text or file in which a BEGIN or END marker is not a line of its own, as in files that were ` +
  'joined without a line end';

/** What is given in place of the good options, and how the error must name option, given and accepted. */
const wrong: [string, unknown, string | RegExp][] = [
  ['no object', 'https://as.example.com', mismatch('options', 'a string of 22 characters', 'an object')],
  ['null', null, mismatch('options', 'null', 'an object')],
  ['a list', [], mismatch('options', 'a list', 'an object')],
  [
    'an unknown option',
    { ...good, isuer: 'x' },
    mismatch(
      'isuer',
      'an unknown one; did you mean issuer?',
      'no options but issuer, authorizationServerMetadataMaxAge,',
    ),
  ],
  [
    'an issuer without TLS',
    { ...good, issuer: 'http://as.example.com' },
    mismatch('issuer', '"http://as.example.com"', 'an https URL'),
  ],
  [
    'an issuer with a query',
    { ...good, issuer: 'https://as.example.com?x' },
    mismatch('issuer', '"https://as.example.com/"'),
  ],
  [
    'an issuer with a fragment',
    { ...good, issuer: 'https://as.example.com#x' },
    mismatch('issuer', '"https://as.example.com/"'),
  ],
  ['an issuer with a user name', { ...good, issuer: 'https://u:p@as.example.com' }, 'issuer: '],
  [
    'an issuer that is no URL',
    { ...good, issuer: 'as.example.com' },
    mismatch('issuer', 'a string of 14 characters'),
  ],
  ['an issuer of another type', { ...good, issuer: 7 }, mismatch('issuer', 'a number', 'an https URL')],
  ['a URL object', { ...good, issuer: new URL('https://as.example.com') }, mismatch('issuer', 'an object')],
  [
    'no issuer',
    { ...good, issuer: undefined },
    mismatch('issuer', 'nothing, and the environment variable MTLS_BOUND_ISSUER is not set', 'an https URL'),
  ],
  [
    'no client id',
    { ...good, clientId: undefined },
    mismatch(
      'clientId',
      'nothing, and the environment variable MTLS_BOUND_CLIENT_ID is not set',
      'a non-empty string',
    ),
  ],
  ['an empty client id', { ...good, clientId: '' }, mismatch('clientId', '""', 'a non-empty string')],
  [
    'no secret',
    { ...good, clientSecret: undefined },
    mismatch('clientSecret', 'nothing, and the environment variable MTLS_BOUND_CLIENT_SECRET is not set'),
  ],
  [
    'a secret of another type',
    { ...good, clientSecret: 31415 },
    mismatch('clientSecret', 'a value of type number', 'a non-empty string'),
  ],
  [
    'a secret twice',
    { ...good, clientAuthentication: clientSecretPost('b') },
    mismatch('clientSecret', 'both', 'nothing next to clientAuthentication'),
  ],
  [
    'an authentication that is none',
    { ...good, clientSecret: undefined, clientAuthentication: 'client_secret_post' },
    mismatch(
      'clientAuthentication',
      'a string of 18 characters',
      'clientSecretBasic(secret), privateKeyJwt(',
    ),
  ],
  [
    'no audience',
    { ...good, audience: undefined },
    mismatch(
      'audience',
      'nothing, and the environment variable MTLS_BOUND_AUDIENCE is not set',
      "the identifier of this API or a list of them, or 'server-enforced'",
    ),
  ],
  [
    'an empty list of audiences',
    { ...good, audience: [] },
    mismatch(
      'audience',
      'a list',
      "the identifier of this API or a list of them, or 'server-enforced' where the authorization server checks the audience",
    ),
  ],
  ['an audience of another type', { ...good, audience: ['a', 1] }, mismatch('audience', 'a list')],
  [
    'server-enforced beside others',
    { ...good, audience: ['server-enforced', 'a'] },
    mismatch('audience', 'both', "'server-enforced' alone, or identifiers alone"),
  ],
  [
    'several issuers beside one',
    { ...good, issuers: [{ issuer: good.issuer }] },
    mismatch('issuer', 'both', 'nothing next to issuers'),
  ],
  [
    'one credential beside several issuers',
    { audience: 'a', clientSecret: '31415', issuers: [{ issuer: good.issuer }] },
    mismatch('clientSecret', 'both', 'nothing next to issuers'),
  ],
  [
    'no issuer in the list',
    { audience: 'a', issuers: [] },
    mismatch('issuers', 'a list', 'a list of one or more'),
  ],
  ['issuers that are no list', { audience: 'a', issuers: {} }, mismatch('issuers', 'an object')],
  [
    'issuers by name',
    { audience: 'a', issuers: [good.issuer] },
    mismatch('issuers[0]', 'a string of 22 characters'),
  ],
  [
    'an issuer of the list without credentials, whatever the environment says',
    { audience: 'a', issuers: [good, { issuer: 'https://b.example.com' }] },
    mismatch('issuers[1].clientId', 'nothing', 'a non-empty string'),
  ],
  [
    'an issuer twice',
    { issuers: [good, good] },
    mismatch('issuers', 'https://as.example.com twice', 'each issuer once'),
  ],
  [
    'an unknown option of an issuer',
    { issuers: [{ ...good, realm: 'x' }] },
    mismatch('issuers[0]', 'a name of 5 characters', 'no options but issuer, '),
  ],
  [
    'no audience for an issuer',
    { issuers: [{ ...good, audience: undefined }] },
    mismatch('audience', 'nothing, and the environment variable MTLS_BOUND_AUDIENCE is not set'),
  ],
  [
    'a selection of nothing',
    { ...good, selectIssuer: 'in-order' },
    mismatch('selectIssuer', 'nothing there', 'issuers, which it selects from next to it'),
  ],
  [
    'a selection that is none',
    { issuers: [good], selectIssuer: 'random' },
    mismatch(
      'selectIssuer',
      'a string of 6 characters',
      'issuerByHeader(), issuerByHost(), issuerByPath(), a function',
    ),
  ],
  [
    'a selection of an issuer that is not there',
    { issuers: [good], selectIssuer: issuerByHost({ a: 'https://b.example.com' }) },
    mismatch('selectIssuer', 'https://b.example.com', 'one of issuers'),
  ],
  [
    'metadata without an endpoint',
    { ...good, authorizationServerMetadata: { token_endpoint: 'https://a.example' } },
    mismatch(
      'authorizationServerMetadata',
      'an object',
      'an object like { introspection_endpoint } or { jwks_uri }',
    ),
  ],
  [
    'a binding that is none',
    { ...good, binding: 'optional' },
    mismatch('binding', 'a string of 8 characters', "'required' or 'when-bound'"),
  ],
  ...[
    ['two letters', 'reprot', '"reprot"'],
    ['capitals', 'Required', '"Required"'],
    ['a hyphen', 'when_bound', '"when_bound"'],
    ['a line end', 'report\n', '"report\\n"'],
    ['another word', 'hunter22', 'a string of 8 characters'],
    ['many hyphens', `report${'-'.repeat(40)}`, 'a string of 46 characters'],
  ].map(
    ([title, binding, got]) =>
      [
        `a misspelt binding: ${title}`,
        { ...good, binding },
        mismatch('binding', String(got), "'required' or 'when-bound' or 'report'"),
      ] as [string, object, RegExp],
  ),
  ['a binding of another type', { ...good, binding: false }, mismatch('binding', 'false')],
  [
    'a certificate source that was not called',
    { ...good, certificate: tlsSocket },
    mismatch('certificate', 'a function', 'a certificate source: tlsSocket()'),
  ],
  [
    'a certificate for a source',
    { ...good, certificate: 'x' },
    mismatch('certificate', 'a string of 1 characters'),
  ],
  [
    'a token source that was not called',
    { ...good, tokens: introspection },
    mismatch('tokens', 'a function', 'a token source: introspection()'),
  ],
  [
    'a tolerance beyond 5 minutes',
    { ...good, clockTolerance: 301 },
    mismatch('clockTolerance', '301', 'a number of seconds from 0 to 300'),
  ],
  [
    'a tolerance that is no number',
    { ...good, clockTolerance: Number.NaN },
    mismatch('clockTolerance', 'NaN'),
  ],
  ['a cache that is no object', { ...good, cache: false }, mismatch('cache', 'false', 'an object')],
  [
    'an unknown option of the cache',
    { ...good, cache: { ttl: 1 } },
    mismatch(
      'cache',
      'a name of 3 characters',
      'no options but maxAge, maxEntries, maxSize, rejectionMaxAge, refreshAhead, staleIfError',
    ),
  ],
  [
    'a stale answer where none is kept',
    { ...good, cache: { maxAge: 0, staleIfError: 60 } },
    mismatch('cache.staleIfError', '60', '0 next to cache.maxAge: 0, which keeps no answer'),
  ],
  [
    'two scopes in one text',
    { ...good, resourceMetadata: { resource: 'https://api.example.com', scopesSupported: ['a b'] } },
    mismatch(
      'resourceMetadata.scopesSupported',
      'a list',
      'a scope of printable ASCII without blanks, " and \\, or a list of them',
    ),
  ],
  [
    'a negative age',
    { ...good, cache: { maxAge: -1 } },
    mismatch('cache.maxAge', '-1', 'a number of seconds from 0 to 86400'),
  ],
  [
    'an age as text',
    { ...good, cache: { maxAge: '60' } },
    mismatch('cache.maxAge', 'a string of 2 characters'),
  ],
  [
    'half an entry',
    { ...good, cache: { maxEntries: 0.5 } },
    mismatch('cache.maxEntries', '0.5', 'a whole number from 1 to'),
  ],
  [
    'a timeout in milliseconds',
    { ...good, http: { timeout: 5_000 } },
    mismatch('http.timeout', '5000', 'a number of seconds from 0.05 to 60'),
  ],
  [
    'an authority that is no PEM',
    { ...good, http: { ca: 'ca.pem' } },
    mismatch('http.ca', 'a string of 6 characters', 'one or more certificates in PEM'),
  ],
  ['an authority cut short', { ...good, http: { ca: '-----BEGIN CERTIFICATE-----\nMIIB' } }, 'http.ca: '],
  [
    'authorities of which the second is cut short',
    { ...good, http: { ca: [authorities[2], `${authorities[0]}\n${authorities[1]?.slice(0, -40)}`] } },
    mismatch(
      'http.ca',
      'a list: a text or file that breaks off within a certificate or key',
      'one or more certificates in PEM',
    ),
  ],
  [
    'authorities that were joined without a line end',
    { ...good, http: { ca: [authorities[2], `${authorities[0]?.trim()}${authorities[1]}`] } },
    mismatch('http.ca', joined('a list'), 'one or more certificates in PEM'),
  ],
  [
    'authorities of which the second is none',
    {
      ...good,
      http: { ca: `${authorities[0]}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n` },
    },
    /^http\.ca: .*: a PEM certificate that is none$/,
  ],
  [
    'a realm with a quote',
    { ...good, realm: 'my "api"' },
    mismatch('realm', 'a string of 8 characters', 'printable ASCII'),
  ],
  [
    'a realm with a line end',
    { ...good, realm: 'a\r\nSet-Cookie: x' },
    mismatch('realm', 'a string of 16 characters'),
  ],
  ['a realm beyond ASCII', { ...good, realm: 'é' }, mismatch('realm', 'a string of 1 characters')],
  [
    'a body that is no function',
    { ...good, errorBody: {} },
    mismatch('errorBody', 'an object', 'a function'),
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
    mismatch('errorContentType', 'both', "nothing next to onRefused: 'next'"),
  ],
  [
    'refusals that go elsewhere',
    { ...good, onRefused: 'throw' },
    mismatch('onRefused', 'a string of 5 characters', "'answer' or 'next'"),
  ],
];

describe('a configuration that is refused at start-up', () => {
  it.each(wrong)('%s', (_title, options, message) => {
    const error = thrownBy(() => createResourceServer(options as ResourceServerOptions));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(message);
    expect(error.message).toContain((error as ConfigurationError).option);
    expect(error.message).not.toContain('31415');
  });

  it.each<[string, () => unknown, string | RegExp]>([
    [
      'introspection() with an unknown option',
      () => introspection({ hint: true } as never),
      mismatch('introspection()', 'a name of 4 characters'),
    ],
    [
      'introspection() with a parameter of another type',
      () => introspection({ parameters: { a: 1 } } as never),
      mismatch('introspection().parameters', 'an object', 'an object whose values are strings'),
    ],
    [
      'introspection() with a hint of another type',
      () => introspection({ tokenTypeHint: 'yes' } as never),
      mismatch('introspection().tokenTypeHint', 'a string of 3 characters', 'true or false'),
    ],
    [
      'an empty secret',
      () => clientSecretBasic(''),
      mismatch('clientSecretBasic(secret)', '""', 'a non-empty string'),
    ],
    [
      'a secret that is none',
      () => clientSecretBasic(undefined as never),
      mismatch('clientSecretBasic(secret)', 'a value of type undefined'),
    ],
    [
      'issuerByHeader() without issuers',
      () => issuerByHeader('x-tenant', {}),
      mismatch('issuerByHeader(issuers)', 'an object', 'an object from names to issuers, https URLs'),
    ],
    [
      'issuerByHeader() of no header',
      () => issuerByHeader('x tenant', { a: 'https://a.example' }),
      mismatch('issuerByHeader(name)', 'a string of 8 characters', 'a header name'),
    ],
    [
      'issuerByPath() to what is no URL',
      () => issuerByPath({ '/a': 'a' }),
      mismatch('issuerByPath(issuers)', 'an object'),
    ],
    [
      'an RSA key for decryption of 1,024 bits',
      () => jwtAccessTokens({ decryptionKey: weakRsa }),
      mismatch(
        'jwtAccessTokens().decryptionKey',
        'a value of type string',
        'a private key of RSA with 2048 to 8192 bits',
      ),
    ],
    [
      'a key for decryption of a curve that ECDH-ES does not have',
      () => jwtAccessTokens({ decryptionKey: oddCurve }),
      mismatch(
        'jwtAccessTokens().decryptionKey',
        'a value of type string',
        'a private key of RSA with 2048 to 8192 bits',
      ),
    ],
    [
      'a key for decryption that is none',
      () => jwtAccessTokens({ decryptionKey: '31415' }),
      mismatch(
        'jwtAccessTokens().decryptionKey',
        'a value of type string',
        'a private key of RSA with 2048 to 8192 bits, of P-256',
      ),
    ],
    [
      'an introspection that was not called',
      () => jwtAccessTokens({ introspection: {} as never }),
      mismatch('jwtAccessTokens().introspection', 'an object', 'introspection()'),
    ],
  ])('%s', (_title, make, message) => {
    const error = thrownBy(make);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(message);
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
      cache: { maxAge: 60, maxEntries: 10_000, rejectionMaxAge: 5 },
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
      mismatch('MTLS_BOUND_ISSUER', '"http://as.example.com"', 'an https URL'),
    ],
    [
      'MTLS_BOUND_BINDING',
      'no',
      mismatch('MTLS_BOUND_BINDING', 'a string of 2 characters', "'required' or 'when-bound'"),
    ],
    [
      'MTLS_BOUND_CLIENT_AUTHENTICATION',
      'none',
      mismatch(
        'MTLS_BOUND_CLIENT_AUTHENTICATION',
        'a string of 4 characters',
        "'client_secret_basic' or 'client_secret_post'",
      ),
    ],
    [
      'MTLS_BOUND_CA_FILE',
      '/no/such/file',
      mismatch(
        'MTLS_BOUND_CA_FILE',
        '"/no/such/file": no such file (ENOENT)',
        'the path of a readable file of PEM certificates',
      ),
    ],
    [
      'MTLS_BOUND_CA_FILE',
      '/',
      mismatch(
        'MTLS_BOUND_CA_FILE',
        '"/": it is a directory (EISDIR)',
        'the path of a readable file of PEM certificates',
      ),
    ],
    [
      'MTLS_BOUND_CA_FILE',
      './package.json',
      mismatch(
        'MTLS_BOUND_CA_FILE',
        '"./package.json": a text or file without a PEM certificate',
        'the path of a readable file of PEM certificates',
      ),
    ],
    [
      'MTLS_BOUND_CA_FILE',
      'a-secret-in-the-wrong-place',
      mismatch(
        'MTLS_BOUND_CA_FILE',
        'a path of 27 characters: no such file (ENOENT)',
        'the path of a readable file of PEM certificates',
      ),
    ],
    ['MTLS_BOUND_REALM', 'é', mismatch('MTLS_BOUND_REALM', 'a string of 1 characters')],
  ])('a wrong %s is named', (name, value, message) => {
    const { issuer, ...rest } = good;
    const options = name === 'MTLS_BOUND_ISSUER' ? rest : { issuer, ...rest };
    expect(() => resolveSettings(options, { [name]: value })).toThrow(message);
  });

  it('a file of MTLS_BOUND_CA_FILE that was joined without a line end is refused', () => {
    const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-'));
    try {
      const file = join(folder, 'joined.pem');
      writeFileSync(file, `${authorities[0]?.trim()}${authorities[1]}`);
      expect(() => resolveSettings(good, { MTLS_BOUND_CA_FILE: file })).toThrow(
        mismatch(
          'MTLS_BOUND_CA_FILE',
          joined(JSON.stringify(file)),
          'the path of a readable file of PEM certificates',
        ),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
