import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const IV_LENGTH = 12;
const TAG_LENGTH = 16;
const OPTIONS = Object.freeze({ authTagLength: TAG_LENGTH });

/** Names and seals what leaves the process, by one secret. */
export interface Seal {
  /** A name that says nothing of what it names. */
  nameOf(key: string): string;
  /** Sealed under its name: moved to another it can't be opened. */
  seal(name: string, text: string): string;
  /** Undefined for what was not sealed so. */
  open(name: string, sealed: unknown): string | undefined;
}

/** `purpose` keeps apart what the same secret seals for different ends. */
export function createSeal(secret: string, purpose: string): Seal {
  const nameKey = derive(secret, `${purpose} names`);
  const sealKey = derive(secret, `${purpose} values`);
  // Many values in a row have one name: the entries of a log.
  let latest = { name: purpose, bytes: Buffer.from(purpose) };
  const bytesOf = (name: string): Buffer => {
    if (name !== latest.name) {
      latest = { name, bytes: Buffer.from(name) };
    }
    return latest.bytes;
  };
  return {
    nameOf: (key) => createHmac('sha256', nameKey).update(key).digest('base64url'),
    seal(name, text) {
      const iv = randomBytes(IV_LENGTH);
      const cipher = createCipheriv(CIPHER, sealKey, iv).setAAD(bytesOf(name));
      return Buffer.concat([iv, cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString(
        'base64url',
      );
    },
    open(name, sealed) {
      const bytes = Buffer.from(typeof sealed === 'string' ? sealed : '', 'base64url');
      if (bytes.length < IV_LENGTH + TAG_LENGTH) {
        return undefined;
      }
      try {
        const decipher = createDecipheriv(CIPHER, sealKey, bytes.subarray(0, IV_LENGTH), OPTIONS)
          .setAAD(bytesOf(name))
          .setAuthTag(bytes.subarray(-TAG_LENGTH));
        const text = decipher.update(bytes.subarray(IV_LENGTH, -TAG_LENGTH));
        // Adds nothing to the text, and throws unless all was sealed so.
        decipher.final();
        return text.toString();
      } catch {
        return undefined;
      }
    },
  };
}

function derive(secret: string, use: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `mtls-bound ${use}`, 32));
}
