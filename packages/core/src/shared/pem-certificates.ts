import { X509Certificate } from 'node:crypto';
import { TellableError } from '../errors.js';

const begin = '-----BEGIN CERTIFICATE-----';
const end = '-----END CERTIFICATE-----';

/**
 * Returns the certificates of a PEM text, in DER, and nothing else in it: such files often have comments.
 * Throws `TellableError` for a text without a certificate, with one that can't be read, or that breaks off.
 */
export function readPemCertificates(text: string): Uint8Array[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) {
    throw new TellableError('a text or file without a PEM certificate');
  }
  if (isCut(text, blocks.length)) {
    throw new TellableError('a text or file that breaks off within a certificate');
  }
  return blocks.map((block) => {
    try {
      return Uint8Array.from(new X509Certificate(block).raw);
    } catch {
      throw new TellableError('a PEM certificate that is none');
    }
  });
}

/** Whether a text breaks off: its writer may still write, and the certificates that follow are missing. */
function isCut(text: string, blocks: number): boolean {
  const lastLine = text.slice(text.lastIndexOf('\n') + 1);
  const isInMarker = lastLine !== '' && lastLine !== begin && begin.startsWith(lastLine);
  return isInMarker || countOf(text, begin) !== blocks || countOf(text, end) !== blocks;
}

function countOf(text: string, marker: string): number {
  return text.split(marker).length - 1;
}
