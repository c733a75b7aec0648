// Options that fit their types, but with which every request would fail, or a check would mean something else.

import { generateKeyPairSync, webcrypto } from 'node:crypto';
import {
  ConfigurationError,
  introspection,
  jwtAccessTokens,
  privateKeyJwt,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { createApi, frameworks } from '../../support/apis.js';
import { mismatch } from '../../support/mismatch.js';
import { recordedEvents } from '../../support/recorded-events.js';

const as = 'https://as.example.com';
const good = { issuer: as, clientId: 'api', clientSecret: 'a-secret', audience: 'https://api.example.com' };
const introspection_endpoint = `${as}/introspect`;
const jwks_uri = `${as}/jwks`;
const both = jwtAccessTokens({ introspection: introspection() });
const signed = introspection({ signed: true });

const metadataOf: [string, ResourceServerOptions, string | undefined][] = [
  [
    'introspection() without its endpoint',
    { authorizationServerMetadata: { jwks_uri } },
    'introspection_endpoint',
  ],
  ['introspection()', { authorizationServerMetadata: { introspection_endpoint } }, undefined],
  [
    'introspection({ signed }) without keys',
    { tokens: signed, authorizationServerMetadata: { introspection_endpoint } },
    'jwks_uri',
  ],
  [
    'introspection({ signed })',
    { tokens: signed, authorizationServerMetadata: { introspection_endpoint, jwks_uri } },
    undefined,
  ],
  [
    'jwtAccessTokens() without keys',
    { tokens: jwtAccessTokens(), authorizationServerMetadata: { introspection_endpoint } },
    'jwks_uri',
  ],
  ['jwtAccessTokens()', { tokens: jwtAccessTokens(), authorizationServerMetadata: { jwks_uri } }, undefined],
  [
    'both without the endpoint',
    { tokens: both, authorizationServerMetadata: { jwks_uri } },
    'introspection_endpoint',
  ],
  ['both', { tokens: both, authorizationServerMetadata: { introspection_endpoint, jwks_uri } }, undefined],
  [
    'introspection() at an alias',
    { authorizationServerMetadata: { jwks_uri, mtls_endpoint_aliases: { introspection_endpoint } } },
    undefined,
  ],
];

describe('metadata that are given', () => {
  it.each(metadataOf)('%s', (_title, options, missing) => {
    const one = () => resolveSettings({ ...good, ...options }, {});
    const { audience, ...own } = good;
    const { tokens, authorizationServerMetadata } = options;
    const listed = () =>
      resolveSettings({ audience, tokens, issuers: [{ ...own, authorizationServerMetadata }] }, {});
    if (missing === undefined) {
      expect(one().issuers[0]?.authorizationServerMetadata).toEqual(authorizationServerMetadata);
      expect(listed().issuers[0]?.authorizationServerMetadata).toEqual(authorizationServerMetadata);
    } else {
      const why = `authorizationServerMetadata: expected ${missing} among them, which the option tokens needs, got others`;
      expect(one).toThrow(
        new ConfigurationError(
          'authorizationServerMetadata',
          why.slice('authorizationServerMetadata: '.length),
        ),
      );
      expect(listed).toThrow(`issuers[0].${why}`);
    }
  });
});

describe('privateKeyJwt() with RSA', () => {
  it.each([
    [1_024, true],
    [2_047, true],
    [2_048, false],
  ])('%i bits', async (modulusLength, isRefused) => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength });
    const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
    const algorithm = { name: 'RSA-PSS', hash: 'SHA-256' };
    const cryptoKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    for (const key of [pem, privateKey.export({ format: 'jwk' }), cryptoKey]) {
      if (isRefused) {
        const why = `expected an RSA key of 2048 bits or more, got one of ${modulusLength} bits`;
        expect(() => privateKeyJwt({ key })).toThrow(`privateKeyJwt().key: ${why}`);
      } else {
        expect(privateKeyJwt({ key }).method).toBe('private_key_jwt');
      }
    }
  });
});

describe('certificatePolicy.san', () => {
  it.each(['999.1.1.1', '10.0.0', '10.0.0.0/8', 'api.example.com', '::g', ['10.0.0.1', '1']])(
    'ip: %j is refused',
    (ip) => {
      const make = () => resolveSettings({ ...good, certificatePolicy: { san: { ip } } }, {});
      expect(make).toThrow(/^certificatePolicy\.san\.ip: expected an IPv4 or IPv6 address/);
    },
  );

  it.each(['10.0.0.1', '2001:db8::1', ['10.0.0.1', '::1']])('ip: %j is accepted', (ip) => {
    const settings = resolveSettings({ ...good, certificatePolicy: { san: { ip } } }, {});
    expect(settings.certificatePolicy).toBeTypeOf('function');
  });

  it('that lists no names is refused', () => {
    const make = () => resolveSettings({ ...good, certificatePolicy: { san: {} } }, {});
    expect(make).toThrow(mismatch('certificatePolicy.san', 'a list of no names'));
  });
});

it.each([
  'token',
  'token_type_hint',
  'client_id',
  'client_secret',
  'client_assertion',
  'client_assertion_type',
])('introspection().parameters.%s is refused, as this package writes it', (name) => {
  expect(() => introspection({ parameters: { [name]: 'x' } })).toThrow(
    /^introspection\(\)\.parameters: expected .* without token, .*, got an object$/,
  );
});

it.each([
  ['\n', 'ends in a line end'],
  ['\r\n', 'ends in a line end'],
  [' ', 'ends in a blank'],
])('an environment variable that ends with %j is refused, and says so', (end, why) => {
  const { clientSecret, ...rest } = good;
  const make = () => resolveSettings(rest, { MTLS_BOUND_CLIENT_SECRET: `${clientSecret}${end}` });
  expect(make).toThrow(mismatch('MTLS_BOUND_CLIENT_SECRET', `one that ${why}`));
});

it('an environment variable that begins with a blank is refused, and says so', () => {
  const make = () => resolveSettings(good, { MTLS_BOUND_REALM: ' api' });
  expect(make).toThrow(mismatch('MTLS_BOUND_REALM', 'one that begins with a blank'));
});

describe.each(frameworks)(
  '%s: http.maxConcurrent is at least twice the two places of a client',
  (framework) => {
    const { audience, ...own } = good;
    it.each<[string, number, string | undefined]>([
      ['one', 1, '1'],
      ['three', 3, '3'],
      ['four', 4, undefined],
    ])('%s', (_title, maxConcurrent, given) => {
      const http = { maxConcurrent };
      for (const options of [
        { ...good, http },
        { audience, issuers: [own, { ...own, issuer: `${as}/2`, http }] },
      ]) {
        const create = () => createApi(framework, options);
        if (given === undefined) {
          expect(create).not.toThrow();
        } else {
          expect(create).toThrow(`http.maxConcurrent: expected a whole number from 4 to 10000, got ${given}`);
        }
      }
    });
  },
);

describe.each(frameworks)('%s: the environment switches a check off', (framework) => {
  const problems = recordedEvents<{ code: string }>('mtls-bound:problem');
  const { audience, ...rest } = good;

  it.each<[string, string, ResourceServerOptions, string[]]>([
    ['MTLS_BOUND_AUDIENCE', 'server-enforced', rest, ['audience_not_enforced']],
    ['MTLS_BOUND_AUDIENCE', 'server-enforced', good, []],
    ['MTLS_BOUND_AUDIENCE', audience, rest, []],
    ['MTLS_BOUND_AUDIENCE', audience, { ...rest, audience: 'server-enforced' }, []],
    ['MTLS_BOUND_BINDING', 'when-bound', good, ['binding_not_enforced']],
    ['MTLS_BOUND_BINDING', 'report', good, ['binding_not_enforced']],
    ['MTLS_BOUND_BINDING', 'required', good, []],
  ])('%s=%s', (variable, value, options, codes) => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue(undefined);
    vi.stubEnv(variable, value);
    try {
      createApi(framework, options);
      expect(problems.map(({ code }) => code)).toEqual(codes);
      const warned = warn.mock.calls.map(([, how]) => (how as unknown as { code: string }).code);
      expect(warned).toEqual(codes.map((code) => `MTLS_BOUND_${code.toUpperCase()}`));
    } finally {
      vi.unstubAllEnvs();
      warn.mockRestore();
    }
  });
});
