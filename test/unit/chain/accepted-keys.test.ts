// Which keys count, told by their DER alone: OpenSSL decodes none of them before.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { explainKey } from '../../../packages/core/src/chain/accepted-keys.js';

const derOf = ({ publicKey }: { readonly publicKey: KeyObject }) =>
  publicKey.export({ type: 'spki', format: 'der' });
const rsa = (modulusLength: number, publicExponent = 65_537) =>
  derOf(generateKeyPairSync('rsa', { modulusLength, publicExponent }));
const ec = (namedCurve: string, paramEncoding: 'named' | 'explicit' = 'named') =>
  derOf(generateKeyPairSync('ec', { namedCurve, paramEncoding }));

describe('accepts', () => {
  it.each<[string, () => Buffer]>([
    ...['prime256v1', 'secp384r1', 'secp521r1'].map((name): [string, () => Buffer] => [name, () => ec(name)]),
    ...['brainpoolP256r1', 'brainpoolP384r1', 'brainpoolP512r1'].map((name): [string, () => Buffer] => [
      name,
      () => ec(name),
    ]),
    ['Ed25519', () => derOf(generateKeyPairSync('ed25519'))],
    ['Ed448', () => derOf(generateKeyPairSync('ed448'))],
    ['RSA of 2048 bits', () => rsa(2_048)],
    ['RSA of 3072 bits', () => rsa(3_072)],
    [
      'RSA for PSS alone',
      () =>
        derOf(
          generateKeyPairSync('rsa-pss', {
            modulusLength: 2_048,
            hashAlgorithm: 'sha256',
            mgf1HashAlgorithm: 'sha256',
            saltLength: 32,
          } as never) as never,
        ),
    ],
  ])('%s', (_, key) => {
    expect(explainKey(key())).toBeUndefined();
  });
});

describe('refuses', () => {
  it.each<[string, () => Uint8Array, string]>([
    ['RSA of 1024 bits', () => rsa(1_024), 'its RSA key has 1024 bits; accepted are 2048 to 8192'],
    ['RSA of 2047 bits', () => rsa(2_047), 'its RSA key has 2047 bits; accepted are 2048 to 8192'],
    ['another curve', () => ec('secp256k1'), 'its key is on a curve that is not accepted'],
    [
      'an accepted curve by its numbers',
      () => ec('prime256v1', 'explicit'),
      'its key is on a curve that is not accepted',
    ],
    ['X25519', () => derOf(generateKeyPairSync('x25519')), 'its key is of the type unknown'],
    [
      'DSA',
      () => derOf(generateKeyPairSync('dsa', { modulusLength: 1_024, divisorLength: 160 })),
      'its key is of the type dsa',
    ],
    ['nothing', () => new Uint8Array(), 'its key is of the type unknown'],
    ['RSA that is cut off', () => cutOff(rsa(2_048)), 'its RSA key can not be read'],
    ['RSA with a long exponent', () => withLongExponent(), 'its RSA key has too long an exponent'],
  ])('%s', (_, key, why) => {
    expect(explainKey(key())).toBe(why);
  });
});

function sequence(...members: readonly Uint8Array[]): Buffer {
  return element(0x30, Buffer.concat(members));
}

function element(tag: number, content: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(content.length);
  return Buffer.concat([Buffer.from([tag, 0x82]), length, content]);
}

const rsaAlgorithm = sequence(Buffer.from('06092a864886f70d0101010500', 'hex'));

function cutOff(key: Buffer): Buffer {
  return sequence(rsaAlgorithm, element(0x03, key.subarray(-100)));
}

function withLongExponent(): Buffer {
  const modulus = element(0x02, Buffer.concat([Buffer.from([0]), Buffer.alloc(256, 0xff)]));
  const exponent = element(0x02, Buffer.from('0100000001', 'hex'));
  return sequence(
    rsaAlgorithm,
    element(0x03, Buffer.concat([Buffer.from([0]), sequence(modulus, exponent)])),
  );
}
