import type { ClientCertificate } from './client-certificate.js';

/**
 * From when to when a certificate is valid, in milliseconds since the epoch. `unknown` if the proxy
 * hands on the hash of the certificate alone.
 */
export type Validity = { readonly from: number; readonly to: number } | 'unknown';

/** Certificates that were looked at; `undefined` for what is no certificate. */
const validities = new WeakMap<ClientCertificate, Validity | undefined>();

/**
 * Reads the validity of a certificate, once for each object. Returns `undefined` for what is no
 * X.509 certificate. Never throws.
 */
export function validityOf(certificate: ClientCertificate): Validity | undefined {
  if (!validities.has(certificate)) {
    validities.set(certificate, readValidity(certificate));
  }
  return validities.get(certificate);
}

function readValidity(certificate: ClientCertificate): Validity | undefined {
  if (certificate.der === undefined) {
    return 'unknown';
  }
  try {
    const { validFrom, validTo } = certificate.x509;
    return { from: Date.parse(validFrom), to: Date.parse(validTo) };
  } catch {
    return undefined;
  }
}
