// Whether a verdict may be about revocation is read once, from what the source wrote: certificatePolicy.authorities accepts a
// certificate only if the verdict is known to be about something else.
import {
  apache,
  azureApplicationGateway,
  ClientCertificate,
  cloudflare,
  customHeader,
  googleCloud,
  haproxy,
  ingressNginx,
  nginx,
  type ProxyPreset,
  proxyHeader,
  rfc9440,
  tlsSocket,
} from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import { createBadVerdictCheck } from '../../../packages/core/src/certificate/bad-verdict.js';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { AuthoritySource } from '../../../packages/core/src/chain/authorities.js';
import { ChainVerification } from '../../../packages/core/src/chain/chain-verification.js';
import { ProxyRecognition } from '../../../packages/core/src/trusted-proxy/named-proxy.js';
import { authority, client } from '../../support/chains.js';

await x509.load();
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const root = await authority('CN=Root');
const { der, cert } = await client('CN=client', root);
const verifyHeader = 'x-verify';
const isVerified = (value: string) => value === 'SUCCESS';
const base64 = Buffer.from(der).toString('base64');
const escaped = encodeURIComponent(cert);
const decode = (value: string) => Buffer.from(value, 'base64');

/** What each proxy writes about the certificate. */
const proxies: Readonly<Record<string, [ProxyPreset, string]>> = {
  nginx: [nginx({ verifyHeader }), escaped],
  ingressNginx: [ingressNginx({ verifyHeader }), escaped],
  apache: [apache({ verifyHeader }), cert.replaceAll('\n', ' ')],
  haproxy: [haproxy({ verifyHeader }), base64],
  azureApplicationGateway: [azureApplicationGateway({ verifyHeader }), escaped],
  googleCloud: [googleCloud({ verifyHeader }), `:${base64}:`],
  cloudflare: [cloudflare({ verifyHeader }), base64],
  rfc9440: [rfc9440({ verifyHeader, isVerified }), `:${base64}:`],
  customHeader: [customHeader({ header: 'x-cert', decode, verifyHeader, isVerified }), base64],
};

function through(name: string, verdicts: readonly string[]): ClientCertificate {
  const [preset, written] = proxies[name] as [ProxyPreset, string];
  const rawHeaders = [preset.header, written, ...verdicts.flatMap((one) => [verifyHeader, one])];
  const source = proxyHeader(preset, { trust: 'loopback' });
  const request = { rawHeaders, headers: {}, socket: { remoteAddress: '127.0.0.1' } };
  return source(request as never) as ClientCertificate;
}

function overTls(authorizationError: unknown): ClientCertificate {
  const socket = {
    encrypted: true,
    authorized: false,
    getProtocol: () => 'TLSv1.3',
    authorizationError,
    getPeerX509Certificate: () => ({ raw: Buffer.from(der) }),
  };
  return tlsSocket()({ socket, rawHeaders: [], headers: {} } as never) as ClientCertificate;
}

const anchors = () => new AuthoritySource([root.cert], 'authorities', () => undefined);

/** Whether a certificate is accepted by a path of our own: that of a client, and that of a named proxy. */
function isAccepted(certificate: ClientCertificate): [client: boolean, proxy: boolean] {
  const outcome = new ChainVerification(anchors(), undefined).verify(certificate, Date.now());
  const proxy = new ProxyRecognition('a.b', { ca: root.cert, subject: 'CN=client' }, () => undefined);
  return ['path' in outcome, proxy.explainMismatch(certificate, Date.now()) === undefined];
}

const aboutRevocation = [
  ['REVOKED'],
  ['revoked'],
  ['Cert-Revoked'],
  ['revocation unknown'],
  ['FAILED:certificate revoked'],
  ['FAILED:Certificate Revoked by 0x1f'],
  ['FAILED:unable to get certificate CRL'],
  ['FAILED:OCSP verification failed'],
  ['failed:crl has expired'],
  ['X509_V_ERR_CERT_REVOKED'],
  ['X509_V_ERR_CRL_HAS_EXPIRED'],
  [`revoked ${'x'.repeat(500)}`],
  ['NONE', 'FAILED:certificate revoked'],
];

describe.each(Object.keys(proxies))('%s', (name) => {
  it.each(aboutRevocation)('refuses %s', (...verdicts) => {
    expect(isAccepted(through(name, verdicts))).toEqual([false, false]);
  });
});

/** Proxies whose verdict may have any cause. */
const careful = Object.keys(proxies).filter((name) => name !== 'googleCloud' && name !== 'cloudflare');

describe.each(careful)('%s', (name) => {
  it.each([
    // What leaves open why.
    [],
    [''],
    ['FAILED'],
    ['FAILED:'],
    ['FAILED:unspecified certificate verification error'],
    ['FAILED:application verification failure'],
    ['FAILED:error number 99'],
    ['FAILED:unknown certificate verification error'],
    // What NGINX itself writes if OCSP gives no answer.
    ['FAILED:certificate status request failed'],
    ['FAILED:certificate status unknown'],
    ['FAILED:certificate has expired or so'],
    ['BAD'],
    ['ok'],
    ['TRUE'],
    ['2000'],
    ['false'],
    ['no'],
    ['BLOCKED'],
    ['23'],
    ['3'],
    ['8'],
    ['12'],
    ['33'],
    ['44'],
    ['54'],
    ['75'],
    ['1'],
    // INVALID_CALL and STORE_LOOKUP, of OpenSSL or of BoringSSL.
    ['65'],
    ['66'],
    ['69'],
    ['70'],
    ['99'],
    ['1000'],
    ['constructor'],
    ['X509_V_ERR_UNSPECIFIED'],
    ['X509_V_ERR_OF_TOMORROW'],
    ['NONE', 'NONE'],
  ])('refuses %s', (...verdicts) => {
    expect(isAccepted(through(name, verdicts))).toEqual([false, false]);
  });

  it.each([
    'NONE',
    'FAILED:self-signed certificate',
    'FAILED:unable to get local issuer certificate',
    'FAILED:certificate has expired',
    "FAILED:unable to decrypt certificate's signature",
    'FAILED:unable to verify the first certificate',
    'FAILED:Subject name empty',
    'FAILED:Cannot find certificate signature algorithm',
    'FAILED:Certificate Transparency required, but no valid SCTs found',
    'X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  ])('lets authorities decide after %s', (verdict) => {
    const certificate = through(name, [verdict]);
    expect(certificate.verified).toBe(false);
    expect(isAccepted(certificate)).toEqual([true, true]);
  });
});

/** Numbers of OpenSSL, which may mean anything where a proxy does not write them. */
describe.each(careful)('%s', (name) => {
  it.each(['2', '18', '20', '21'])('knows what %s means only if it writes numbers of OpenSSL', (verdict) => {
    const isOpenSsl = name === 'haproxy';
    expect(isAccepted(through(name, [verdict]))).toEqual([isOpenSsl, isOpenSsl]);
  });
});

// Cloudflare, for one, can say in a header of its own whether a certificate is revoked.
it.each(['true', '1', 'OK', 'SUCCESS', 'X509_V_OK', 'yes'])(
  '%s as the bad verdict of a header is refused',
  (bad) => {
    const preset = customHeader({
      header: 'x-cert',
      decode,
      verifyHeader,
      isVerified: (value) => value !== bad,
    });
    const source = proxyHeader(preset, { trust: 'loopback' });
    const rawHeaders = [preset.header, base64, verifyHeader, bad];
    const request = { rawHeaders, headers: {}, socket: { remoteAddress: '127.0.0.1' } };
    expect(isAccepted(source(request as never) as ClientCertificate)).toEqual([false, false]);
  },
);

it.each(['apache'])('%s: lets authorities decide after its own words', (name) => {
  for (const verdict of ['GENEROUS', 'RESUMED']) {
    expect(isAccepted(through(name, [verdict]))).toEqual([true, true]);
  }
});

describe.each(['googleCloud', 'cloudflare'])('%s, which never looks at revocation', (name) => {
  it.each([['false'], [], ['FAILED']])('lets authorities decide after %s', (...verdicts) => {
    expect(isAccepted(through(name, verdicts))).toEqual([true, true]);
  });
});

it('a certificate that is remembered from another verdict of the same text is not used', () => {
  const source = proxyHeader(cloudflare({ verifyHeader }), { trust: 'loopback' });
  const read = (verdict: string) => {
    const rawHeaders = ['cf-client-cert-der-base64', base64, verifyHeader, verdict];
    return source({
      rawHeaders,
      headers: {},
      socket: { remoteAddress: '127.0.0.1' },
    } as never) as ClientCertificate;
  };
  const [other, revoked, again] = [read('nothing'), read('Revoked'), read('nothing')];
  expect([other.verifyError, again.verifyError]).toEqual([revoked.verifyError, revoked.verifyError]);
  expect([other, revoked, again].map(({ mayBeRevoked }) => mayBeRevoked)).toEqual([false, true, false]);
});

describe("Node's own TLS", () => {
  it.each([
    'CERT_REVOKED',
    'UNABLE_TO_GET_CRL',
    'UNABLE_TO_DECRYPT_CRL_SIGNATURE',
    'CRL_SIGNATURE_FAILURE',
    'CRL_NOT_YET_VALID',
    'CRL_HAS_EXPIRED',
    'ERROR_IN_CRL_LAST_UPDATE_FIELD',
    'ERROR_IN_CRL_NEXT_UPDATE_FIELD',
    // What Node makes of each error that it has no name for, such as DIFFERENT_CRL_SCOPE.
    'UNSPECIFIED',
    'OUT_OF_MEM',
    'OF_TOMORROW',
    new Error('CERT_HAS_EXPIRED'),
    null,
  ])('refuses after %s', (error) => {
    expect(isAccepted(overTls(error))).toEqual([false, false]);
  });

  it.each([
    'UNABLE_TO_GET_ISSUER_CERT',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'CERT_HAS_EXPIRED',
    'INVALID_PURPOSE',
  ])('lets authorities decide after %s', (error) => {
    expect(isAccepted(overTls(error))).toEqual([true, true]);
  });
});

it.each<[string, object, boolean]>([
  ['verified', { verified: true }, true],
  ['verified, and maybe revoked', { verified: true, mayBeRevoked: true }, false],
  ['not judged', {}, true],
  ['not judged, and maybe revoked', { mayBeRevoked: true }, false],
  ['refused', { verified: false, mayBeRevoked: false }, false],
])('a rule by names and a certificate that is %s', (_title, facts, accepted) => {
  const check = createBadVerdictCheck('subject');
  const run = () => check(new ClientCertificate(der, facts));
  if (accepted) {
    expect(run).not.toThrow();
  } else {
    expect(run).toThrow(/certificate_refused/);
  }
});

it('what another copy of this package says of it stays', () => {
  const other = { [Symbol.for('mtls-bound.ClientCertificate')]: true, der, verified: false };
  const made = (facts: object) => ClientCertificate.from({ ...other, ...facts })?.mayBeRevoked;
  expect(made({ mayBeRevoked: false })).toBe(false);
  expect(made({ verified: true, mayBeRevoked: true })).toBe(true);
  // A copy of an older version has the text alone.
  expect(made({ verifyError: 'TLS says CERT_HAS_EXPIRED' })).toBe(true);
  expect(made({})).toBe(true);
  expect(made({ verified: true })).toBe(false);
});

it.each([
  [null, 'null'],
  [0, 'a number'],
  ['', 'a string'],
  ['FAILED:certificate revoked', 'a string'],
])('a certificate is not made with the verdict %j', (verified, got) => {
  expect(() => new ClientCertificate(der, { verified: verified as never })).toThrow(
    `ClientCertificate: expected true, false or undefined as \`verified\`, got ${got}`,
  );
});
