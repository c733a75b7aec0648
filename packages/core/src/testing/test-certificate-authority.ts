import { randomUUID, webcrypto } from 'node:crypto';
import { ClientCertificate } from '../certificate/client-certificate.js';
import { x509 } from '../certificate/lazy-x509.js';
import { createMismatch } from '../shared/option-errors.js';
import { issueTestCertificate, type TestCertificateOptions, testKeyAlgorithm } from './test-certificate.js';

/** A certificate authority for tests of `certificatePolicy.authorities` and `revocationCheck`, in memory. */
export interface TestCertificateAuthority {
  /** Its own certificate in PEM, for `certificatePolicy.authorities`. */
  readonly certificate: string;
  /** A client certificate that the authority issues. */
  createCertificate(wanted?: TestCertificateOptions): Promise<ClientCertificate>;
  /**
   * A revocation list in PEM that names these certificates, for a file of
   * `certificatePolicy.revocationCheck.crlFiles`. It is valid for an hour.
   */
  revocationList(revoked?: readonly ClientCertificate[]): Promise<string>;
}

const minute = 60_000;
const hour = 60 * minute;

/**
 * Makes a certificate authority with a key of its own (P-256). Each is another one, also under the same name.
 *
 * @param subject in the text form of RFC 4514
 */
export async function createTestCertificateAuthority(
  subject = `CN=authority ${randomUUID()}`,
): Promise<TestCertificateAuthority> {
  const {
    BasicConstraintsExtension,
    KeyUsageFlags,
    KeyUsagesExtension,
    X509CertificateGenerator,
    X509CrlGenerator,
  } = await x509.load();
  const keys = await webcrypto.subtle.generateKey(testKeyAlgorithm, false, ['sign', 'verify']);
  const made = X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomUUID().replaceAll('-', ''),
      name: subject,
      notBefore: new Date(Date.now() - hour),
      notAfter: new Date(Date.now() + 24 * hour),
      keys,
      signingAlgorithm: testKeyAlgorithm,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ],
    },
    webcrypto as never,
  );
  // The library's message quotes what it can't read, and it reads a senseless text as an empty name.
  const own = await made.catch(() => undefined);
  if (own === undefined || own.subject === '') {
    throw createMismatch('createCertificateAuthority()', 'a subject as CN=authority', 'something else');
  }
  const issuer = { name: subject, key: keys.privateKey };
  return Object.freeze({
    certificate: `${own.toString('pem')}\n`,
    createCertificate: (wanted: TestCertificateOptions = {}) => issueTestCertificate(wanted, issuer),
    async revocationList(revoked: readonly ClientCertificate[] = []) {
      if (!Array.isArray(revoked) || !revoked.every(ClientCertificate.isCertificate)) {
        throw createMismatch('revocationList()', 'a list of client certificates', 'something else');
      }
      const list = await X509CrlGenerator.create(
        {
          issuer: subject,
          thisUpdate: new Date(Date.now() - minute),
          nextUpdate: new Date(Date.now() + hour),
          signingAlgorithm: testKeyAlgorithm,
          signingKey: keys.privateKey,
          entries: revoked.map((certificate) => ({ serialNumber: certificate.x509.serialNumber })),
        },
        webcrypto as never,
      );
      const lines = Buffer.from(list.rawData).toString('base64').replaceAll(/.{64}/g, '$&\n');
      return `-----BEGIN X509 CRL-----\n${lines}\n-----END X509 CRL-----\n`;
    },
  });
}
