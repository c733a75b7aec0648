import { createHash } from 'node:crypto';
import * as core from '@mtls-bound/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CertificateDecoder } from '../../../packages/core/src/certificate/encodings.js';
import * as encodings from '../../../packages/core/src/certificate/encodings.js';
import { createXfccDecoder } from '../../../packages/core/src/trusted-proxy/xfcc.js';
import { runs } from '../../support/fuzzing.js';

/** A SEQUENCE of any content: all that a decoder looks at. */
const sequences = fc.uint8Array({ minLength: 1, maxLength: 400 }).map((content) => {
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.from([0x30, ...size, ...content]);
});

const lines = (text: string): string => text.replace(/(.{64})/g, '$1\n');
const pemOf = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${lines(der.toString('base64'))}\n-----END CERTIFICATE-----\n`;
const hexOf = (der: Buffer): string => createHash('sha256').update(der).digest('hex');

/** Every decoder, and how a proxy writes for it. */
const decoders: Record<string, [CertificateDecoder, (der: Buffer) => string]> = {
  escapedPem: [encodings.escapedPem, (der) => encodeURIComponent(pemOf(der))],
  escapedPemChain: [encodings.escapedPemChain, (der) => encodeURIComponent(pemOf(der) + pemOf(der))],
  pem: [encodings.pem, (der) => pemOf(der).replaceAll('\n', ' ')],
  pemChain: [encodings.pemChain, (der) => pemOf(der) + pemOf(der)],
  base64Pem: [encodings.base64Pem, (der) => Buffer.from(pemOf(der)).toString('base64')],
  base64Der: [encodings.base64Der, (der) => der.toString('base64')],
  commaSeparatedDer: [encodings.commaSeparatedDer, (der) => encodeURIComponent(der.toString('base64'))],
  byteSequence: [encodings.byteSequence, (der) => `:${der.toString('base64')}:`],
  caddy: [core.caddy().decode, (der) => `:${der.toString('base64')}:`],
  apache: [core.apache().decode, (der) => pemOf(der).replaceAll('\n', ' ')],
  createXfccDecoder: [
    createXfccDecoder(1),
    (der) => `Hash=${hexOf(der)};Cert="${encodeURIComponent(pemOf(der))}"`,
  ],
  'createXfccDecoder of two': [
    createXfccDecoder(2),
    (der) =>
      `Hash=${hexOf(der)};Cert="${encodeURIComponent(pemOf(der))}",By=b;Hash=${hexOf(der)};Subject="a\\"b,c;d"`,
  ],
};

const small = fc.uint8Array({ minLength: 1, maxLength: 24 }).map((c) => Buffer.from([0x30, c.length, ...c]));
const interesting = [
  ...'%+=/: ,;"\\-()\n\t\0é',
  '%0A',
  '%',
  '%C3',
  '""',
  '::',
  '-----END CERTIFICATE-----',
  'Hash=',
  'Cert="',
];

/** What may happen to a text on its way: `at` and `length` choose where, `put` is what gets in. */
const changes: readonly ((text: string, at: number, length: number, put: string) => string)[] = [
  // put in, cut out, both
  (text, at, _, put) => text.slice(0, at) + put + text.slice(at),
  (text, at, length) => text.slice(0, at) + text.slice(at + length),
  (text, at, length, put) => text.slice(0, at) + put + text.slice(at + length),
  // one bit of one character
  (text, at, length) =>
    text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << (length % 7))) + text.slice(at + 1),
  // doubled: a part, the whole
  (text, at, length) => text.slice(0, at + length) + text.slice(at),
  (text, _at, _length, put) => text + put + text,
  // cut off at the end, at the start
  (text, at) => text.slice(0, at),
  (text, at) => text.slice(at),
  // two parts in each other's place
  (text, at, length) => text.slice(at, at + length) + text.slice(0, at) + text.slice(at + length),
  // one half before the other
  (text, at) => text.slice(at) + text.slice(0, at),
];

/** A valid value, changed at one place to three; or the start of one with the end of another. */
const mutated = (write: (der: Buffer) => string): fc.Arbitrary<string> =>
  fc
    .tuple(
      small,
      small,
      fc.array(
        fc.tuple(
          fc.constantFrom(undefined, ...changes),
          fc.nat(999),
          fc.nat(9),
          fc.constantFrom(...interesting, ''),
        ),
        { minLength: 1, maxLength: 3 },
      ),
    )
    .map(([der, otherDer, steps]) =>
      steps.reduce((text, [change, from, length, put]) => {
        const at = from % (text.length + 1);
        return change === undefined
          ? text.slice(0, at) + write(otherDer).slice(at)
          : change(text, at, length, put);
      }, write(der)),
    );

/** All that a decoder ever says of a value: none of it is of the value. */
const reasons = new Set([
  'percent signs that encode nothing',
  'not PEM',
  'not base64',
  'not a Byte Sequence',
  'not exactly one DER certificate',
  'several certificates where one is expected',
  'not an X-Forwarded-Client-Cert',
  'not as many elements as proxies that write one',
  'Hash is not a SHA-256 in hex',
  'Cert and Hash disagree',
  'an element without Hash',
  'Hash= within another value',
]);

/** Read in another way than the decoders do: the length is written again, in the fewest bytes, and compared. */
function isOneSequence(der: Uint8Array): boolean {
  const content = [2, 3, 4, 5].map((head) => der.length - head);
  return content.some((length, i) => {
    const size = length < 0x80 ? [length] : [0x80 + i, ...bytesOf(length)];
    return length >= 0 && size.length === i + 1 && [0x30, ...size].every((byte, at) => der[at] === byte);
  });
}

function bytesOf(length: number): number[] {
  const hex = length.toString(16);
  return [...Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')];
}

const often = runs(100_000);

describe.each(Object.entries(decoders))('%s', (_name, [decode, write]) => {
  it('gives back what was written', () => {
    fc.assert(
      fc.property(sequences, (der) => {
        const decoded = decode(write(der));
        expect(decoded.kind).toBe('certificate');
        expect(decoded.kind === 'certificate' && Buffer.compare(Buffer.from(decoded.der), der)).toBe(0);
      }),
      runs(500),
    );
  });

  // 100,000 of each kind; what is read must be one SEQUENCE, and what is said must be one of the fixed reasons.
  it.each([
    [
      'arbitrary',
      fc.oneof(
        fc.string({ maxLength: 40 }),
        fc.array(fc.constantFrom(...interesting, 'A', 'MA==')).map((parts) => parts.join('')),
      ),
    ],
    ['mutated', mutated(write)],
  ])(
    'takes 100,000 %s values for a certificate, none, or malformed, and throws for none',
    (_kind, values) => {
      const kinds = new Set<string>();
      fc.assert(
        fc.property(values, (value) => {
          const decoded = decode(value);
          kinds.add(decoded.kind);
          switch (decoded.kind) {
            case 'certificate':
              return isOneSequence(decoded.der);
            case 'hash':
              return /^[\w-]{43}$/.test(decoded.thumbprint);
            case 'malformed':
              return reasons.has(decoded.why);
            case 'none':
              return true;
            default:
              return false;
          }
        }),
        often,
      );
      expect(kinds).toContain('malformed');
    },
  );
});
