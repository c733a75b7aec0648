import { createRequire } from 'node:module';
import type * as X509 from '@peculiar/x509';
import type * as Asn1 from 'asn1js';
import { RequestRefused } from '../errors.js';
import type { ClientCertificate } from './client-certificate.js';

// Loaded when a certificate is first looked into: most users never do, and it takes its time.
const require = createRequire(import.meta.url);

export function x509Library(): typeof X509 {
  require('reflect-metadata');
  return require('@peculiar/x509');
}

export function asn1Library(): typeof Asn1 {
  return require('asn1js');
}

/** Undefined where the proxy hands on the certificate's hash alone. Throws `RequestRefused` for what is no certificate. */
export function parsedCertificate({ der }: ClientCertificate): X509.X509Certificate | undefined {
  if (der === undefined) {
    return undefined;
  }
  try {
    const { X509Certificate } = x509Library();
    return new X509Certificate(Buffer.from(der));
  } catch {
    throw new RequestRefused('certificate_malformed', { detail: 'not an X.509 certificate' });
  }
}
