import 'reflect-metadata';
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Identity } from './pki.js';

const ec = { name: 'ECDSA', namedCurve: 'P-256' };

/** A list of revoked certificates of this authority, as PEM. */
export async function revocationList(
  authority: Pick<Identity, 'cert' | 'key'>,
  revoked: readonly Pick<Identity, 'cert'>[],
): Promise<string> {
  const der = createPrivateKey(authority.key).export({ format: 'der', type: 'pkcs8' });
  const crl = await x509.X509CrlGenerator.create({
    issuer: new x509.X509Certificate(authority.cert).subject,
    thisUpdate: new Date(Date.now() - 60_000),
    nextUpdate: new Date(Date.now() + 3_600_000),
    signingAlgorithm: { ...ec, hash: 'SHA-256' },
    signingKey: await webcrypto.subtle.importKey('pkcs8', der, ec, false, ['sign']),
    entries: revoked.map(({ cert }) => ({ serialNumber: new X509Certificate(cert).serialNumber })),
  });
  const lines = Buffer.from(crl.rawData).toString('base64').replaceAll(/.{64}/g, '$&\n');
  return `-----BEGIN X509 CRL-----\n${lines}\n-----END X509 CRL-----\n`;
}
