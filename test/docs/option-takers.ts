import { createHash, generateKeyPairSync } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import * as core from '@mtls-bound/core';
import { createTestCertificate } from '@mtls-bound/core/testing';
import { introspectionOptions } from '../../packages/core/src/authorization-server/introspection.js';
import { jwtAccessTokensOptions } from '../../packages/core/src/authorization-server/jwt.js';
import { privateKeyOptions } from '../../packages/core/src/authorization-server/private-key.js';
import type { CertificatePolicy } from '../../packages/core/src/certificate-policy/certificate-policy.js';
import { fapiTlsServerOptions } from '../../packages/core/src/fapi/fapi-tls-options.js';
import { observeClientsOptions } from '../../packages/core/src/observe/clients.js';
import { issuerOptions } from '../../packages/core/src/options/issuer-options.js';
import {
  resolveSettings,
  resourceServerOptions,
} from '../../packages/core/src/options/resource-server-options.js';
import {
  authenticationOptions,
  createAuthenticationPolicy,
} from '../../packages/core/src/policy/authentication.js';
import {
  authorizationDetailOptions,
  createAuthorizationDetailsPolicy,
} from '../../packages/core/src/policy/authorization-details.js';
import { fapiHeadersOptions } from '../../packages/core/src/request/fapi-headers.js';
import type { OptionGroup } from '../../packages/core/src/shared/option-group.js';
import {
  resolveSignalSettings,
  sharedSignalsOptions,
} from '../../packages/core/src/signals/signal-options.js';
import { namedProxyOptions } from '../../packages/core/src/trusted-proxy/named-proxy.js';
import { proxyHeaderOptions } from '../../packages/core/src/trusted-proxy/proxy-header.js';
import * as presets from '../../packages/core/src/trusted-proxy/proxy-presets.js';
import { trustOptions } from '../../packages/core/src/trusted-proxy/trusted-proxy.js';
import { createPki } from '../support/pki.js';

/** What takes options, and how what it made of them can be looked at. */
export interface Taker {
  /** As errors name it; empty for `mtlsBound()`, whose options are named by themselves. */
  readonly name: string;
  readonly group: OptionGroup;
  /** Enough to be accepted. */
  readonly base: object;
  readonly take: (options: never, environment?: NodeJS.ProcessEnv) => unknown;
  /** What differs when a default does. */
  readonly seen?: (made: never) => unknown;
}

const { ca } = await createPki();
const issuer = 'https://as.example.com';
const secret = 'at least thirty-two characters of secret';
const proxySecret = 'at-least-16-characters';
const store = { get: async () => undefined, set: async () => undefined };
const log = {
  setHeader: async (header: string) => header,
  append: async () => '',
  read: async () => ({ name: undefined, lastGiven: undefined, entries: [] }),
};
const ofFleet = { publish: async () => 0, subscribe: async () => 0 };
const lock = { acquire: async () => true, release: async () => undefined };
const proofs = { add: async () => true };
const expired = await createTestCertificate({ notBefore: new Date(0), notAfter: new Date(1_000) });
// Without a verdict on its chain: rules by names look at it, and requireVerified refuses it.
const certificate = new core.ClientCertificate(expired.der ?? new Uint8Array());

const clientAuthentication = core.bearerTokenAuthentication(() => 'a-token');

/** What each option of `certificatePolicy.revocationCheck` needs. */
function ofStatus(...names: readonly string[]): Record<string, object> {
  const revocationCheck = { by: ['crl', 'ocsp'] };
  return Object.fromEntries(
    names.map((name) => [
      `certificatePolicy.revocationCheck.${name}`,
      { certificatePolicy: { authorities: ca.cert, revocationCheck } },
    ]),
  );
}

function ofSignals(options: object, group: string, ...names: string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [`sharedSignals().${group}.${name}`, options]));
}

export const ofResourceServer: Taker = {
  name: '',
  group: { ...issuerOptions, ...resourceServerOptions },
  base: {
    issuer,
    clientId: 'api',
    clientSecret: 'a-secret',
    audience: 'https://api.example.com',
    certificatePolicy: { subject: 'CN=none-of-these' },
    resourceMetadata: { resource: 'https://api.example.com' },
    sharedCache: { store, secret },
  },
  take: (options, environment = {}) => resolveSettings(options, environment),
  seen: ({ certificatePolicy, resourceMetadata, ...settings }: ReturnType<typeof resolveSettings>) => ({
    ...settings,
    policy: certificatePolicy && refusalBy(certificatePolicy),
    revocationCheck: certificatePolicy?.revocationCheck,
    document: resourceMetadata?.answerTo('GET', '/.well-known/oauth-protected-resource'),
  }),
};

/** What an option needs beside it to be looked at, by its path. */
export const beside: Readonly<Record<string, object>> = {
  issuers: { issuer: undefined, clientId: undefined, clientSecret: undefined },
  tokens: { sharedCache: undefined },
  'cache.refreshAhead': { cache: { maxAge: 86_400 } },
  'revocations.secret': {
    revocations: { channel: ofFleet, secret },
  },
  'revocations.maxAgeWhileUnsynced': { revocations: { channel: ofFleet, secret } },
  'sharedCache.lockTimeout': { sharedCache: { store, secret, lock } },
  'revocations.jwtsWithUnknownRevocation': { revocations: { log, secret } },
  'revocations.maxWait': { revocations: { log, secret } },
  ...ofStatus('mode', 'ca', 'crlFiles', 'origins', 'refreshInterval', 'timeout', 'maxSize', 'nonce'),
  'dpop.nonce.maxAge': { dpop: { nonce: { secret } } },
  'dpop.timeout': { dpop: { store: proofs } },
  'dpop.onStoreFailure': { dpop: { store: proofs } },
  'sharedSignals().clientAuthentication': { poll: {} },
  ...ofSignals({ clientAuthentication }, 'poll', 'endpoint', 'interval', 'wait', 'maxEvents'),
  ...ofSignals({ clientAuthentication }, 'stream', 'pushEndpoint'),
  ...ofSignals({ clientAuthentication, poll: {} }, 'stream', 'events', 'description', 'verificationInterval'),
  'proxyHeader().proxyCertificate.dns': { uri: undefined },
  'proxyHeader().proxyCertificate.subject': { uri: undefined },
  'envoy().hops': { forward: 'append-forward' },
};

const userVerdict = { verifyHeader: 'x-verify', isVerified: () => true };

export const ofFunctions: readonly Taker[] = [
  { name: 'introspection()', group: introspectionOptions, base: {}, take: core.introspection, seen: asks },
  { name: 'jwtAccessTokens()', group: jwtAccessTokensOptions, base: {}, take: core.jwtAccessTokens },
  {
    name: 'proxyHeader()',
    group: { ...trustOptions, ...proxyHeaderOptions },
    base: { trust: 'loopback', secret: { header: 'x-proxy-secret', value: proxySecret } },
    take: (options) => core.proxyHeader(anything, options),
    seen: keeps,
  },
  {
    name: 'proxyHeader().proxyCertificate',
    group: namedProxyOptions,
    base: { ca: ca.cert, uri: 'urn:example:proxy' },
    take: (proxyCertificate) => core.proxyHeader(anything, { trust: 'loopback', proxyCertificate }),
  },
  { name: 'nginx()', group: presets.headerNameOptions, base: {}, take: core.nginx },
  { name: 'traefik()', group: presets.certificateHeaderOptions, base: {}, take: core.traefik, seen: reads },
  {
    name: 'rfc9440()',
    group: presets.rfc9440Options,
    base: userVerdict,
    take: core.rfc9440,
    seen: ({ verdict }: core.ProxyPreset) => verdict,
  },
  { name: 'apache()', group: presets.apacheOptions, base: {}, take: core.apache, seen: reads },
  { name: 'awsAlb()', group: presets.awsAlbOptions, base: {}, take: core.awsAlb, seen: reads },
  { name: 'envoy()', group: presets.xfccOptions, base: {}, take: core.envoy, seen: reads },
  { name: 'haproxy()', group: presets.haproxyOptions, base: {}, take: core.haproxy, seen: reads },
  { name: 'caddy()', group: presets.caddyOptions, base: {}, take: core.caddy, seen: reads },
  { name: 'cloudFront()', group: presets.cloudFrontOptions, base: {}, take: core.cloudFront, seen: reads },
  { name: 'googleCloud()', group: presets.googleCloudOptions, base: {}, take: core.googleCloud, seen: reads },
  { name: 'cloudflare()', group: presets.cloudflareOptions, base: {}, take: core.cloudflare, seen: reads },
  {
    name: 'azureApplicationGateway()',
    group: presets.azureApplicationGatewayOptions,
    base: {},
    take: core.azureApplicationGateway,
    seen: reads,
  },
  { name: 'f5()', group: presets.f5Options, base: {}, take: core.f5, seen: reads },
  { name: 'kong()', group: presets.kongOptions, base: {}, take: core.kong, seen: reads },
  {
    name: 'customHeader()',
    group: presets.customHeaderOptions,
    base: { header: 'x-cert', decode: () => undefined, ...userVerdict },
    take: core.customHeader,
    seen: ({ name, thumbprintOnly, verdict }: core.ProxyPreset) => ({ name, thumbprintOnly, verdict }),
  },
  {
    name: 'privateKeyJwt()',
    group: privateKeyOptions,
    base: { key: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) },
    take: core.privateKeyJwt,
  },
  {
    name: 'requireAuthentication()',
    group: authenticationOptions,
    base: { acrValues: ['urn:example:sca'] },
    take: (given: never) => createAuthenticationPolicy('requireAuthentication()', given),
  },
  {
    name: 'requireAuthorizationDetails()',
    group: authorizationDetailOptions,
    base: { type: 'payment_initiation' },
    take: (given: never) => createAuthorizationDetailsPolicy('requireAuthorizationDetails()', given),
  },
  {
    name: 'sharedSignals()',
    group: sharedSignalsOptions,
    base: { transmitter: issuer, audience: 'https://api.example.com' },
    take: (options) => resolveSignalSettings([issuer], options, {}),
    seen: (settings) => settings,
  },
  {
    name: 'fapiTlsOptions()',
    group: fapiTlsServerOptions,
    base: {},
    take: core.fapiTlsOptions,
    seen: (made) => made,
  },
  {
    name: 'observeClients()',
    group: observeClientsOptions,
    base: {},
    take: core.observeClients,
    seen: (clients: core.ObservedClients) => {
      const seen = channel('mtls-bound:admitted');
      for (let i = 0; i < 1_200; i += 1) {
        seen.publish({ issuer, clientId: `client ${i}`, isBound: true });
      }
      const { length } = clients.rows();
      clients.end();
      return length;
    },
  },
  {
    name: 'fapiHeaders()',
    group: fapiHeadersOptions,
    base: {},
    take: core.fapiHeaderReader,
    seen: (read: (req: object) => core.FapiHeadersResult) => {
      const { refusal, onRefused } = read({ headers: {} });
      return [refusal?.code, onRefused];
    },
  },
];

/** Takes whatever is in the header. */
const anything: core.ProxyPreset = {
  name: 'anything',
  header: 'x-cert',
  decode: (value) => {
    const content = createHash('sha256').update(value).digest();
    return { kind: 'certificate', der: Buffer.concat([Buffer.from([0x30, content.length]), content]) };
  },
};

/** The longest header that is read, and how many certificates are remembered, as far as the defaults go. */
function keeps(source: core.CertificateSource): unknown {
  const socket = { remoteAddress: '127.0.0.1' };
  const read = (value: string) =>
    source({ rawHeaders: ['x-cert', value, 'x-proxy-secret', proxySecret], socket } as never);
  const isRead = (length: number) => {
    try {
      return read('x'.repeat(length)) !== undefined;
    } catch {
      return false;
    }
  };
  const isRemembered = (count: number) => {
    const first = read(`${count}: first`);
    for (let i = 1; i < count; i += 1) {
      read(`${count}: ${i}`);
    }
    return read(`${count}: first`) === first;
  };
  return { lengths: [16_384, 16_385].map(isRead), counts: [1_000, 1_001].map(isRemembered) };
}

function refusalBy(policy: CertificatePolicy): string {
  try {
    policy(certificate, Date.now());
    return 'none';
  } catch (refusal) {
    return (refusal as Error).message;
  }
}

/** What is sent to the server, and what a 400 is taken for. */
async function asks(source: core.TokenSource): Promise<unknown> {
  const sent: unknown[] = [];
  const read = source({
    issuer,
    audience: 'server-enforced',
    clockTolerance: 30,
    permittedAlgorithms: undefined,
    timeout: 1,
    client: () => ({ id: 'api', authentication: core.clientSecretBasic('a-secret') }),
    metadata: async () => ({ issuer, introspection_endpoint: `${issuer}/introspect` }),
    http: async (_url, { headers, body }) => {
      sent.push(headers, String(body));
      return sent.length > 2 ? Response.json({ active: true }) : new Response('{}', { status: 400 });
    },
  });
  const ask = () => read('a-token').catch((refusal: core.RequestRefused) => refusal.code);
  return { sent, ofBadRequest: await ask(), ofActive: await ask() };
}

/** What a preset makes of the same certificate in every form. */
function reads({ header, decode }: core.ProxyPreset): unknown {
  const der = Buffer.from(certificate.der ?? []);
  const base64 = der.toString('base64');
  const pem = `-----BEGIN CERTIFICATE----- ${base64} -----END CERTIFICATE-----`;
  const element = `Hash=${Buffer.from(certificate.thumbprint, 'base64url').toString('hex')}`;
  const forms = [
    pem,
    encodeURIComponent(pem),
    base64,
    Buffer.from(pem).toString('base64'),
    element,
    `${element},${element}`,
    `:${base64}:`,
    encodeURIComponent(`${pem} ${pem}`),
    element.slice(5),
    Buffer.from(certificate.thumbprint, 'base64url').toString('base64'),
  ];
  return { header, kinds: forms.map((form) => decode(form).kind) };
}
