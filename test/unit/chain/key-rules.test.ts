// Which keys count, told by their DER alone: OpenSSL decodes none of them before.
import { createPublicKey, ECDH, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type DerElement, splitDer } from '../../../packages/core/src/certificate/der-elements.js';
import {
  explainUnacceptedIssuerKey,
  explainUnacceptedKey,
  verificationCostOf,
} from '../../../packages/core/src/chain/key-rules.js';
import { bits, der, identifier, integer, sequence as sequenceOf } from '../../support/written-der.js';

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
    expect(explainUnacceptedIssuerKey(key())).toBeUndefined();
  });
});

const notDer = 'its RSA key is not written as DER demands';
const notUncompressed = 'its key is no uncompressed point';

/** An RSA key in another form, which OpenSSL also reads. */
function respelled(what: 'modulus' | 'exponent' | 'length'): Buffer {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const [modulus, exponent] = [n, e].map((text) => Buffer.from(text, 'base64url')) as [Buffer, Buffer];
  const zeros = (count: number, number: Buffer) => Buffer.concat([Buffer.alloc(count), number]);
  const key = sequenceOf(
    der(0x02, zeros(what === 'modulus' ? 2 : 1, modulus)),
    what === 'length'
      ? Buffer.concat([Buffer.from([0x02, 0x81, exponent.length]), exponent])
      : der(0x02, zeros(what === 'exponent' ? 1 : 0, exponent)),
  );
  const spki = sequenceOf(sequenceOf(identifier('1.2.840.113549.1.1.1'), der(0x05)), bits(key));
  expect(createPublicKey({ key: spki, type: 'spki', format: 'der' }).equals(publicKey)).toBe(true);
  return spki;
}

const notNull = 'the parameters of its RSA key are not NULL (RFC 4055 §1.2)';

/** An RSA key with these parameters of its algorithm. */
const rsaWith = (...parameters: readonly Uint8Array[]): Buffer => {
  const [, key] = splitDer(splitDer(rsa(2_048))?.[0]?.content ?? Buffer.alloc(0)) ?? [];
  const algorithm = sequenceOf(identifier('1.2.840.113549.1.1.1'), ...parameters);
  return sequenceOf(algorithm, key?.whole ?? Buffer.alloc(0));
};

/** A key on a curve with one length that takes a byte more than it must, as OpenSSL also reads it. */
function withLongForm(index: number): Buffer {
  const longForm = ({ tag, content }: DerElement) =>
    Buffer.concat([Buffer.from([tag, 0x81, content.length]), content]);
  const [whole] = splitDer(ec('prime256v1')) as [DerElement];
  const members = (splitDer(whole.content) ?? []).map((member, at) =>
    index === at + 1 ? longForm(member) : Buffer.from(member.whole),
  );
  const content = Buffer.concat(members);
  const spki = index === 0 ? longForm({ tag: 0x30, content, whole: content }) : sequenceOf(content);
  expect(createPublicKey({ key: spki, type: 'spki', format: 'der' }).asymmetricKeyType).toBe('ec');
  return spki;
}

/** The key with one bit of its last byte marked as not used. */
function withUnusedBits(spki: Buffer): Buffer {
  const [algorithm, key] = splitDer(splitDer(spki)?.[0]?.content ?? spki) ?? [];
  const content = Uint8Array.from(key?.content ?? []);
  content[0] = 1;
  return sequenceOf(algorithm?.whole ?? spki, der(0x03, content));
}

function pointAs(form: 'compressed' | 'hybrid'): Buffer {
  const point = ec('prime256v1').subarray(-65);
  const algorithm = sequenceOf(identifier('1.2.840.10045.2.1'), identifier('1.2.840.10045.3.1.7'));
  return sequenceOf(
    algorithm,
    bits(ECDH.convertKey(point, 'prime256v1', undefined, undefined, form) as Buffer),
  );
}

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
    ['RSA with a zero before the modulus', () => respelled('modulus'), notDer],
    ['RSA with a zero before the exponent', () => respelled('exponent'), notDer],
    ['RSA with a long form of a length', () => respelled('length'), notDer],
    ['RSA with bits that are not used', () => withUnusedBits(rsa(2_048)), 'its RSA key can not be read'],
    [
      'Ed25519 with bits that are not used',
      () => withUnusedBits(derOf(generateKeyPairSync('ed25519'))),
      'its key can not be read',
    ],
    [
      'a curve with bits that are not used',
      () => withUnusedBits(ec('prime256v1')),
      'its key can not be read',
    ],
    ['a compressed point', () => pointAs('compressed'), notUncompressed],
    ['a hybrid point', () => pointAs('hybrid'), notUncompressed],
    ...['length of the whole', 'length of the algorithm', 'length of the bits'].map(
      (where, index): [string, () => Uint8Array, string] => [
        `a curve with a long form of the ${where}`,
        () => withLongForm(index),
        'its key is not written as DER demands',
      ],
    ),
    ['RSA without parameters', () => rsaWith(), notNull],
    ['RSA with other parameters', () => rsaWith(integer(7)), notNull],
    ['RSA with a curve as parameters', () => rsaWith(identifier('1.3.132.0.35')), notNull],
    [
      'RSA with a long form of NULL',
      () => rsaWith(Buffer.from([5, 0x81, 0])),
      'its key is not written as DER demands',
    ],
    ['RSA with a NULL that has content', () => rsaWith(Buffer.from([5, 1, 0])), notNull],
    [
      'Ed25519 with parameters',
      () => sequenceOf(sequenceOf(identifier('1.3.101.112'), der(0x05)), bits(Buffer.alloc(32))),
      'its key has parameters, which RFC 8410 §3 forbids',
    ],
    ['RSA with a long exponent', () => withLongExponent(), 'its RSA key has too long an exponent'],
  ])('%s', (_, key, why) => {
    expect(explainUnacceptedIssuerKey(key())).toBe(why);
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

const rsaAlgorithm = sequenceOf(identifier('1.2.840.113549.1.1.1'), der(0x05));

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

/** An RSA key whose numbers are written as they are given. */
const writtenRsa = (...numbers: Buffer[]) => sequenceOf(rsaAlgorithm, bits(sequenceOf(...numbers)));
/** A positive number of so many bits. */
const numberOf = (size: number, tag = 0x02) => {
  const bytes = Buffer.alloc(Math.ceil(size / 8), 0xff);
  bytes.writeUInt8(0xff >> (8 * bytes.length - size), 0);
  return der(tag, size % 8 === 0 ? Buffer.from([0]) : Buffer.alloc(0), bytes);
};
const exponent = integer(1, 0, 1);
const unreadable = 'its RSA key can not be read';

describe('the numbers of an RSA key', () => {
  it.each<[string, Buffer, string | undefined]>([
    ['2048 bits', writtenRsa(numberOf(2_048), exponent), undefined],
    [
      '2047 bits',
      writtenRsa(numberOf(2_047), exponent),
      'its RSA key has 2047 bits; accepted are 2048 to 8192',
    ],
    ['8192 bits', writtenRsa(numberOf(8_192), exponent), undefined],
    [
      '8193 bits',
      writtenRsa(numberOf(8_193), exponent),
      'its RSA key has 8193 bits; accepted are 2048 to 8192',
    ],
    [
      'zeros in front',
      writtenRsa(der(0x02, Buffer.alloc(200), Buffer.alloc(255, 0xff)), exponent),
      'its RSA key has 2040 bits; accepted are 2048 to 8192',
    ],
    ['an exponent of 32 bits', writtenRsa(numberOf(2_048), numberOf(32)), undefined],
    [
      'an exponent of 33 bits',
      writtenRsa(numberOf(2_048), numberOf(33)),
      'its RSA key has too long an exponent',
    ],
    ['a negative modulus', writtenRsa(der(0x02, Buffer.alloc(256, 0xff)), exponent), unreadable],
    ['a negative exponent', writtenRsa(numberOf(2_048), integer(0x80, 0, 1)), unreadable],
    ['a modulus of 0', writtenRsa(integer(0, 0), exponent), unreadable],
    ['no digits', writtenRsa(integer(), exponent), unreadable],
    ['a modulus of another type', writtenRsa(numberOf(2_048, 0x04), exponent), unreadable],
    ['no exponent', writtenRsa(numberOf(2_048)), unreadable],
    ['three numbers', writtenRsa(numberOf(2_048), exponent, exponent), unreadable],
    [
      'a bit string with unused bits',
      sequenceOf(rsaAlgorithm, bits(sequenceOf(numberOf(2_048), exponent), 1)),
      unreadable,
    ],
    [
      'an octet string',
      sequenceOf(rsaAlgorithm, der(0x04, Buffer.from([0]), sequenceOf(numberOf(2_048), exponent))),
      unreadable,
    ],
  ])('%s', (_, key, why) => {
    expect(explainUnacceptedIssuerKey(key)).toBe(why);
  });
});

it('an algorithm that is no sequence is unknown', () => {
  expect(
    explainUnacceptedIssuerKey(sequenceOf(der(0x31, identifier('1.3.101.112')), bits(Buffer.alloc(32)))),
  ).toBe('its key is of the type unknown');
});

describe('a signature costs, in quarters of a millisecond', () => {
  it.each<[string, () => Uint8Array, number]>([
    ['prime256v1', () => ec('prime256v1'), 1],
    ['secp384r1', () => ec('secp384r1'), 4],
    ['secp521r1', () => ec('secp521r1'), 8],
    ['brainpoolP256r1', () => ec('brainpoolP256r1'), 3],
    ['brainpoolP384r1', () => ec('brainpoolP384r1'), 4],
    ['brainpoolP512r1', () => ec('brainpoolP512r1'), 6],
    ['Ed25519', () => derOf(generateKeyPairSync('ed25519')), 1],
    ['RSA of 2048 bits', () => writtenRsa(numberOf(2_048), exponent), 1],
    ['RSA of 4096 bits', () => writtenRsa(numberOf(4_096), exponent), 1],
    ['RSA of 8192 bits', () => writtenRsa(numberOf(8_192), exponent), 2],
    ['RSA with a curve as parameters', () => rsaWith(identifier('1.3.132.0.35')), 1],
    ['600 bytes', () => Buffer.alloc(600), 1],
    ['601 bytes', () => Buffer.alloc(601), 2],
  ])('%s: %i', (_, key, cost) => {
    expect(verificationCostOf(key())).toBe(cost);
  });
});

it('the key of a client may be a compressed point, or have other parameters', () => {
  expect(explainUnacceptedKey(pointAs('compressed'))).toBeUndefined();
  expect(explainUnacceptedKey(rsaWith())).toBeUndefined();
});
