import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { CompactEncrypt } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { signedJwtIn } from '../../packages/core/src/authorization-server/nested-jwt.js';

let keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
beforeAll(() => {
  keys = generateKeyPairSync('rsa', { modulusLength: 2_048 });
});

describe.each(['RSA-OAEP', 'RSA-OAEP-256'])('a token that is encrypted by %s', (alg) => {
  /** One whose encrypted key begins with a zero byte, as one of 256 does. */
  async function withZero(): Promise<{ jwe: string; spelled: (key: Buffer) => string; key: Buffer }> {
    for (;;) {
      const jwe = await new CompactEncrypt(Buffer.from('a.b.c'))
        .setProtectedHeader({ alg, enc: 'A256GCM' })
        .encrypt(keys.publicKey);
      const [header, encryptedKey = '', ...rest] = jwe.split('.');
      const key = Buffer.from(encryptedKey, 'base64url');
      if (key[0] === 0) {
        return { jwe, key, spelled: (other) => [header, other.toString('base64url'), ...rest].join('.') };
      }
    }
  }

  it('has one spelling: the encrypted key is as long as the modulus (RFC 8017 §7.1.2)', async () => {
    const { jwe, key, spelled } = await withZero();
    expect(await signedJwtIn(jwe, [keys.privateKey])).toBe('a.b.c');
    for (const other of [key.subarray(1), Buffer.concat([Buffer.alloc(1), key])]) {
      await expect(signedJwtIn(spelled(other), [keys.privateKey])).rejects.toThrow();
    }
  });
});
