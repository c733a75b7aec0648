// A header in another form than the preset reads is refused, and the refusal says which form was expected.
import {
  azureApplicationGateway,
  ConfigurationError,
  caddy,
  cloudFoundry,
  cloudFront,
  cloudflare,
  createResourceServer,
  envoy,
  googleCloud,
  haproxy,
  kong,
  type ProxyPreset,
  proxyHeader,
  rfc9440,
} from '@mtls-bound/core';
import request from 'supertest';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { malformedValues } from '../../support/written-certificates.js';

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

it.each(malformedValues)('%s', (_title, make, value, why) => {
  expect(make().decode(value)).toEqual({ kind: 'malformed', why });
});

const hexOf = ({ thumbprint }: Identity): string => Buffer.from(thumbprint, 'base64url').toString('hex');
const base64 = ({ der }: Identity): string => der.toString('base64');

/** Each preset with how its proxy writes a certificate, and with a certificate in another form. */
const rows: [string, () => ProxyPreset, (identity: Identity) => string, (identity: Identity) => string][] = [
  ['HAProxy, PEM', () => haproxy({ encoding: 'pem' }), ({ cert }) => cert.replaceAll('\n', ' '), base64],
  ['HAProxy, hash', () => haproxy({ encoding: 'sha256' }), (one) => hexOf(one).toUpperCase(), base64],
  ['Caddy, no colons', () => caddy({ encoding: 'base64' }), base64, (one) => `:${base64(one)}:`],
  ['Caddy, hash', () => caddy({ encoding: 'sha256' }), hexOf, base64],
  ['CloudFront', () => cloudFront(), ({ cert }) => encodeURIComponent(cert), base64],
  ['CloudFront, passthrough', () => cloudFront({ mode: 'passthrough' }), (one) => `:${base64(one)}:`, base64],
  ['CloudFront, hash', () => cloudFront({ encoding: 'sha256' }), hexOf, ({ thumbprint }) => thumbprint],
  [
    'Google Cloud, hash',
    () => googleCloud({ encoding: 'sha256' }),
    ({ thumbprint }) => Buffer.from(thumbprint, 'base64url').toString('base64'),
    hexOf,
  ],
  ['Cloudflare, RFC 9440', () => cloudflare({ encoding: 'rfc9440' }), (one) => `:${base64(one)}:`, base64],
  ['Cloud Foundry', () => cloudFoundry(), base64, (one) => `Hash=${hexOf(one)}`],
  [
    'Kong, chain',
    () => kong({ encoding: 'escaped-chain' }),
    ({ cert }) => encodeURIComponent(cert + pki.ca.cert),
    base64,
  ],
  [
    'Azure Application Gateway, chain',
    () => azureApplicationGateway({ encoding: 'escaped-chain' }),
    ({ cert }) => encodeURIComponent(cert + pki.ca.cert),
    base64,
  ],
  ['Envoy, JSON', () => envoy(), (one) => JSON.stringify([{ hash: hexOf(one), cert: one.cert }]), base64],
  ['Akamai', () => rfc9440({ header: 'akamai-cc-der' }), (one) => `:${base64(one)}:`, base64],
  [
    'OpenShift',
    () => haproxy({ header: 'x-ssl-client-der' }),
    base64,
    ({ cert }) => encodeURIComponent(cert),
  ],
];

describe.each(frameworks)('%s', (framework) => {
  it.each(rows)('%s', async (_title, make, write, writeOtherwise) => {
    const preset = make();
    const certificate = proxyHeader(preset, { trust: () => true });
    const server = pretendServer(() => boundClaims(pki.alice));
    const api = createApi(framework, optionsOver(server, undefined, { certificate }));
    const status = async (...values: string[]): Promise<number> => {
      const call = request(api.listener).get('/').auth('token', { type: 'bearer' });
      return (await (values.length > 0 ? call.set(preset.header, values as never) : call)).status;
    };
    expect(await status(write(pki.alice))).toBe(200);
    expect(await status(write(pki.bob))).toBe(401);
    expect(await status(write(pki.alice), write(pki.alice))).toBe(400);
    expect(await status('')).toBe(401);
    expect(await status()).toBe(401);
    expect(await status('garbage')).toBe(400);
    expect(await status(writeOtherwise(pki.alice))).toBe(400);
  });
});

describe('certificatePolicy at start-up', () => {
  it.each<[string, ProxyPreset]>([
    ['haproxy()', haproxy({ encoding: 'sha256' })],
    ['caddy()', caddy({ encoding: 'sha256' })],
    ['cloudFront()', cloudFront({ encoding: 'sha256' })],
    ['googleCloud()', googleCloud({ encoding: 'sha256' })],
  ])(
    'a rule on the content of the certificate is refused where %s hands on the hash alone',
    (_title, preset) => {
      const certificate = proxyHeader(preset, { trust: 'loopback' });
      const options = optionsOver(
        pretendServer(() => ({})),
        undefined,
        {
          certificate,
          certificatePolicy: { requireValidNow: true },
        },
      );
      expect(() => createResourceServer(options)).toThrow(ConfigurationError);
      expect(() => createResourceServer(options)).toThrow('certificatePolicy.requireValidNow');
    },
  );

  it.each<[string, ProxyPreset, boolean]>([
    ['CloudFront in verify mode', cloudFront({ mode: 'verify' }), true],
    ['CloudFront, hash, in verify mode', cloudFront({ mode: 'verify', encoding: 'sha256' }), true],
    ['CloudFront', cloudFront(), false],
    ['CloudFront in passthrough mode', cloudFront({ mode: 'passthrough' }), false],
    ['RFC 9440', rfc9440(), false],
    ['RFC 9440 with a verdict', rfc9440({ verifyHeader: 'x-verdict', isVerified: () => true }), true],
    ['Cloudflare, RFC 9440', cloudflare({ encoding: 'rfc9440', verifyHeader: 'cf-cert-verified' }), true],
    ['Google Cloud, hash', googleCloud({ encoding: 'sha256', verifyHeader: 'x-verified' }), true],
    ['Cloud Foundry', cloudFoundry(), false],
  ])('requireVerified behind %s', (_title, preset, isAccepted) => {
    const certificate = proxyHeader(preset, { trust: 'loopback' });
    const options = optionsOver(
      pretendServer(() => ({})),
      undefined,
      {
        certificate,
        certificatePolicy: { requireVerified: true },
      },
    );
    const start = () => createResourceServer(options);
    if (isAccepted) {
      expect(start).not.toThrow();
    } else {
      expect(start).toThrow('certificatePolicy.requireVerified');
    }
  });
});

it.each([
  ['verifyHeader', { verifyHeader: 'x-verdict' }, 'isVerified'],
  ['isVerified', { isVerified: () => true }, 'verifyHeader'],
])('rfc9440() refuses %s alone', (name, options, other) => {
  expect(() => rfc9440(options)).toThrow(
    `rfc9440().${name}: expected ${other} next to it, got nothing there`,
  );
});
