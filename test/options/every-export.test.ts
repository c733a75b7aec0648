// Every function that a package exports stands in a row here. A function that takes an object of options refuses an object that
// it would not honour.

import { generateKeyPairSync } from 'node:crypto';
import * as core from '@mtls-bound/core';
import * as opentelemetry from '@mtls-bound/core/opentelemetry';
import * as testing from '@mtls-bound/core/testing';
import * as express from 'express-mtls';
import * as koa from 'koa-mtls';
import { describe, expect, it } from 'vitest';
import { createPki } from '../support/pki.js';

const modules: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  '@mtls-bound/core': core,
  '@mtls-bound/core/testing': testing,
  '@mtls-bound/core/opentelemetry': opentelemetry,
  'express-mtls': express,
  'koa-mtls': koa,
};

const ofCore: Readonly<Record<string, unknown>> = { ...core };
const issuer = 'https://as.example.com';
const good = { issuer, clientId: 'api', clientSecret: 'a-secret', audience: 'https://api.example.com' };
const pki = await createPki();
const key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
const identity = { cert: pki.alice.cert, key: pki.alice.key };
const preset = { name: 'own', header: 'x-cert', decode: () => ({ kind: 'none' }) };
const detail = { type: 'payment_initiation' };
const demand = { requireValidNow: true };
const resourceServer = { issuers: [issuer], revoke: async () => undefined };
const ofSignals = { transmitter: issuer, audience: 'https://api.example.com' };

/** Options that each function accepts, and the arguments that go before them. */
const takesOptions: Readonly<Record<string, { base: object; before?: readonly unknown[] }>> = {
  apache: { base: {} },
  authentication: { base: { maxAge: 60 } },
  authorizationDetail: { base: detail },
  awsAlb: { base: {} },
  azureAppService: { base: {} },
  azureApplicationGateway: { base: {} },
  caddy: { base: {} },
  certificateOnRoute: { base: demand },
  cloudflare: { base: {} },
  createResourceServer: { base: good },
  createSignalReceiver: { base: ofSignals, before: [resourceServer] },
  createTestCertificate: { base: {} },
  createTestKit: { base: {} },
  custom: { base: { header: 'x-cert', decode: () => undefined } },
  envoy: { base: {} },
  f5: { base: {} },
  fapiHeaderReader: { base: {} },
  fapiHeaders: { base: {} },
  fapiTlsOptions: { base: {} },
  googleCloud: { base: {} },
  haproxy: { base: {} },
  ingressNginx: { base: {} },
  introspection: { base: {} },
  istio: { base: {} },
  jwtAccessTokens: { base: {} },
  kong: { base: {} },
  mtlsBound: { base: good },
  nginx: { base: {} },
  observe: { base: {} },
  privateKeyJwt: { base: { key } },
  proxyHeader: { base: { trust: 'loopback' }, before: [preset] },
  requireAuthentication: { base: { maxAge: 60 } },
  requireAuthorizationDetails: { base: detail },
  requireCertificate: { base: demand },
  rfc9440: { base: {} },
  selfSignedTlsClientAuth: { base: identity },
  sharedSignals: { base: ofSignals, before: [{ resourceServer }] },
  tlsClientAuth: { base: identity },
  traefik: { base: {} },
  uniIdLibra: { base: {} },
};

/** Functions of an object whose names the user chooses: no name is unknown. */
const takesNames: typeof takesOptions = {
  certificateSubject: { base: { CN: 'sub' } },
  claimValues: { base: { segment: 'private' } },
  issuerByHeader: { base: { acme: issuer }, before: ['x-tenant'] },
  issuerByHost: { base: { 'api.example.com': issuer } },
  issuerByPath: { base: { '/acme': issuer } },
  requireCertificateSubject: { base: { CN: 'sub' } },
  requireClaims: { base: { segment: 'private' } },
};

/** Functions of a text, a function, or an object that another library made, and values that each refuses. */
const none = [undefined, null, 7, true];
const takesOther: Readonly<Record<string, readonly unknown[]>> = {
  anyScope: [...none, 'text', [], {}, [undefined]],
  bearerToken: [...none, 'text', [], {}],
  clientSecretBasic: [...none, [], {}, ''],
  clientSecretJwt: [...none, [], {}, ''],
  clientSecretPost: [...none, [], {}, ''],
  everyScope: [...none, 'text', [], {}, [undefined]],
  guard: [...none, 'text', [], {}],
  guarded: [...none, 'text', [], {}],
  observeByLog: [...none, 'text', [], {}, { info: () => undefined }],
  observeByPrometheus: [...none, 'text', [], {}],
  protectedResourceMetadata: [...none, 'text', [], {}, { resourceServer: {} }],
  psd2Role: [...none, 'text', [], {}, 'toString'],
  redisChannel: [...none, 'text', [], {}, { publish: () => undefined }],
  redisLog: [...none, 'text', [], {}, { get: () => undefined }],
  redisClaims: [...none, 'text', [], {}, { set: () => undefined }],
  requireAnyScope: [...none, [], {}, ''],
  requirePsd2Role: [...none, 'text', [], {}, 'toString'],
  requireScopes: [...none, [], {}, ''],
  revocationEndpoint: [...none, [], {}, ''],
};

/** Exports that configure nothing: values, classes, and functions without options. */
const takesNothing = [
  'ClientCertificate',
  'ConfigurationError',
  'MtlsBoundError',
  'RequestRefused',
  'activeToken',
  'hearingStates',
  'interactionHeader',
  'observeByOpenTelemetry',
  'psd2Roles',
  'readTokenClaims',
  'redactedPaths',
  'refuseUncalled',
  'requireActive',
  'thumbprintOf',
  'tlsSocket',
  'unguarded',
];

const named = [
  ...Object.keys(takesOptions),
  ...Object.keys(takesNames),
  ...Object.keys(takesOther),
  ...takesNothing,
];

it.each(Object.entries(modules))('every export of %s has its row', (_module, exported) => {
  expect(Object.keys(exported).filter((name) => !named.includes(name))).toEqual([]);
});

it('every row is that of an export, and no export has two', () => {
  const exported = new Set(Object.values(modules).flatMap((module) => Object.keys(module)));
  expect(named.toSorted()).toEqual([...exported].toSorted());
});

class Instance {}

function wrongForms(base: object): [string, unknown][] {
  return [
    ['null', null],
    ['a text', 'text'],
    ['a number', 7],
    ['a flag', true],
    ['a list', []],
    ['a list with the options', [base]],
    ['inherited members', Object.create(base)],
    ['an instance of a class', Object.assign(new Instance(), base)],
    ['a Map', new Map(Object.entries(base))],
  ];
}

/** The functions of a table, in each module that exports one itself. */
function functionsOf(
  table: Readonly<Record<string, unknown>>,
): [string, string, (...given: unknown[]) => unknown][] {
  return Object.entries(modules).flatMap(([module, exported]) =>
    Object.keys(table)
      .filter((name) => name in exported && (module.startsWith('@') || exported[name] !== ofCore[name]))
      .map((name): [string, string, (...given: unknown[]) => unknown] => [
        module,
        name,
        exported[name] as (...given: unknown[]) => unknown,
      ]),
  );
}

/** What the function throws or rejects with; undefined where it accepts. */
async function refusalOf(run: () => unknown): Promise<unknown> {
  try {
    await run();
    return undefined;
  } catch (error) {
    return error;
  }
}

const isFunctionItself = (name: string) => name.endsWith('lsClientAuth');

describe.each(functionsOf({ ...takesOptions, ...takesNames }))('%s: %s()', (_module, name, take) => {
  const { base, before = [] } = { ...takesOptions, ...takesNames }[name] ?? { base: {} };

  it('accepts its options, also from an object without a prototype', async () => {
    expect(await refusalOf(() => take(...before, base))).toBeUndefined();
    const bare: unknown = Object.assign(Object.create(null), base);
    expect(await refusalOf(() => take(...before, bare))).toBeUndefined();
  });

  it.each(wrongForms(base))('refuses %s in place of its options', async (_form, wrong) => {
    expect(await refusalOf(() => take(...before, wrong))).toBeInstanceOf(core.ConfigurationError);
  });

  it('refuses a function in place of its options, unless it may be one', async () => {
    const refusal = await refusalOf(() => take(...before, () => base));
    if (isFunctionItself(name)) {
      expect(refusal).toBeUndefined();
    } else {
      expect(refusal).toBeInstanceOf(core.ConfigurationError);
    }
  });
});

describe.each(functionsOf(takesOptions))('%s: %s()', (_module, name, take) => {
  const { base, before = [] } = takesOptions[name] ?? { base: {} };

  it('refuses a member that it does not know, by name', async () => {
    const refusal = await refusalOf(() => take(...before, { ...base, unknownMember: undefined }));
    expect(refusal).toBeInstanceOf(core.ConfigurationError);
    expect(String(refusal)).toMatch(/unknownMember: there is no such option; accepted /);
  });
});

describe.each(functionsOf(takesOther))('%s: %s()', (_module, name, take) => {
  it.each((takesOther[name] ?? []).map((value) => [value]))('refuses %j', async (value) => {
    expect(await refusalOf(() => take(value))).toBeInstanceOf(core.ConfigurationError);
  });
});

describe('proxyHeader(preset)', () => {
  it.each(wrongForms(preset))('refuses %s', (_form, wrong) => {
    expect(() => core.proxyHeader(wrong as never, { trust: 'loopback' })).toThrow(core.ConfigurationError);
  });
});

it.each([
  ['boundToken', { scope: 'a' }],
  ['unboundToken', { certificate: pki.alice }],
] as const)('the test kit: %s() refuses a member that it does not know', async (name, wanted) => {
  const kit = await testing.createTestKit();
  expect(() => kit[name](wanted as never)).toThrow(/: there is no such option; accepted are scopes, /);
});
