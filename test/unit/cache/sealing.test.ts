import { createHmac, hkdfSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createSeal } from '../../../packages/core/src/shared/sealing.js';

const secret = 'a secret of at least 32 characters';
const seal = createSeal(secret, 'tokens');

describe('what is sealed', () => {
  it('is opened under its name, and nothing of it can be read', () => {
    const sealed = seal.seal('name', '{"sub":"user-1"}');
    expect(seal.open('name', sealed)).toBe('{"sub":"user-1"}');
    expect(Buffer.from(sealed, 'base64url').toString('latin1')).not.toContain('user-1');
    // One text is never sealed alike twice.
    expect(seal.seal('name', '{"sub":"user-1"}')).not.toBe(sealed);
  });

  it('is not opened under another name, with another secret, or for another purpose', () => {
    const sealed = seal.seal('name', 'text');
    expect(seal.open('other', sealed)).toBeUndefined();
    expect(createSeal(`${secret}!`, 'tokens').open('name', sealed)).toBeUndefined();
    expect(createSeal(secret, 'revocation').open('name', sealed)).toBeUndefined();
  });

  it('is not opened with any bit changed', () => {
    const sealed = Buffer.from(seal.seal('name', 'text'), 'base64url');
    for (let i = 0; i < sealed.length * 8; i += 1) {
      const changed = Buffer.from(sealed);
      changed[i >> 3] = (changed[i >> 3] as number) ^ (1 << (i & 7));
      expect(seal.open('name', changed.toString('base64url'))).toBeUndefined();
    }
  });

  it.each([[undefined], [null], [7], [{}], [''], ['garbage'], ['A'.repeat(37)], ['A'.repeat(10_000)]])(
    'is not %j',
    (garbage) => {
      expect(seal.open('name', garbage)).toBeUndefined();
    },
  );

  it('is not opened with a shortened tag', () => {
    const sealed = Buffer.from(seal.seal('name', ''), 'base64url');
    expect(seal.open('name', sealed.subarray(0, -4).toString('base64url'))).toBeUndefined();
  });
});

it('names are HMACs by a key of their own', () => {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'mtls-bound tokens names', 32));
  expect(seal.nameOf('hash')).toBe(createHmac('sha256', key).update('hash').digest('base64url'));
  expect(seal.nameOf('hash')).not.toBe(createSeal(secret, 'revocation').nameOf('hash'));
});
