import { mismatch } from '../../support/mismatch.js';
import 'reflect-metadata';
import {
  type CertificatePolicyOptions,
  ClientCertificate,
  ConfigurationError,
  customHeader,
  nginx,
  proxyHeader,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import * as x509 from '@peculiar/x509';
import { describe, expect, it } from 'vitest';
import { x509 as certificateLibrary } from '../../../packages/core/src/certificate/lazy-x509.js';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import { resolveSettings } from '../../../packages/core/src/options/resource-server-options.js';
import { frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { type Identity, issueFrom } from '../../support/pki.js';
import { useFaultyServer } from '../../support/suites.js';
import { rfc8705AppendixA } from '../../support/vectors.js';

const { pki, server } = await useFaultyServer();
await certificateLibrary.load();
let named: Identity;

named = await issueFrom(pki, 'C=NO, O=Example\\, Inc., CN=Alice', [
  new x509.SubjectAlternativeNameExtension([
    { type: 'dns', value: 'Client.Example.com' },
    { type: 'url', value: 'urn:example:client' },
    { type: 'ip', value: '2001:db8::1' },
    { type: 'email', value: 'a@example.com' },
    { type: 'url', value: '2001:DB8::2' },
    { type: 'ip', value: '192.0.2.1' },
  ]),
]);

const base = { issuer: 'https://as.example.com', clientId: 'api', clientSecret: 'secret', audience };

function policyOf(certificatePolicy: CertificatePolicyOptions) {
  const { certificatePolicy: policy } = resolveSettings({ ...base, certificatePolicy }, {});
  return (certificate?: ClientCertificate, now = Date.now()): string => {
    try {
      policy?.(certificate, now);
      return 'fits';
    } catch (error) {
      expect(error).toBeInstanceOf(RequestRefused);
      const { status, detail } = error as RequestRefused;
      return `${status} ${detail}`;
    }
  };
}

function outcome(
  certificatePolicy: CertificatePolicyOptions,
  certificate?: ClientCertificate,
  now = Date.now(),
): string {
  return policyOf(certificatePolicy)(certificate, now);
}

const hashAlone = "the proxy hands on the certificate's hash alone, and the rule needs the whole certificate";
const noVerdict = 'it is not verified: no verdict on its chain comes with it';

describe('what a certificate must be', () => {
  const of = ({ der }: Identity, verified?: boolean) => new ClientCertificate(der, { verified });

  it.each<[string, CertificatePolicyOptions, () => ClientCertificate, string | RegExp]>([
    ['verified, and it is', { requireVerified: true }, () => of(pki.alice, true), 'fits'],
    [
      'R19: verified, and it is not',
      { requireVerified: true },
      () => of(pki.selfSignedEc, false),
      '403 it is not verified',
    ],
    [
      'R19: verified, and the source does not say',
      { requireVerified: true },
      () => of(pki.alice),
      '403 it is not verified: no verdict on its chain comes with it',
    ],
    ['valid now, and it is', { requireValidNow: true }, () => of(pki.alice), 'fits'],
    [
      'R20: valid now, and it has expired',
      { requireValidNow: true },
      () => of(pki.expired),
      '403 it is not valid now',
    ],
    ['of a subject', { subject: 'CN=Alice,O=Example\\, Inc.,C=NO' }, () => of(named), 'fits'],
    [
      'of a subject, another spelling',
      { subject: ['CN=x', 'cn=ALICE, o=Example\\2C  Inc., c=no'] },
      () => of(named),
      'fits',
    ],
    [
      'of a subject in the order of the certificate',
      { subject: 'C=NO,O=Example\\, Inc.,CN=Alice' },
      () => of(named),
      '403 its subject is not listed',
    ],
    [
      'of a subject, less than all of it',
      { subject: 'CN=Alice' },
      () => of(named),
      '403 its subject is not listed',
    ],
    ['of an issuer', { issuer: 'O=Example,CN=Test CA' }, () => of(named), 'fits'],
    [
      'of another issuer',
      { issuer: 'O=Example,CN=Other CA' },
      () => of(named),
      '403 its issuer is not listed',
    ],
    ['of a DNS name', { san: { dns: 'client.example.COM' } }, () => of(named), 'fits'],
    [
      'of another DNS name',
      { san: { dns: ['example.com', '*.example.com'] } },
      () => of(named),
      '403 no alternative name is listed',
    ],
    ['of a URI', { san: { uri: 'urn:example:client' } }, () => of(named), 'fits'],
    ['of an address, spelt out', { san: { ip: '2001:0DB8:0:0:0:0:0:1' } }, () => of(named), 'fits'],
    [
      'of another address',
      { san: { ip: '2001:db8::2' } },
      () => of(named),
      '403 no alternative name is listed',
    ],
    ['of an address of IPv4', { san: { ip: ['192.0.2.9', '192.0.2.1'] } }, () => of(named), 'fits'],
    [
      'of a DNS name that is the same in upper case alone',
      { san: { dns: 'cl\u0131ent.example.com' } },
      () => of(named),
      '403 no alternative name is listed',
    ],
    [
      'of a URI in another case',
      { san: { uri: 'URN:example:client' } },
      () => of(named),
      '403 no alternative name is listed',
    ],
    ['of a URI that looks like an address', { san: { uri: '2001:DB8::2' } }, () => of(named), 'fits'],
    [
      'of a URI that looks like an address, in another spelling',
      { san: { uri: '2001:db8::2' } },
      () => of(named),
      '403 no alternative name is listed',
    ],
    ['of an e-mail address', { san: { dns: 'x', email: 'a@example.com' } }, () => of(named), 'fits'],
    [
      'of a name of another kind',
      { san: { uri: ['Client.Example.com', 'client.example.com'], email: 'client.example.com' } },
      () => of(named),
      '403 no alternative name is listed',
    ],
    [
      'with an alternative name, and it has none',
      { san: { dns: 'x' } },
      () => of(pki.alice),
      '403 no alternative name is listed',
    ],
    ['for clients, and it is', { extendedKeyUsage: 'clientAuth' }, () => of(pki.alice), 'fits'],
    [
      'for clients, and it is for servers',
      { extendedKeyUsage: 'clientAuth' },
      () => of(pki.server),
      '403 its extended key usage lacks clientAuth',
    ],
    [
      'for clients, and it does not say',
      { extendedKeyUsage: 'clientAuth' },
      () => of(pki.ca),
      '403 its extended key usage lacks clientAuth',
    ],
    [
      'several, and one does not hold',
      { requireVerified: true, subject: 'CN=x' },
      () => of(named, true),
      '403 its subject is not listed',
    ],
    [
      'refused with 403, said so',
      { requireVerified: true, refusalStatus: 403 },
      () => of(named),
      `403 ${noVerdict}`,
    ],
    [
      'verified, known by its hash alone',
      { requireVerified: true },
      () => new ClientCertificate({ thumbprint: rfc8705AppendixA.thumbprint }, { verified: true }),
      'fits',
    ],
    ['refused with 401', { requireVerified: true, refusalStatus: 401 }, () => of(named), `401 ${noVerdict}`],
    [
      'known by more than its hash',
      { subject: 'CN=x' },
      () => new ClientCertificate({ thumbprint: rfc8705AppendixA.thumbprint }),
      `403 ${hashAlone}`,
    ],
    [
      'valid now, known by its hash alone',
      { requireValidNow: true },
      () => new ClientCertificate({ thumbprint: rfc8705AppendixA.thumbprint }),
      `403 ${hashAlone}`,
    ],
    [
      'X.509 at all',
      { subject: 'CN=x' },
      () => new ClientCertificate(Buffer.from([0x30, 0])),
      '400 not an X.509 certificate that is looked into: it has not the structure of one in DER',
    ],
    [
      'X.509 at all, to be valid',
      { requireValidNow: true },
      () => new ClientCertificate(Buffer.from([0x30, 0])),
      '400 not an X.509 certificate',
    ],
    [
      'nothing, said twice',
      { requireVerified: false, requireValidNow: false },
      () => of(pki.expired, false),
      'fits',
    ],
  ])('%s', (_title, policy, certificate, expected) => {
    const presented = certificate();
    // The second time the same policy knows the certificate; another policy never does.
    const judge = policyOf(policy);
    expect([judge(presented), judge(presented), outcome(policy, presented)]).toEqual(Array(3).fill(expected));
  });

  it('there must be one, under when-bound too', () => {
    expect(outcome({ requireVerified: true })).toBe('401 certificatePolicy needs one');
  });
});

it.each<[string, number, string | RegExp]>([
  ['a second before it is valid', -1_000, '403 it is not valid now'],
  ['a millisecond before it is valid', -1, '403 it is not valid now'],
  ['when it begins to be valid', 0, 'fits'],
])('R20: %s', (_title, offset, expected) => {
  const certificate = new ClientCertificate(pki.alice.der);
  const now = Date.parse(certificate.x509.validFrom) + offset;
  expect(outcome({ requireValidNow: true }, certificate, now)).toBe(expected);
});

it.each<[string, number, string | RegExp]>([
  ['in the last second of its validity', 0, 'fits'],
  ['a millisecond later', 1, '403 it is not valid now'],
])('R20: %s', (_title, offset, expected) => {
  const certificate = new ClientCertificate(pki.alice.der);
  const now = Date.parse(certificate.x509.validTo) + offset;
  expect(outcome({ requireValidNow: true }, certificate, now)).toBe(expected);
});

describe('a policy that is none is refused', () => {
  it.each<[string, unknown, string | RegExp]>([
    ['an unknown rule', { verified: true }, mismatch('certificatePolicy', 'a name of 8 characters')],
    [
      'a name that is none',
      { subject: 'alice' },
      mismatch('certificatePolicy.subject', 'a string of 5 characters'),
    ],
    ['a name that is no text', { subject: 5 }, mismatch('certificatePolicy.subject', 'a number')],
    [
      'an alternative name that is no text',
      { san: { dns: [1] } },
      mismatch('certificatePolicy.san.dns', 'a list'),
    ],
    ['a name among others', { issuer: ['CN=a', 'b'] }, mismatch('certificatePolicy.issuer', 'a list')],
    [
      'a kind that is none',
      { san: { upn: 'x' } },
      mismatch('certificatePolicy.san', 'a name of 3 characters'),
    ],
    [
      'a usage that is none',
      { extendedKeyUsage: 'serverAuth' },
      mismatch('certificatePolicy.extendedKeyUsage', 'a string of 10 characters'),
    ],
    [
      'a status that is none',
      { requireVerified: true, refusalStatus: 404 },
      mismatch('certificatePolicy.refusalStatus', '404'),
    ],
    [
      'no boolean',
      { requireVerified: 'yes' },
      mismatch('certificatePolicy.requireVerified', 'a string of 3 characters'),
    ],
  ])('%s', (_title, certificatePolicy, message) => {
    expect(() => resolveSettings({ ...base, certificatePolicy }, {})).toThrow(message);
  });

  it.each<[string, CertificatePolicyOptions]>([
    ['requireValidNow', { requireValidNow: true }],
    ['issuer', { issuer: 'CN=x' }],
    ['subject', { subject: 'CN=x' }],
    ['san', { san: { dns: 'x' } }],
    ['extendedKeyUsage', { extendedKeyUsage: 'clientAuth' }],
  ])('%s where the proxy hands on the hash of the certificate alone', (name, demand) => {
    const preset = customHeader({
      header: 'x',
      decode: () => undefined,
      verifyHeader: 'x-verify',
      isVerified: () => true,
      thumbprintOnly: true,
    });
    const certificate = proxyHeader(preset, { trust: 'loopback' });
    const certificatePolicy = { requireVerified: true, requireValidNow: false };
    const start = (more: object) => () =>
      resolveSettings({ ...base, certificate, certificatePolicy: { ...certificatePolicy, ...more } }, {});
    expect(start({})).not.toThrow();
    expect(start(demand)).toThrow(ConfigurationError);
    expect(start(demand)).toThrow(
      `certificatePolicy.${name}: expected a preset that hands on the whole certificate next to it, got one that hands on its hash alone`,
    );
  });

  it('requireVerified where the proxy hands on no verdict', () => {
    const mute = proxyHeader(customHeader({ header: 'x', decode: () => undefined }), { trust: 'loopback' });
    const options = { ...base, certificate: mute, certificatePolicy: { requireVerified: true } };
    expect(() => resolveSettings(options, {})).toThrow(ConfigurationError);
    expect(() => resolveSettings(options, {})).toThrow(
      "certificatePolicy.requireVerified: expected true next to a preset whose option verifyHeader names the proxy's header of the verdict, got true next to one without",
    );
    const speaking = proxyHeader(nginx({ verifyHeader: 'x-verify' }), { trust: 'loopback' });
    expect(() => resolveSettings({ ...options, certificate: speaking }, {})).not.toThrow();
  });
});

describe('the proxy’s verdict', () => {
  const source = () => proxyHeader(nginx({ verifyHeader: 'X-SSL-Client-Verify' }), { trust: '127.0.0.1' });
  const verdict = (from: ReturnType<typeof source>, ...lines: string[]) => {
    const rawHeaders = ['x-ssl-client-cert', encodeURIComponent(pki.alice.cert), ...lines];
    return from({ socket: { remoteAddress: '127.0.0.1' }, rawHeaders, headers: {} } as never)?.verified;
  };

  it('is read for each request, though the certificate is remembered', () => {
    const from = source();
    const header = 'X-SSL-Client-Verify';
    expect(verdict(from, header, 'SUCCESS')).toBe(true);
    expect(verdict(from, header, 'FAILED:certificate has expired')).toBe(false);
    expect(verdict(from, header, 'SUCCESS')).toBe(true);
    expect(verdict(from)).toBe(false);
    expect(verdict(from, header, 'SUCCESS', header, 'SUCCESS')).toBe(false);
    expect(verdict(from, 'X_SSL_Client_Verify', 'SUCCESS')).toBe(false);
  });
});

describe.each(frameworks)('%s', (framework) => {
  async function statusOf(identity: Identity, more: ResourceServerOptions) {
    server.introspection = answer(200, goodClaims(server.issuer, identity.thumbprint));
    const api = await startApi(framework, pki, {
      ...base,
      issuer: server.issuer,
      http: { ca: pki.ca.cert },
      ...more,
    });
    try {
      return await call(pki, api, '/', identity).auth('token', { type: 'bearer' });
    } finally {
      await api.close();
    }
  }

  it('R19: with Node ending TLS, a self-signed certificate is refused with 403 and no challenge', async () => {
    const certificatePolicy = { requireVerified: true };
    expect((await statusOf(pki.alice, { certificatePolicy })).status).toBe(200);
    const refused = await statusOf(pki.selfSignedEc, { certificatePolicy });
    expect([refused.status, refused.body.error]).toEqual([403, 'access_denied']);
    expect(refused.headers['www-authenticate']).toBeUndefined();
    expect(refused.headers['cache-control']).toBe('no-store');
  });

  it('S12: or with 401 and the usual challenge', async () => {
    const refused = await statusOf(pki.selfSignedEc, {
      certificatePolicy: { requireVerified: true, refusalStatus: 401 },
    });
    expect([refused.status, refused.body.error]).toEqual([401, 'invalid_token']);
    expect(refused.headers['www-authenticate']).toContain('error="invalid_token"');
  });

  it('R176: the binding is looked at first, and a mismatch is 401', async () => {
    server.introspection = answer(200, goodClaims(server.issuer, pki.bob.thumbprint));
    const api = await startApi(framework, pki, {
      ...base,
      issuer: server.issuer,
      http: { ca: pki.ca.cert },
      certificatePolicy: { subject: 'CN=none-of-these' },
    });
    const { status } = await call(pki, api, '/', pki.alice).auth('token', { type: 'bearer' });
    await api.close();
    expect(status).toBe(401);
  });
});
