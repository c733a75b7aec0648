import { constants } from 'node:crypto';
import { expect, it } from 'vitest';
import { profiles } from '../../../packages/core/src/fapi/fapi-profiles.js';
import { fapiTlsOptions } from '../../../packages/core/src/fapi/fapi-tls-options.js';

// RFC 9325 §4.2.
const recommended = [
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
];
// FAPI 1.0 Part 2 §8.5.
const published = [
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'DHE-RSA-AES128-GCM-SHA256',
  'DHE-RSA-AES256-GCM-SHA384',
];
const tls13 = ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'];
const options = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: [...tls13, ...recommended].join(':'),
  honorCipherOrder: true,
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  requestCert: true,
  rejectUnauthorized: false,
};

it.each<[string, Parameters<typeof fapiTlsOptions>[0], object]>([
  ['the suites of RFC 9325 by default', undefined, options],
  ['these suites by name', { ciphers: 'bcp195' }, options],
  [
    'the suites of FAPI 1.0, and groups for DHE',
    { ciphers: 'fapi1-final' },
    { ...options, ciphers: [...tls13, ...published].join(':'), dhparam: 'auto' },
  ],
  [
    'no tickets where no session may be resumed',
    { resumption: false },
    { ...options, secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET },
  ],
])('fapiTlsOptions() gives %s', (_title, given, expected) => {
  expect(fapiTlsOptions(given)).toEqual(expected);
});

it.each([[{ ciphers: 'all' }], [{ resumption: 'no' }], [{ cipher: 'bcp195' }]])(
  'fapiTlsOptions() refuses %j',
  (given) => {
    expect(() => fapiTlsOptions(given as never)).toThrow(/^fapiTlsOptions\(\)(?:\.\w+)?: expected /);
  },
);

it('each profile names the algorithms, clock and suites that its text permits', () => {
  const clockTolerance = { least: 10, most: 60 };
  expect(profiles).toEqual({
    'fapi1-advanced': {
      algorithms: ['PS256', 'ES256'],
      clockTolerance,
      ciphers: [...new Set([...published, ...recommended])],
    },
    'fapi2-security': {
      algorithms: ['PS256', 'ES256', 'EdDSA', 'Ed25519'],
      clockTolerance,
      ciphers: recommended,
    },
  });
});
