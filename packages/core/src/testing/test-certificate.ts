import { randomUUID, webcrypto } from 'node:crypto';
import { isDate } from 'node:util/types';
import { ClientCertificate } from '../certificate/client-certificate.js';
import { x509 } from '../certificate/lazy-x509.js';
import { onlyArgument } from '../shared/call-arguments.js';
import { createMismatch } from '../shared/option-errors.js';
import { type OptionsOf, optional, optionGroup, readOptions, withDefault } from '../shared/option-group.js';
import { flag, type OptionRule, text } from '../shared/option-rules.js';
import { describeError } from '../shared/shown-error.js';

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

export const testCertificateOptions = optionGroup({
  /** Its subject, in the text form of RFC 4514. Default: `CN=client` and a UUID. */
  subject: optional(text, { defaultInWords: '`CN=client` and a UUID' }),
  /** DNS names of its subjectAltName. Default: none. */
  dnsNames: optional(listOfTexts),
  /** From when on it is valid. Default: an hour ago. */
  notBefore: optional(date, { defaultInWords: 'an hour ago' }),
  /** Until when it is valid. Default: in an hour. */
  notAfter: optional(date, { defaultInWords: 'in an hour' }),
  /** Whether TLS found its chain trusted. Default `true`. */
  verified: withDefault(flag, true),
});

/** What a client certificate for tests is to say. */
export interface TestCertificateOptions extends OptionsOf<typeof testCertificateOptions> {}

/** Keys of P-256, which sign with SHA-256. */
export const testKeyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** What signs certificates of a test in place of their own key. */
export interface TestIssuer {
  /** Its subject, in the text form of RFC 4514. */
  readonly name: string;
  readonly key: webcrypto.CryptoKey;
}

/** A self-signed certificate with a key of its own (P-256), made in memory. Each is another one. */
export function createTestCertificate(wanted?: TestCertificateOptions): Promise<ClientCertificate>;
export async function createTestCertificate(
  ...args: [wanted?: TestCertificateOptions]
): Promise<ClientCertificate> {
  const wanted = onlyArgument('createTestCertificate()', args, 'one object of options');
  return issueTestCertificate(wanted === undefined ? {} : wanted);
}

/** Makes a certificate that `issuer` signs, or its own key. */
export async function issueTestCertificate(
  wanted: TestCertificateOptions,
  issuer?: TestIssuer,
): Promise<ClientCertificate> {
  const {
    subject = `CN=client ${randomUUID()}`,
    dnsNames = [],
    verified,
    notBefore = new Date(Date.now() - hour),
    notAfter = new Date(Date.now() + hour),
  } = readOptions('createTestCertificate()', wanted, testCertificateOptions);
  const keys = await webcrypto.subtle.generateKey(testKeyAlgorithm, false, ['sign', 'verify']);
  const {
    ExtendedKeyUsage,
    ExtendedKeyUsageExtension,
    SubjectAlternativeNameExtension,
    X509CertificateGenerator,
  } = await x509.load();
  const made = X509CertificateGenerator.create(
    {
      serialNumber: randomUUID().replaceAll('-', ''),
      subject,
      issuer: issuer?.name ?? subject,
      notBefore,
      notAfter,
      publicKey: keys.publicKey,
      signingKey: issuer?.key ?? keys.privateKey,
      signingAlgorithm: testKeyAlgorithm,
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
    throw createMismatch(
      'createTestCertificate()',
      'a subject and dnsNames that a certificate can have',
      describeError(error),
    );
  });
  // An unverified one is of an unknown authority: a test may name it in certificatePolicy.authorities.
  return new ClientCertificate(new Uint8Array(certificate.rawData), { verified, mayBeRevoked: false });
}
