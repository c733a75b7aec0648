import { createHash, X509Certificate } from 'node:crypto';
import type { ProxyPreset } from '@mtls-bound/core';
import * as core from '@mtls-bound/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as encodings from '../../../packages/core/src/certificate/encodings.js';
import { runs } from '../../support/fuzzing.js';
import { recordedNone, recordedRsa, recordedSelfSigned } from '../../support/recorded.js';
import { awsLeaf, rfc8705AppendixA, rfc9440AppendixA } from '../../support/vectors.js';

const { base64Der, base64Pem, byteSequence, escapedPem, escapedPemChain, pem, pemChain } = encodings;

const thumbprintOf = (der: Uint8Array): string => createHash('sha256').update(der).digest('base64url');

/** `x5t#S256`, `none`, or why it is malformed. */
function outcome(decoded: encodings.DecodedCertificate): string {
  switch (decoded.kind) {
    case 'certificate':
      return thumbprintOf(decoded.der);
    case 'hash':
      return decoded.thumbprint;
    case 'none':
      return 'none';
    case 'malformed':
      return decoded.why;
  }
}

describe('what real proxies sent', () => {
  it.each<[string, ProxyPreset, string, string]>([
    ['NGINX 1.22.1, RSA', core.nginx(), recordedRsa.nginx, recordedRsa.thumbprint],
    ['NGINX 1.22.1, self-signed', core.nginx(), recordedSelfSigned.nginx, recordedSelfSigned.thumbprint],
    ['HAProxy 2.6.12', core.haproxy(), recordedRsa.haproxy, recordedRsa.thumbprint],
    ['HAProxy 2.6.12 as RFC 9440', core.rfc9440(), recordedRsa.clientCert, recordedRsa.thumbprint],
    ['Apache 2.4.71, RSA', core.apache(), recordedRsa.apachePem, recordedRsa.thumbprint],
    [
      'Apache 2.4.71, self-signed',
      core.apache(),
      recordedSelfSigned.apachePem,
      recordedSelfSigned.thumbprint,
    ],
    [
      'Apache 2.4.71, escaped',
      core.apache({ encoding: 'escaped' }),
      recordedRsa.apacheEscaped,
      recordedRsa.thumbprint,
    ],
    ['Caddy 2.6.2', core.caddy(), recordedSelfSigned.caddy, recordedSelfSigned.thumbprint],
    ['HAProxy 2.6.12, no certificate', core.haproxy(), recordedNone.haproxy, 'none'],
    ['HAProxy 2.6.12 as RFC 9440, no certificate', core.rfc9440(), recordedNone.haproxyClientCert, 'none'],
    ['Apache 2.4.71, no certificate', core.apache(), recordedNone.apache, 'none'],
    [
      'Apache 2.4.71, escaped, no certificate',
      core.apache({ encoding: 'escaped' }),
      recordedNone.apacheExpression,
      'none',
    ],
    [
      'Apache 2.4.71, base64, no certificate',
      core.apache({ encoding: 'base64' }),
      recordedNone.apacheExpression,
      'none',
    ],
    ['Caddy 2.6.2, no certificate', core.caddy(), recordedNone.caddy, 'none'],
  ])('%s', (_title, preset, value, expected) => {
    expect(outcome(preset.decode(value))).toBe(expected);
  });

  it('AWS leaves + / = as they are: a certificate whose own signature holds comes out', () => {
    expect(awsLeaf).toMatch(/[^%]\+.*\//);
    for (const preset of [core.awsAlb(), core.awsAlb({ mode: 'verify' })]) {
      const decoded = preset.decode(awsLeaf);
      const certificate = new X509Certificate(decoded.kind === 'certificate' ? decoded.der : '');
      expect(certificate.verify(certificate.publicKey)).toBe(true);
    }
    expect(outcome(core.awsAlb().decode(awsLeaf.replaceAll('+', ' ')))).toMatch(/^not /);
  });
});

describe('a Byte Sequence', () => {
  const notOne = 'not a Byte Sequence';
  // Its bytes are no certificate, so what is wrong with it comes after the decoding.
  const decodes = 'not exactly one DER certificate';

  // httpwg/structured-field-tests, binary.json: the names and the values of all its cases.
  it.each([
    ['basic binary', ':aGVsbG8=:', decodes],
    ['empty binary', '::', 'none'],
    ['bad padding (may be tolerated)', ':aGVsbG8:', decodes],
    ['bad end delimiter', ':aGVsbG8=', notOne],
    ['extra whitespace', ':aGVsb G8=:', notOne],
    ['extra chars', ':aGVsbG!8=:', notOne],
    ['suffix chars', ':aGVsbG8=!:', notOne],
    ['non-zero pad bits (may be tolerated)', ':iZ==:', decodes],
    ['non-ASCII binary', ':/+Ah:', decodes],
    ['base64url binary', ':_-Ah:', notOne],
  ])('R169: %s', (_name, value, expected) => {
    expect(outcome(byteSequence(value))).toBe(expected);
  });

  const { leaf, chain, thumbprint } = rfc9440AppendixA;
  it.each([
    ['alone', leaf, thumbprint],
    ['without its padding', leaf.replace('=:', ':'), thumbprint],
    ['with pad bits', leaf.replace('yhk=:', 'yhl=:'), thumbprint],
    ['a blank before it', ` ${leaf}`, notOne],
    ['a blank behind it', `${leaf} `, notOne],
    ['a line feed behind it', `${leaf}\n`, notOne],
    ['a parameter', `${leaf};a`, notOne],
    ['a parameter that is a Byte Sequence itself', `${leaf};a=${leaf}`, notOne],
    ['more padding than belongs', leaf.replace('=:', '==:'), notOne],
    ['padding amidst', leaf.replace('MIIB', 'MI=B'), notOne],
    ['the old delimiters, asterisks', leaf.replaceAll(':', '*'), notOne],
    ['a list: the chain', chain, notOne],
    ['an inner list', `(${leaf})`, notOne],
    ['a string', '"MAA="', notOne],
    ['a token', 'MAA', notOne],
    ['a blank alone', ' ', notOne],
    ['one colon', ':', notOne],
    ['three colons', ':::', notOne],
  ])('R169, R170: %s', (_title, value, expected) => {
    expect(outcome(byteSequence(value))).toBe(expected);
  });
});

describe('a List of Byte Sequences', () => {
  const { leaf, chain } = rfc9440AppendixA;
  const [issuer = '', root = ''] = chain.split(', ');
  const bytes = (...items: string[]) => items.map((item) => Buffer.from(item.slice(1, -1), 'base64'));
  it.each<[string, string, Buffer[]]>([
    ['RFC 9440, Appendix A', chain, bytes(issuer, root)],
    ['one certificate', issuer, bytes(issuer)],
    ['no certificate', '', []],
    ['blanks and tabs around the comma', `${issuer}\t ,  ${root}`, bytes(issuer, root)],
    ['no blanks', `${issuer},${root}`, bytes(issuer, root)],
    ['one certificate twice', `${issuer}, ${issuer}`, bytes(issuer, issuer)],
    ['eleven certificates: ten count', Array(11).fill(leaf).join(', '), bytes(...Array(10).fill(leaf))],
  ])('%s', (_title, value, expected) => {
    expect(encodings.certificateList(value)).toEqual(expected);
  });

  const notList = 'not a List of Byte Sequences';
  const notCertificate = 'a Byte Sequence that is not exactly one DER certificate';
  it.each([
    ['a comma at the end', `${issuer},`, notList],
    ['two commas', `${issuer},,${root}`, notList],
    ['a comma alone', ',', notList],
    ['no comma', `${issuer} ${root}`, notList],
    ['a parameter', `${issuer};a=1, ${root}`, notList],
    ['a parameter of the last one', `${issuer}, ${root};a`, notList],
    ['an inner list', `(${issuer} ${root})`, notList],
    ['an inner list of none', '()', notList],
    ['a string', `${issuer}, "MAA="`, notList],
    ['a token', 'MAA', notList],
    ['a number', '1', notList],
    ['base64 without colons', issuer.slice(1, -1), notList],
    ['no colon at the end', issuer.slice(0, -1), notList],
    ['base64url', ':_-Ah:', notList],
    ['a dictionary', `a=${issuer}`, notList],
    ['an empty Byte Sequence', '::', notCertificate],
    ['an empty Byte Sequence behind a certificate', `${issuer}, ::`, notCertificate],
    [
      'two certificates in one Byte Sequence',
      `:${Buffer.concat(bytes(issuer, root)).toString('base64')}:`,
      notCertificate,
    ],
    ['one that is no certificate behind ten others', `${Array(10).fill(leaf).join()},:MQA=:`, notCertificate],
  ])('malformed: %s', (_title, value, why) => {
    expect(encodings.certificateList(value)).toBe(why);
  });
});

describe('only an empty value is "no certificate"', () => {
  const decoders = { base64Der, base64Pem, byteSequence, escapedPem, escapedPemChain, pem, pemChain };
  it.each(Object.entries({ ...decoders, commaSeparatedDer: encodings.commaSeparatedDer }))(
    '%s',
    (_name, decode) => {
      expect(decode('')).toEqual({ kind: 'none' });
      for (const blank of [' ', '\t', '%20', '%0A', '%0D%0A', 'IA==', '(null)', '-', '%00', '\u00a0']) {
        expect([blank, decode(blank).kind]).toEqual([blank, 'malformed']);
      }
    },
  );
});

describe('R171: exactly one DER SEQUENCE', () => {
  const notOne = 'not exactly one DER certificate';
  const sized = (head: number[], length: number): string =>
    Buffer.concat([Buffer.from(head), Buffer.alloc(length)]).toString('base64');
  it.each<[string, string, boolean]>([
    ['the longest with a short length', sized([0x30, 0x7f], 0x7f), true],
    ['the shortest with one length byte', sized([0x30, 0x81, 0x80], 0x80), true],
    ['the longest with one length byte', sized([0x30, 0x81, 0xff], 0xff), true],
    ['the shortest with two', sized([0x30, 0x82, 1, 0], 0x100), true],
    ['the shortest with three', sized([0x30, 0x83, 1, 0, 0], 0x1_0000), true],
    ['one length byte where none belongs', sized([0x30, 0x81, 0x7f], 0x7f), false],
    ['two where one belongs', sized([0x30, 0x82, 0, 0xff], 0xff), false],
    ['three where two belong', sized([0x30, 0x83, 0, 1, 0], 0x100), false],
    ['five length bytes', sized([0x30, 0x85, 0, 0, 0, 1, 0], 0x100), false],
    ['a reserved length', sized([0x30, 0xff], 0x100), false],
    ['an indefinite length with 128 bytes behind it', sized([0x30, 0x80], 0x80), false],
    ['an indefinite length', sized([0x30, 0x80, 1, 0], 2), false],
    ['a byte too many', sized([0x30, 0x7f], 0x80), false],
    ['a byte too few', sized([0x30, 0x7f], 0x7e), false],
    ['a tag alone', sized([0x30], 0), false],
    ['a length cut off', sized([0x30, 0x82, 1], 0), false],
    ['a SET', sized([0x31, 0x7f], 0x7f), false],
    ['a primitive', sized([0x10, 0x7f], 0x7f), false],
  ])('%s', (_title, value, isOne) => {
    expect(outcome(base64Der(value)) !== notOne).toBe(isOne);
    expect(outcome(byteSequence(`:${value}:`)) !== notOne).toBe(isOne);
  });

  it('of 16 MiB, which four length bytes tell', () => {
    const head = Buffer.from([0x30, 0x84, 1, 0, 0, 0]);
    const der = Buffer.concat([head, Buffer.alloc(0x100_0000)]);
    expect(encodings.decodeDer(der).kind).toBe('certificate');
    expect(encodings.decodeDer(der.subarray(1)).kind).toBe('malformed');
  });

  it('a custom decoder’s bytes too, wherever they stand in their buffer', () => {
    const der = new X509Certificate(rfc8705AppendixA.pem).raw;
    const within = new Uint8Array(der.length + 20);
    within.set(der, 7);
    const decoding = (bytes: Uint8Array) =>
      core.customHeader({ header: 'x', decode: () => bytes }).decode('x');
    expect(outcome(decoding(within.subarray(7, 7 + der.length)))).toBe(rfc8705AppendixA.thumbprint);
    expect(outcome(decoding(within.subarray(7)))).toBe(notOne);
    expect(outcome(decoding(within))).toBe(notOne);
  });
});

describe('a chain', () => {
  const block = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
  const bodies = [rfc9440AppendixA.leaf, ...rfc9440AppendixA.chain.split(', ')].map((item) =>
    item.slice(1, -1),
  );
  const text = bodies.map(block).join('');

  it('gives its first, where a preset takes chains', () => {
    expect(outcome(escapedPemChain(encodeURIComponent(text)))).toBe(rfc9440AppendixA.thumbprint);
    expect(outcome(encodings.commaSeparatedDer(bodies.join(',')))).toBe(rfc9440AppendixA.thumbprint);
    expect(outcome(escapedPem(encodeURIComponent(text)))).toBe('several certificates where one is expected');
  });

  const end = '-----END CERTIFICATE-----';
  const leaf = bodies[0] ?? '';
  it.each<[string, string, string]>([
    ['no block', 'text', 'not PEM'],
    ['a block without end', `-----BEGIN CERTIFICATE-----\n${leaf}\n`, 'not PEM'],
    [
      'a block without end, behind blanks',
      `${' '.repeat(60)}-----BEGIN CERTIFICATE-----\n${leaf}\n`,
      'not PEM',
    ],
    ['a second block without end', `${block(leaf)}${block(leaf).replace(end, '')}`, 'not PEM'],
    ['an end without a beginning', `${leaf}\n${end}\n`, 'not PEM'],
    ['text before', `x${block(leaf)}`, 'not PEM'],
    ['text between', `${block(leaf)}x${block(leaf)}`, 'not PEM'],
    ['text behind', `${block(leaf)}x`, 'not PEM'],
    ['an empty block', block(''), 'not base64'],
    [
      'other line ends, and blanks within',
      block(leaf.replace(/(.{64})/g, '$1 \t\r\n')),
      rfc9440AppendixA.thumbprint,
    ],
  ])('in PEM: %s', (_title, value, expected) => {
    expect(outcome(pemChain(value))).toBe(expected);
    expect(outcome(pem(value))).toBe(expected);
  });

  it('behind commas, an empty leaf or link is not Base64', () => {
    expect(outcome(encodings.commaSeparatedDer(`,${leaf}`))).toBe('not base64');
    expect(outcome(encodings.commaSeparatedDer(`${leaf},`))).toBe('not base64');
  });

  it('is malformed for one bad byte in any of its blocks, never read from the next good one', () => {
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom('!', '_', '\0', 'é', '-'), (at, bad) => {
        const changed = text.slice(0, at) + bad + text.slice(at + 1);
        return changed === text || pemChain(changed).kind === 'malformed';
      }),
      runs(5_000),
    );
  });
});
