// Whether two certificates have one key, however an authority that certifies the key of another one writes it.
import { createPublicKey, ECDH, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect, it } from 'vitest';
import { comparableKey } from '../../../packages/core/src/chain/comparable-key.js';
import { der, identifier, sequence } from '../../support/written-der.js';

const spkiOf = (key: KeyObject) => key.export({ type: 'spki', format: 'der' });
const textOf = (publicKey: Uint8Array) => comparableKey({ publicKey });
const generateEc = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).publicKey;

it.each(['prime256v1', 'secp384r1', 'secp521r1', 'brainpoolP256r1', 'brainpoolP384r1', 'brainpoolP512r1'])(
  'a key on %s with a compressed point is the key itself',
  (curve) => {
    const spki = spkiOf(generateEc(curve));
    const size = Math.ceil({ secp521r1: 521 }[curve] ?? Number(/\d{3}/.exec(curve)?.[0]));
    const length = 1 + 2 * Math.ceil(size / 8);
    const point = spki.subarray(-length);
    const algorithm = spki.subarray(spki[1] === 0x81 ? 3 : 2, -length - (length > 127 ? 4 : 3));
    for (const form of ['compressed', 'hybrid'] as const) {
      const written = ECDH.convertKey(point, curve, undefined, undefined, form) as Buffer;
      const other = sequence(algorithm, der(0x03, Buffer.concat([Buffer.from([0]), written])));
      expect(createPublicKey({ key: other, type: 'spki', format: 'der' })).toBeDefined();
      expect(textOf(other)).toBe(textOf(spki));
    }
  },
);

it('an RSA key is the key itself under other parameters', () => {
  const spki = spkiOf(generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey);
  const bits = spki.subarray(19);
  const [plain, other, pss] = [
    sequence(identifier('1.2.840.113549.1.1.1'), der(0x05)),
    sequence(identifier('1.2.840.113549.1.1.1'), sequence()),
    sequence(identifier('1.2.840.113549.1.1.10')),
  ].map((algorithm) => sequence(algorithm, bits));
  expect(plain).toEqual(spki);
  expect([other, pss].map((one) => textOf(one as Buffer))).toEqual([textOf(spki), textOf(spki)]);
});

it('other keys have other texts', () => {
  const ed25519 = () => spkiOf(generateKeyPairSync('ed25519').publicKey);
  const keys = [spkiOf(generateEc('P-256')), spkiOf(generateEc('P-256')), ed25519(), ed25519()];
  const point = (keys[0] as Buffer).subarray(-65);
  const curve = sequence(identifier('1.2.840.10045.2.1'), identifier('1.3.36.3.3.2.8.1.1.7'));
  const onOtherCurve = sequence(curve, der(0x03, Buffer.concat([Buffer.from([0]), point])));
  const malformed = [
    Buffer.alloc(0),
    Buffer.from([0x30, 0]),
    sequence(curve, der(0x03, Buffer.from([0, 2, 1]))),
  ];
  const all = [...keys, onOtherCurve, ...malformed].map(textOf);
  expect(new Set(all).size).toBe(all.length);
});
