// Each client knows the public key that tokens are encrypted to: none can have a token cost much before its signature is verified.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { CompactEncrypt } from 'jose';
import { expect, it } from 'vitest';
import { decryptJwt } from '../../../packages/core/src/authorization-server/nested-jwt.js';
import { JwtRejected } from '../../../packages/core/src/authorization-server/verified-jwt.js';

const keys = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const part = (value: Buffer | string): string => Buffer.from(value).toString('base64url');

const encrypted = (text: string, more: object): Promise<string> =>
  new CompactEncrypt(Buffer.from(text))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', ...more })
    .encrypt(keys.publicKey);

/** A token by its header, of which nothing else is right. */
const withHeader = (header: object): string =>
  [
    part(JSON.stringify(header)),
    part(randomBytes(256)),
    part(randomBytes(12)),
    part('a'),
    part(randomBytes(16)),
  ].join('.');

it('a token that is encrypted and not compressed is read', async () => {
  expect(await decryptJwt(await encrypted('a.b.c', {}), [keys.privateKey])).toBe('a.b.c');
});

it.each<[string, () => string | Promise<string>]>([
  ['that is compressed', () => encrypted('a.b.c', { zip: 'DEF' })],
  ['that grows from 16 kB to 10 MB', () => encrypted('a'.repeat(10_000_000), { zip: 'DEF' })],
  [
    'that is encrypted by a password with 2,147,483,647 rounds',
    () =>
      withHeader({
        alg: 'PBES2-HS256+A128KW',
        enc: 'A128GCM',
        p2c: 2_147_483_647,
        p2s: part(randomBytes(16)),
      }),
  ],
  ['that is encrypted by a shared key', () => withHeader({ alg: 'dir', enc: 'A128GCM' })],
  ['whose compression is unknown', () => withHeader({ alg: 'RSA-OAEP-256', enc: 'A128GCM', zip: 'GZ' })],
])('a token %s is rejected', async (_title, jwe) => {
  const token = await jwe();
  expect(token.length).toBeLessThan(16_384);
  await expect(decryptJwt(token, [keys.privateKey])).rejects.toBeInstanceOf(JwtRejected);
});
