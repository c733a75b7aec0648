import { randomUUID, webcrypto } from 'node:crypto';
import { ClientCertificate } from '../certificate/client-certificate.js';
import { x509Library } from '../certificate/parsed.js';

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

const hour = 3_600_000;

/** A self-signed certificate with a key of its own (P-256), made in memory. Each is another one. */
export async function createTestCertificate(wanted: CertificateRequest = {}): Promise<ClientCertificate> {
  const x509 = x509Library();
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  const { subject = `CN=client ${randomUUID()}`, dnsNames = [], verified = true } = wanted;
  const { notBefore = new Date(Date.now() - hour), notAfter = new Date(Date.now() + hour) } = wanted;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomUUID().replaceAll('-', ''),
      name: subject,
      notBefore,
      notAfter,
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
        ...(dnsNames.length === 0
          ? []
          : [new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns', value })))]),
      ],
    },
    webcrypto as never,
  );
  return new ClientCertificate(new Uint8Array(certificate.rawData), { verified });
}
