import { generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { expect, it } from 'vitest';
import { importPublicKey } from '../../../packages/core/src/jose/public-key.js';
import { generateP256 } from '../../support/key-pairs.js';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
const ec = generateP256();
const ed = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
const base64url = (hex: string) => Buffer.from(hex, 'hex').toString('base64url');
const even = Buffer.from(rsa.n ?? '', 'base64url');
even.writeUInt8(even.readUInt8(255) & 0xfe, 255);

it.each([
  ['RSA', rsa],
  ['EC', ec.publicKey.export({ format: 'jwk' })],
  ['Ed25519', ed],
])('a good key of %s is imported', (_title, jwk) => {
  expect(importPublicKey(jwk)).toBeDefined();
});

it.each([
  ['e = 1', { ...rsa, e: 'AQ' }],
  ['e = 2', { ...rsa, e: 'Ag' }],
  ['e = 3', { ...rsa, e: 'Aw' }],
  ['e = 65,536', { ...rsa, e: 'AQAA' }],
  ['e of 4,096 bits', { ...rsa, e: base64url('ff'.repeat(512)) }],
  [
    'n of 1,024 bits',
    generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }),
  ],
  ['n of 16,384 bits', { ...rsa, n: base64url('ff'.repeat(2048)) }],
  ['an even n', { ...rsa, n: even.toString('base64url') }],
  ['a published private key', ec.privateKey.export({ format: 'jwk' })],
  ['an EC point off the curve', { ...ec.publicKey.export({ format: 'jwk' }), y: 'AQ' }],
  // The points of small order as libsodium and RFC 7748 §6.1 list them, each with both signs.
  ...[
    `00${'00'.repeat(31)}`,
    `01${'00'.repeat(31)}`,
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ].map((x): [string, JsonWebKey] => [`Ed25519 ${x.slice(0, 8)}`, { ...ed, x: base64url(x) }]),
])('a key that anyone can sign for is not imported: %s', (_title, jwk) => {
  expect(importPublicKey(jwk)).toBeUndefined();
});
