import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const IV_LENGTH = 12;
const TAG_LENGTH = 16;
const OPTIONS = Object.freeze({ authTagLength: TAG_LENGTH });

/** Names and seals values that leave the process, by one secret. */
export interface Seal {
  /** Returns a name that does not reveal the key. */
  nameOf(key: string): string;
  /** Seals a text under its name: under another name it can't be opened. */
  seal(name: string, text: string): string;
  /** Returns the text; `undefined` if the value was not sealed under this name with this secret. */
  open(name: string, sealed: unknown): string | undefined;
}

/** @param purpose what is sealed for another purpose with the same secret can't be opened */
export function createSeal(secret: string, purpose: string): Seal {
  const nameKey = derive(secret, `${purpose} names`);
  const sealKey = derive(secret, `${purpose} values`);
  // Many values in a row may have one name, such as the entries of a log.
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
        // Adds nothing to the text, and throws if the name, the text or the secret is another one.
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
