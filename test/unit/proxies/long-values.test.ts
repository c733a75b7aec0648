// Header values of half a million characters and more. A reader whose time grows with the square of the length
// would run into the timeout of the test, and one that recurses into a RangeError.
import * as core from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import type { CertificateDecoder } from '../../../packages/core/src/certificate/encodings.js';
import * as encodings from '../../../packages/core/src/certificate/encodings.js';
import { createXfccDecoder } from '../../../packages/core/src/trusted-proxy/xfcc.js';

const decoders: readonly [string, CertificateDecoder][] = [
  ['escapedPem', encodings.escapedPem],
  ['escapedPemChain', encodings.escapedPemChain],
  ['pem', encodings.pem],
  ['pemChain', encodings.pemChain],
  ['base64Pem', encodings.base64Pem],
  ['base64Der', encodings.base64Der],
  ['commaSeparatedDer', encodings.commaSeparatedDer],
  ['byteSequence', encodings.byteSequence],
  ['caddy', core.caddy().decode],
  ['apache', core.apache().decode],
  ['createXfccDecoder(1)', createXfccDecoder(1)],
  ['createXfccDecoder(2)', createXfccDecoder(2)],
];

const begin = '-----BEGIN CERTIFICATE-----';
const end = '-----END CERTIFICATE-----';

/** One SEQUENCE of `length` zeros in base64. */
function longCertificate(length: number): string {
  const size = [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
  return Buffer.from([0x30, ...size, ...new Uint8Array(length)]).toString('base64');
}

function valuesOf(length: number): string[] {
  const certificate = longCertificate(length);
  return [
    'A'.repeat(length),
    '='.repeat(length),
    ' '.repeat(length),
    '%20'.repeat(length / 3),
    ','.repeat(length),
    begin.repeat(length / 27),
    (begin + end).repeat(length / 52),
    begin + ' '.repeat(length),
    `:${'A'.repeat(length)}`,
    `Subject="${'\\"'.repeat(length / 2)}`,
    `Subject="${'\\"'.repeat(length / 2)}"`,
    'By=a;'.repeat(length / 5),
    'By=a,'.repeat(length / 5),
    `${'a'.repeat(length)}=`,
    certificate,
    `:${certificate}:`,
    `${begin} ${certificate} ${end}`,
    encodeURIComponent(`${begin}\n${certificate}\n${end}\n`),
  ];
}

describe.each(decoders)('%s', (_name, decode) => {
  it('answers each value of half a million characters', () => {
    for (const value of valuesOf(500_000)) {
      expect(['certificate', 'none', 'malformed']).toContain(decode(value).kind);
    }
  });
});

it('certificateList() answers each value of half a million characters', () => {
  const values = [
    ...valuesOf(500_000),
    ':MAA=:, '.repeat(62_500),
    '('.repeat(500_000),
    ':MAA=:;a'.repeat(62_500),
  ];
  for (const value of values) {
    expect(['string', 'object']).toContain(typeof encodings.certificateList(value));
  }
});

const length = 16_000_000;
it.each<[string, string]>([
  ['escaped quotes', `Subject="${'\\"'.repeat(length / 2)}"`],
  ['escaped quotes without an end', `Subject="${'\\"'.repeat(length / 2)}`],
  ['escaped quotes in a Hash', `Hash="${'\\"'.repeat(length / 2)}"`],
  ['one quoted value', `Subject="${'a'.repeat(length)}"`],
  ['one bare value', `By=${'a'.repeat(length)}`],
  ['one key', 'a'.repeat(length)],
  ['blanks', ' '.repeat(length)],
])('createXfccDecoder(1) answers 16 million characters of %s', (_title, value) => {
  expect(['none', 'malformed']).toContain(createXfccDecoder(1)(value).kind);
});
