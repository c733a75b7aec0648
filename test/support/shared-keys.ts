import { webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rsa, SHARED_KEYS } from './rsa.js';

/** Keys of RSA take long to make: those of one run of the tests share a few. */
export default async function setup(): Promise<() => void> {
  if (process.env[SHARED_KEYS] !== undefined) {
    return () => undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-keys-'));
  const file = join(folder, 'rsa.json');
  const pairs = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const { privateKey } = (await webcrypto.subtle.generateKey(rsa, true, [
        'sign',
      ])) as webcrypto.CryptoKeyPair;
      return webcrypto.subtle.exportKey('jwk', privateKey);
    }),
  );
  writeFileSync(file, JSON.stringify(pairs), { mode: 0o600 });
  process.env[SHARED_KEYS] = file;
  return () => rmSync(folder, { recursive: true });
}
