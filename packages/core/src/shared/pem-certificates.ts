import { X509Certificate } from 'node:crypto';
import { TellableError } from '../errors.js';
import { JOINED, readPemBlocks } from './pem-blocks.js';

/**
 * Returns the certificates of a PEM text, in DER, and nothing else in it: such files often have comments.
 * Throws `TellableError` for a text without a certificate, with one that can't be read, that breaks off, or
 * of which OpenSSL would read a part alone.
 */
export function readPemCertificates(text: string): Uint8Array[] {
  const blocks = readPemBlocks(text);
  if (blocks === 'joined') {
    throw new TellableError(`a text or file in which ${JOINED}`);
  }
  const isCut = blocks === 'cut';
  const certificates = isCut ? [] : blocks.filter(({ label }) => label === 'CERTIFICATE');
  if (isCut && text.includes('-----BEGIN CERTIFICATE-----')) {
    throw new TellableError('a text or file that breaks off within a certificate or key');
  }
  if (certificates.length === 0) {
    throw new TellableError('a text or file without a PEM certificate');
  }
  return certificates.map(({ whole }) => {
    try {
      return Uint8Array.from(new X509Certificate(whole).raw);
    } catch {
      throw new TellableError('a PEM certificate that is none');
    }
  });
}
