import { randomUUID, webcrypto } from 'node:crypto';
import { isDate } from 'node:util/types';
import { ClientCertificate } from '../certificate/client-certificate.js';
import { x509 } from '../certificate/lazy-x509.js';
import { ConfigurationError } from '../errors.js';
import { flag, OptionReader, type OptionRule, text } from '../shared/option-rules.js';
import { describeError } from '../shared/shown-error.js';

/** What a client certificate for tests is to say. */
export interface CertificateRequest {
  /** Its subject, in the text form of RFC 4514. Default: `CN=client` and a UUID. */
  readonly subject?: string;
  /** DNS names of its subjectAltName. Default: none. */
  readonly dnsNames?: readonly string[];
  /** From when on it is valid. Default: an hour ago. */
  readonly notBefore?: Date;
  /** Until when it is valid. Default: in an hour. */
  readonly notAfter?: Date;
  /** Whether TLS found its chain trusted. Default `true`. */
  readonly verified?: boolean;
}

const date: OptionRule<Date> = {
  accepted: 'a Date',
  read: (given) => (isDate(given) && !Number.isNaN(given.getTime()) ? given : undefined),
};

const listOfTexts: OptionRule<readonly string[]> = {
  accepted: 'a list of strings',
  read: (given) =>
    Array.isArray(given) && given.every((item) => typeof item === 'string') ? given : undefined,
};

const hour = 3_600_000;

/** A self-signed certificate with a key of its own (P-256), made in memory. Each is another one. */
export async function createTestCertificate(wanted: CertificateRequest = {}): Promise<ClientCertificate> {
  const given = new OptionReader('createTestCertificate()', wanted, [
    'subject',
    'dnsNames',
    'notBefore',
    'notAfter',
    'verified',
  ]);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  const subject = given.optional('subject', text) ?? `CN=client ${randomUUID()}`;
  const dnsNames = given.optional('dnsNames', listOfTexts) ?? [];
  const verified = given.optional('verified', flag) ?? true;
  const notBefore = given.optional('notBefore', date) ?? new Date(Date.now() - hour);
  const notAfter = given.optional('notAfter', date) ?? new Date(Date.now() + hour);
  const {
    ExtendedKeyUsage,
    ExtendedKeyUsageExtension,
    SubjectAlternativeNameExtension,
    X509CertificateGenerator,
  } = await x509.load();
  const made = X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomUUID().replaceAll('-', ''),
      name: subject,
      notBefore,
      notAfter,
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
        ...(dnsNames.length === 0
          ? []
          : [new SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value })))]),
      ],
    },
    webcrypto as never,
  );
  const certificate = await made.catch((error: unknown) => {
    // The library's message quotes what it can't read.
    const why = `no certificate can be made of subject and dnsNames: ${describeError(error)}`;
    throw new ConfigurationError('createTestCertificate()', why);
  });
  return new ClientCertificate(new Uint8Array(certificate.rawData), { verified });
}
