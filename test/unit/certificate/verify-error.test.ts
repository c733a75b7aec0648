// A refusal of a certificate that is not verified says why, in the words of the proxy or of TLS, and shows nothing that a client
// wrote in their place.
import {
  ClientCertificate,
  haproxy,
  nginx,
  type ProxyPreset,
  proxyHeader,
  tlsSocket,
} from '@mtls-bound/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { routeCertificatePolicy } from '../../../packages/core/src/policy/route-certificate.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
beforeAll(async () => {
  pki = await createPki();
});

const verifyHeader = 'x-ssl-client-verify';
const policy = routeCertificatePolicy({ requireVerified: true });

/** The detail of the refusal. */
function detailOf(certificate: ClientCertificate | undefined): string {
  try {
    policy({ authorization: { certificate, claims: {} } } as never);
    return 'accepted';
  } catch (refusal) {
    return (refusal as { detail: string }).detail;
  }
}

function through(preset: ProxyPreset, written: string): (...verdicts: string[]) => string {
  const source = proxyHeader(preset, { trust: 'loopback' });
  return (...verdicts) => {
    const lines = verdicts.flatMap((verdict) => [verifyHeader, verdict]);
    const rawHeaders = [preset.header, written, ...lines];
    return detailOf(source({ rawHeaders, headers: {}, socket: { remoteAddress: '127.0.0.1' } } as never));
  };
}

describe('behind NGINX', () => {
  it.each<[string, string[], string]>([
    ['verified', ['SUCCESS'], 'accepted'],
    ['its reason', ['FAILED:self-signed certificate'], 'says FAILED:self-signed certificate'],
    [
      'a longer reason',
      ['FAILED:unable to get local issuer certificate'],
      'says FAILED:unable to get local issuer certificate',
    ],
    ['no certificate', ['NONE'], 'says NONE'],
    ['no header', [], 'is not there'],
    ['the header twice', ['SUCCESS', 'SUCCESS'], 'came several times'],
    ['an empty header', [''], 'holds no verdict that is known, 0 characters'],
    [
      'a token in its place',
      ['eyJhbGciOiJFUzI1NiJ9.e30.c2ln'],
      'holds no verdict that is known, 29 characters',
    ],
    ['a token in the reason', [`FAILED:${'a'.repeat(20)}`], 'holds no verdict that is known, 27 characters'],
  ])('%s', (_title, verdicts, expected) => {
    const read = through(nginx({ verifyHeader }), encodeURIComponent(pki.alice.cert));
    const detail = expected === 'accepted' ? expected : `it is not verified: ${verifyHeader} ${expected}`;
    // The second time the certificate is remembered.
    expect([read(...verdicts), read(...verdicts)]).toEqual([detail, detail]);
  });

  it('a certificate that comes with another verdict gets another reason', () => {
    const read = through(nginx({ verifyHeader }), encodeURIComponent(pki.alice.cert));
    expect([read('NONE'), read('FAILED'), read('SUCCESS'), read('NONE')]).toEqual([
      `it is not verified: ${verifyHeader} says NONE`,
      `it is not verified: ${verifyHeader} says FAILED`,
      'accepted',
      `it is not verified: ${verifyHeader} says NONE`,
    ]);
  });
});

it.each([
  ['0', 'accepted'],
  ['10', 'says 10 (CERT_HAS_EXPIRED)'],
  ['18', 'says 18 (DEPTH_ZERO_SELF_SIGNED_CERT)'],
  ['23', 'says 23 (CERT_REVOKED)'],
  ['15', 'says 15 (ERROR_IN_CRL_LAST_UPDATE_FIELD)'],
  ['33', 'says 33 (UNABLE_TO_GET_CRL_ISSUER)'],
  ['75', 'says 75 (OCSP_CERT_UNKNOWN)'],
  ['99', 'says 99'],
])('behind HAProxy, verdict %s: %s', (verdict, expected) => {
  const read = through(haproxy({ verifyHeader }), pki.alice.der.toString('base64'));
  expect(read(verdict)).toBe(
    expected === 'accepted' ? expected : `it is not verified: ${verifyHeader} ${expected}`,
  );
});

it('behind a proxy that sends no verdict', () => {
  expect(through(nginx(), encodeURIComponent(pki.alice.cert))('SUCCESS')).toBe(
    'it is not verified: no verdict on its chain comes with it',
  );
});

it.each<[unknown, string]>([
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'it is not verified: TLS says DEPTH_ZERO_SELF_SIGNED_CERT'],
  [
    'UNSPECIFIED',
    'it is not verified: TLS says UNSPECIFIED, which leaves open what is wrong and whether it is revoked',
  ],
  [new Error('any text'), 'it is not verified'],
  [null, 'it is not verified'],
])("of Node's own TLS, where the error is %s", (authorizationError, expected) => {
  const socket = {
    encrypted: true,
    authorized: false,
    getProtocol: () => 'TLSv1.3',
    authorizationError,
    getPeerX509Certificate: () => ({ raw: pki.alice.der }),
  };
  expect(detailOf(tlsSocket()({ socket, rawHeaders: [], headers: {} } as never))).toBe(expected);
});

it.each<[unknown, string]>([
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'TLS says UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  [null, 'TLS names no error'],
])(
  'of a server with lists of revoked certificates, where the error is %s',
  (authorizationError, expected) => {
    const socket = {
      encrypted: true,
      authorized: false,
      getProtocol: () => 'TLSv1.3',
      authorizationError,
      getPeerX509Certificate: () => ({ raw: pki.alice.der }),
    };
    // The second one was handed over to another server.
    for (const made of [
      { server: { crl: 'lists' } },
      { server: {}, _tlsOptions: { server: { crl: 'lists' } } },
    ]) {
      const source = tlsSocket();
      expect(detailOf(source({ socket: { ...socket, ...made }, rawHeaders: [], headers: {} } as never))).toBe(
        `it is not verified: ${expected}, and the server has lists of revoked certificates (crl)`,
      );
    }
  },
);

it('the reason stays with a certificate of another copy of this package', () => {
  const other = { [Symbol.for('mtls-bound.ClientCertificate')]: true, der: pki.alice.der, verified: false };
  const made = ClientCertificate.from({ ...other, verifyError: 'TLS says CERT_HAS_EXPIRED' });
  expect(detailOf(made)).toBe('it is not verified: TLS says CERT_HAS_EXPIRED');
  expect(ClientCertificate.from({ ...other, verifyError: 7 })?.verifyError).toBeUndefined();
});
