// Which markers of PEM count: OpenSSL, which reads such texts for TLS, must find all that we find.
import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { readPemBlocks } from '../../../packages/core/src/shared/pem-blocks.js';
import { readPemCertificates } from '../../../packages/core/src/shared/pem-certificates.js';

const [a, b] = rootCertificates.slice(0, 2).map((text) => `${text.trim()}\n`) as [string, string];
const [derOfA, derOfB] = [a, b].map((text) => new X509Certificate(text).raw.toString('base64'));
const begin = '-----BEGIN CERTIFICATE-----';
const end = '-----END CERTIFICATE-----';
const key = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n';

/** What OpenSSL reads: one certificate after the other, each from behind the last line of the one before. */
function readByOpenSsl(text: string): string[] {
  const ends = [...text.matchAll(/-----END CERTIFICATE-----[^\n]*\n?/g)].map(
    ({ index, 0: line }) => index + line.length,
  );
  const found: string[] = [];
  for (const [at, stop] of ends.entries()) {
    try {
      found.push(new X509Certificate(text.slice(ends[at - 1] ?? 0, stop)).raw.toString('base64'));
    } catch {
      return found;
    }
  }
  return found;
}

const ours = (text: string): string[] =>
  readPemCertificates(text).map((one) => Buffer.from(one).toString('base64'));

describe('both certificates are read', () => {
  it.each<[string, string]>([
    ['one after the other', a + b],
    ['without a last line end', (a + b).trim()],
    ['line ends of Windows', (a + b).replaceAll('\n', '\r\n')],
    ['a byte order mark at the start', `\uFEFF${a}${b}`],
    ['files of which each has a byte order mark', `\uFEFF${a}\uFEFF${b}`],
    ['white space behind markers', (a + b).replaceAll('-----\n', '----- \t\n')],
    ['comments, and a key between', `# ours\n${a}subject: b\n${key}issuer: b\n${b}# the end`],
    ['empty lines between', `\n\n${a}\n\n${b}\n`],
  ])('%s', (_, text) => {
    expect(ours(text)).toEqual([derOfA, derOfB]);
    expect(readByOpenSsl(text)).toEqual([derOfA, derOfB]);
  });

  it('a byte order mark of UTF-8 that was decoded as Latin-1', () => {
    const latin1 = Buffer.from(`\uFEFF${a}\uFEFF${b}`).toString('latin1');
    expect(ours(latin1)).toEqual([derOfA, derOfB]);
  });
});

describe('refused, as OpenSSL does not read both certificates', () => {
  it.each<[string, string]>([
    ['joined without a line end', a.trim() + b],
    ['joined with a blank', `${a.trim()} ${b}`],
    ['a comment without a line end', `${a}# theirs${b}`],
    ['a comment without a line end in front', `# ours${a}${b}`],
    ['a key without a line end', a + key.trim() + b],
    ['a key behind a certificate without a line end', a.trim() + key + b],
    ['an indented marker', `${a} ${b}`],
    ['a byte order mark behind a comment', `# ours\n\uFEFF${a}${b}`],
    ['a marker behind base64', a.replace(`\n${end}`, end) + b],
    ['base64 behind a marker', a.replace(`${begin}\n`, begin) + b],
    ['line ends of old Macs', (a + b).replaceAll('\n', '\r')],
    ['line ends that are written out', (a + b).replaceAll('\n', '\\n')],
  ])('%s', (_, text) => {
    expect(readPemBlocks(text)).toBe('joined');
    expect(() => readPemCertificates(text)).toThrow(
      /^a text or file in which a BEGIN or END marker is not a line of its own, as in files that were joined/,
    );
    expect(readByOpenSsl(text)).not.toEqual([derOfA, derOfB]);
  });

  it.each<[string, string]>([
    ['in the first dash of a marker', `${a}-`],
    ['in a marker that begins', `${a}-----BEGIN CERT`],
    ['behind a marker that begins', a + begin],
    ['in a certificate', a + b.slice(0, 200)],
    ['in a marker that ends', (a + b).slice(0, -8)],
    ['in a key', a + key.slice(0, 40)],
    ['and goes on with another certificate', `${a.split('\n', 3).join('\n')}\n${b}`],
    ['and goes on with the end of something else', a.replace(end, '-----END X509 CERTIFICATE-----') + b],
  ])('it breaks off %s', (_, text) => {
    expect(readPemBlocks(text)).toBe('cut');
    expect(() => readPemCertificates(text)).toThrow(
      'a text or file that breaks off within a certificate or key',
    );
  });
});

it('a block has its label, and what stands between its markers', () => {
  const text = `# x\n${key.replaceAll('\n', '\r\n')}-----BEGIN X509 CRL-----\nAAAA\nBBBB\n-----END X509 CRL-----`;
  expect(readPemBlocks(text)).toEqual([
    { label: 'PRIVATE KEY', body: '\nAAAA\r\n', whole: `${key.trim().replaceAll('\n', '\r\n')}\r` },
    {
      label: 'X509 CRL',
      body: '\nAAAA\nBBBB\n',
      whole: '-----BEGIN X509 CRL-----\nAAAA\nBBBB\n-----END X509 CRL-----',
    },
  ]);
  expect(readPemBlocks('no PEM\n')).toEqual([]);
});
