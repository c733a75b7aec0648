// Every function that a package exports stands in a row here. A function that takes an object of options refuses an object that
// it would not honour.

import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import * as core from '@mtls-bound/core';
import * as opentelemetry from '@mtls-bound/core/opentelemetry';
import * as testing from '@mtls-bound/core/testing';
import * as express from 'express-mtls';
import * as expressTelemetry from 'express-mtls/opentelemetry';
import * as expressTesting from 'express-mtls/testing';
import * as koa from 'koa-mtls';
import * as koaTelemetry from 'koa-mtls/opentelemetry';
import * as koaTesting from 'koa-mtls/testing';
import { describe, expect, it } from 'vitest';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { createPki } from '../../support/pki.js';

const modules: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  '@mtls-bound/core': core,
  '@mtls-bound/core/testing': testing,
  '@mtls-bound/core/opentelemetry': opentelemetry,
  'express-mtls': express,
  'express-mtls/testing': expressTesting,
  'express-mtls/opentelemetry': expressTelemetry,
  'koa-mtls': koa,
  'koa-mtls/testing': koaTesting,
  'koa-mtls/opentelemetry': koaTelemetry,
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
  authenticationPolicy: { base: { maxAge: 60 } },
  authorizationDetailsPolicy: { base: detail },
  awsAlb: { base: {} },
  azureAppService: { base: {} },
  azureApplicationGateway: { base: {} },
  caddy: { base: {} },
  routeCertificatePolicy: { base: demand },
  cloudFoundry: { base: {} },
  cloudFront: { base: {} },
  cloudflare: { base: {} },
  createResourceServer: { base: good },
  createSignalReceiver: { base: ofSignals, before: [resourceServer] },
  createTestCertificate: { base: {} },
  createTestKit: { base: {} },
  customHeader: { base: { header: 'x-cert', decode: () => undefined } },
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
  lambdaEvent: { base: {} },
  mtlsBound: { base: good },
  nginx: { base: {} },
  observeEvents: { base: {} },
  observeClients: { base: {} },
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
  certificateSubjectPolicy: { base: { CN: 'sub' } },
  claimsPolicy: { base: { segment: 'private' } },
  issuerByHeader: { base: { acme: issuer }, before: ['x-tenant'] },
  issuerByHost: { base: { 'api.example.com': issuer } },
  issuerByPath: { base: { '/acme': issuer } },
  requireCertificateSubject: { base: { CN: 'sub' } },
  requireClaims: { base: { segment: 'private' } },
};

/** Functions of a text, a function, or an object that another library made, and values that each refuses. */
const none = [undefined, null, 7, true];
const takesOther: Readonly<Record<string, readonly unknown[]>> = {
  createAdapter: [...none, 'text', [], {}, { pass: 7 }],
  anyScopePolicy: [...none, 'text', [], {}, [undefined]],
  bearerTokenAuthentication: [...none, 'text', [], {}],
  clientSecretBasic: [...none, [], {}, ''],
  clientSecretJwt: [...none, [], {}, ''],
  clientSecretPost: [...none, [], {}, ''],
  scopesPolicy: [...none, 'text', [], {}, [undefined]],
  guard: [...none, 'text', [], {}],
  guarded: [...none, 'text', [], {}],
  observeByLog: [...none, 'text', [], {}, { info: () => undefined }],
  observeByPrometheus: [...none, 'text', [], {}],
  resourceMetadataOf: [...none, 'text', [], {}, { resourceServer: {} }],
  protectedResourceMetadata: [...none, 'text', [], {}, { resourceServer: {} }],
  psd2RolePolicy: [...none, 'text', [], {}, 'toString'],
  redisChannel: [...none, 'text', [], {}, { publish: () => undefined }],
  redisLog: [...none, 'text', [], {}, { get: () => undefined }],
  redisLock: [...none, 'text', [], {}, { set: () => undefined }],
  redisProofs: [...none, 'text', [], {}, { get: () => undefined }],
  requireAnyScope: [...none, [], {}, ''],
  requirePsd2Role: [...none, 'text', [], {}, 'toString'],
  requireScopes: [...none, [], {}, ''],
  revocationEndpoint: [...none, [], {}, ''],
};

/** Exports that configure nothing: values, classes, and functions without options, which callbacks may be. */
const takesNothing = [
  'ClientCertificate',
  'ConfigurationError',
  'HttpRefusal',
  'MtlsBoundError',
  'RequestRefused',
  'TransmitterError',
  'activeTokenPolicy',
  'addVary',
  'createHeaderKeeper',
  'expressFrameworkBase',
  'disconnectOnFailure',
  'keepHeader',
  'revocationSyncStates',
  'interactionHeader',
  'observeByOpenTelemetry',
  'psd2Roles',
  'readTokenClaims',
  'redactedPaths',
  'refusalOf',
  'refuseUncalledMiddleware',
  'requireActive',
  'createAsyncHandler',
  'thumbprintOf',
  'tlsSocket',
  'refusingResourceServer',
  'refusingResourceServerNext',
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

  it('refuses a member that it does not know', async () => {
    const refusal = await refusalOf(() => take(...before, { ...base, unknownMember: undefined }));
    expect(refusal).toBeInstanceOf(core.ConfigurationError);
    expect(String(refusal)).toMatch(/: expected no options.*, got a name of 13 characters$/);
  });
});

describe.each(functionsOf(takesOther))('%s: %s()', (_module, name, take) => {
  it.each((takesOther[name] ?? []).map((value) => [value]))('refuses %j', async (value) => {
    expect(await refusalOf(() => take(value))).toBeInstanceOf(core.ConfigurationError);
  });
});

/** Functions that take any number of arguments. */
const takesAnyNumber = ['guarded', 'requireAnyScope', 'requireScopes'];

/** What each function takes, and what it says it takes when it gets an argument more. */
const takesNoMore: Readonly<Record<string, readonly [given: readonly unknown[], accepted: string]>> = {
  ...Object.fromEntries(
    Object.entries(takesOptions).map(([name, { base }]) => [name, [[base], 'one object of options']]),
  ),
  anyScopePolicy: [[['a']], 'one list of scopes'],
  authorizationDetailsPolicy: [[detail], 'one authorization detail, and a guard for each further one'],
  bearerTokenAuthentication: [[() => 'a-token'], 'one function that gives a token'],
  certificateSubjectPolicy: [[{ CN: 'sub' }], 'one object of attribute types'],
  claimsPolicy: [[{ segment: 'private' }], 'one object of claims'],
  clientSecretBasic: [['a-secret'], 'one secret'],
  clientSecretJwt: [['a-secret'], 'one secret'],
  clientSecretPost: [['a-secret'], 'one secret'],
  createAdapter: [[{}, () => undefined], 'a framework and a function that makes a middleware'],
  createSignalReceiver: [[resourceServer, ofSignals], 'a resource server and one object of options'],
  guard: [[() => undefined], 'one route policy'],
  issuerByHeader: [['x-tenant', { acme: issuer }], 'the name of a header and one object of issuers'],
  issuerByHost: [[{ 'api.example.com': issuer }], 'one object of issuers'],
  issuerByPath: [[{ '/acme': issuer }], 'one object of issuers'],
  observeByLog: [[console], 'one logger'],
  observeByOpenTelemetry: [[], 'nothing'],
  observeByPrometheus: [[{}, {}], 'prom-client and a registry'],
  observeEvents: [[{}], 'one observer'],
  protectedResourceMetadata: [[{ resourceServer: {} }], 'the middleware of mtlsBound()'],
  proxyHeader: [[preset, { trust: 'loopback' }], 'a preset and one object of options'],
  psd2RolePolicy: [['PSP_AI'], 'one role, and a guard for each further one'],
  redisChannel: [[{}, 'a-channel'], 'a client and the name of a channel'],
  redisLock: [[{}], 'one client'],
  redisLog: [[{}, {}], 'a client and one object of options'],
  redisProofs: [[{}], 'one client'],
  requireActive: [[], 'nothing'],
  requireAuthorizationDetails: [[detail], 'one authorization detail, and a guard for each further one'],
  requireCertificateSubject: [[{ CN: 'sub' }], 'one object of attribute types'],
  requireClaims: [[{ segment: 'private' }], 'one object of claims'],
  requirePsd2Role: [['PSP_AI'], 'one role, and a guard for each further one'],
  resourceMetadataOf: [[{}, 'a()'], 'the middleware of mtlsBound() and the name of a function'],
  revocationEndpoint: [['tokens:revoke'], 'one scope'],
  scopesPolicy: [[['a']], 'one list of scopes'],
  selfSignedTlsClientAuth: [[identity], 'one object of options or one function'],
  sharedSignals: [[{ resourceServer }, ofSignals], 'the middleware of mtlsBound() and one object of options'],
  tlsClientAuth: [[identity], 'one object of options or one function'],
  tlsSocket: [[], 'nothing'],
};

it('every function that can be configured has its row here, or takes any number of arguments', () => {
  const configured = named.filter((name) => !takesNothing.includes(name));
  const rows = [...Object.keys(takesNoMore), ...takesAnyNumber];
  expect(configured.filter((name) => !rows.includes(name))).toEqual([]);
});

describe.each(functionsOf(takesNoMore))('%s: %s()', (_module, name, take) => {
  const [given, accepted] = takesNoMore[name] ?? [[], ''];
  const got = given.length === 0 ? '1 argument' : `${given.length + 1} arguments`;

  it.each([
    ['of its kind', given.at(-1) ?? {}],
    ['null', null],
  ])('refuses an argument more, which it would ignore: %s', async (_title, more) => {
    const refusal = await refusalOf(() => take(...given, more));
    expect(refusal).toEqual(new core.ConfigurationError(`${name}()`, `expected ${accepted}, got ${got}`));
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
  expect(() => kit[name](wanted as never)).toThrow(/ expected no options but scopes, /);
});

const store = { get: async () => undefined, set: async () => true };
const channel = { publish: async () => undefined, subscribe: async () => async () => undefined };
const log = { setHeader: async () => 'a', append: async () => '1-0', read: async () => [] };
const long = 'a-secret-of-more-than-32-characters';
const { issuer: _issuer, clientId: _id, clientSecret: _secret, ...ofAll } = good;

/** The rules about chains that others need. */
const chainRules = { authorities: pki.ca.cert, revocationCheck: { by: ['crl', 'ocsp'] } };

/** Options in which each group and each list is there, so that no error about a missing one comes first. */
const fuller: readonly object[] = [
  {
    ...good,
    resourceMetadata: { resource: issuer },
    certificatePolicy: { requireValidNow: true, san: { dns: 'a' }, ...chainRules },
    sharedCache: { store, secret: long },
    revocations: { log, secret: long },
    dpop: { origin: 'https://api.example.com', nonce: { secret: long }, store: { add: async () => true } },
  },
  { ...good, revocations: { channel, secret: long } },
  { ...ofAll, issuers: [{ issuer, clientId: 'api', clientSecret: 'a-secret' }], selectIssuer: 'in-order' },
];
const files = { certFile: 'client.pem', keyFile: 'client.key' };
/** Poll and stream each: a poll that has its endpoint excludes a stream. */
const fullerSignals = [
  ofSignals,
  { ...ofSignals, stream: { pushEndpoint: 'https://api.example.com/signals' } },
];
const fullerOf: Readonly<Record<string, readonly object[]>> = {
  createResourceServer: fuller,
  createSignalReceiver: fullerSignals,
  mtlsBound: fuller,
  requireCertificate: [{ ...demand, ...chainRules }],
  routeCertificatePolicy: [{ ...demand, ...chainRules }],
  proxyHeader: [
    { trust: 'loopback', secret: { header: 'x-secret', value: 'x-proxy-secret-1' } },
    ...[{ uri: 'urn:a' }, { dns: 'proxy.example' }, { subject: 'CN=proxy' }].map((name) => ({
      trust: 'loopback',
      proxyCertificate: { ca: pki.ca.cert, ...name },
    })),
  ],
  selfSignedTlsClientAuth: [identity, files],
  sharedSignals: fullerSignals,
  tlsClientAuth: [identity, files],
};
const basesOf = (name: string, base: object): readonly object[] => fullerOf[name] ?? [base];

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** The options with another value at a path of members. */
function changed(base: unknown, [name, ...rest]: readonly string[], value: unknown): unknown {
  if (name === undefined) {
    return value;
  }
  const inner = isObject(base) ? Reflect.get(base, name) : undefined;
  const member = changed(inner, rest, value);
  return name === '0' ? [member] : { ...(isObject(base) ? base : {}), [name]: member };
}

/** The members that a function itself names when it refuses one: what it knows, read from nothing but the code. */
async function pathsOf(take: (given: unknown) => unknown, base: object): Promise<string[][]> {
  const below = async (path: string[]): Promise<string[][]> => {
    const refusal = await refusalOf(() => take(changed(base, path, { unknownMember: 1 })));
    const [, names] =
      /expected no options(?: but (.*))?, got a name of \d+ characters$/.exec(String(refusal)) ?? [];
    const isAbout =
      refusal instanceof core.ConfigurationError &&
      (path.length === 0 ||
        refusal.option.replaceAll(/\[(\d)\]/g, '.$1').endsWith(`.${path.join('.')}`) ||
        refusal.option.replaceAll(/\[(\d)\]/g, '.$1') === path.join('.'));
    const members = isAbout && names !== undefined && names !== 'none' ? names.split(', ') : [];
    const inner = members.flatMap((name) => [
      [...path, name],
      [...path, name, '0'],
    ]);
    const found: string[][] = members.map((name) => [...path, name]);
    for (const one of inner) {
      found.push(...(await below(one)));
    }
    return found;
  };
  return below([]);
}

/** Texts that no message may show: of all characters, and of letters, capitals or digits alone. */
const secretTexts = ['kR7-vQ2_xW9/zLp4', 'correcthorsebattery', 'JBSWYDPEHPKPXPTQ', '31415926535897'];

const formsOf = (text: string): unknown[] => [
  text,
  `${text}\n`,
  [text],
  [text, 7],
  Buffer.from(text),
  { [text]: true },
  { [text]: issuer },
  { value: text, secret: text, [text]: text },
  Number(text),
  BigInt(31_415_926_535_897),
  `https://${text.replaceAll('/', '')}:x@as.example.com/?code=${encodeURIComponent(text)}`,
];

function shownBy(error: unknown): string {
  return [String(error), JSON.stringify(error), inspect(error, { depth: 12, showHidden: true })].join('\n');
}

/** Pieces of eight characters of the text, and of its bytes. */
function piecesOf(text: string): string[] {
  const starts = Array.from({ length: text.length - 7 }, (_, start) => text.slice(start, start + 8));
  return starts.flatMap((piece) => [
    piece,
    Buffer.from(piece).toString('hex'),
    [...Buffer.from(piece)].join(', '),
    [...Buffer.from(piece)].map((byte) => byte.toString(16)).join(' '),
  ]);
}

const secretPieces = secretTexts.map((text) => [text, piecesOf(text)] as const);

/** Gives every form of each secret text. Returns the options that errors name; fails for an error that shows a piece. */
async function namedWithoutSecret(take: (given: unknown) => unknown): Promise<string[]> {
  const named: string[] = [];
  for (const [text, pieces] of secretPieces) {
    for (const form of formsOf(text)) {
      const refusal = await refusalOf(() => take(form));
      if (refusal !== undefined) {
        const shown = shownBy(refusal);
        expect(pieces.filter((piece) => shown.includes(piece))).toEqual([]);
        expect((refusal as Error).name).toBe('ConfigurationError');
        named.push((refusal as core.ConfigurationError).option);
      }
    }
  }
  return named;
}

describe.each(functionsOf(takesOptions))('%s: %s() shows no secret', (_module, name, take) => {
  const { base, before = [] } = takesOptions[name] ?? { base: {} };

  it('that stands in place of its options, or of any option and sub-option that it knows', async () => {
    const given = (options: unknown) => take(...before, options);
    await namedWithoutSecret(given);
    const untried = new Set<string>();
    const tried = new Set<string>();
    for (const one of basesOf(name, base)) {
      for (const path of await pathsOf(given, one)) {
        const dotted = path.filter((member) => member !== '0').join('.');
        if (!tried.has(dotted)) {
          const named = await namedWithoutSecret((value) => given(changed(one, path, value)));
          const isNamed = named.some((option) => option.includes(path.at(-1) ?? ''));
          (isNamed ? tried : untried).add(dotted);
        }
      }
    }
    expect([...untried].filter((path) => !tried.has(path))).toEqual([]);
    const members = Object.keys(base);
    expect([...tried]).toEqual(expect.arrayContaining(members));
  }, 180_000);
});

describe.each(functionsOf({ ...takesNames, ...takesOther }))(
  '%s: %s() shows no secret',
  (_module, name, take) => {
    it('that stands in place of what it takes', async () => {
      const { before = [] } = takesNames[name] ?? {};
      const forms = await namedWithoutSecret((value) => take(...before, value));
      expect(forms).not.toEqual([]);
    });
  },
);

const sources = readdirSync('packages/core/src', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(`packages/core/src/${file}`, 'utf8'));
const variables = new Set(sources.flatMap((text) => text.match(/MTLS_BOUND_[A-Z_]+[A-Z](?=')/g) ?? []));

it.each([...variables])('%s shows no secret that stands in its place', (variable) => {
  const settings: unknown[] = [];
  for (const text of secretTexts.flatMap((one) => [one, `${one} `, `https://x:${one}@a.example/?${one}`])) {
    try {
      settings.push(resolveSettings(ofAll, { MTLS_BOUND_ISSUER: issuer, [variable]: text }));
    } catch (error) {
      const shown = shownBy(error);
      const pieces = secretPieces.flatMap(([, all]) => all);
      expect(pieces.filter((piece) => shown.includes(piece))).toEqual([]);
    }
  }
  expect(variables.size).toBeGreaterThan(5);
});
