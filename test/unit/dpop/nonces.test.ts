import { describe, expect, it } from 'vitest';
import { createNonces } from '../../../packages/core/src/dpop/nonces.js';

const secret = 's'.repeat(32);
const other = 'o'.repeat(32);
/** Seconds; the start of a slot of 100 seconds. */
const start = 1_800_000_000;

/** Made in each test, so that a fault in it fails the test. */
const make = () => {
  const nonces = createNonces([secret], 300);
  const nonce = nonces.latest(start);
  return { nonces, nonce, bytes: Buffer.from(nonce, 'base64url') };
};

describe('a nonce', () => {
  it.each([
    ['at once', 0, start + 300],
    ['to the end of its slot', 99, start + 300],
    ['in the next slot, when a newer one is there', 100, start + 300],
    ['for maxAge', 299, start + 300],
    ['by a process whose clock is behind by a slot', -100, start + 300],
    ['not after maxAge', 300, undefined],
    ['not by a process whose clock is behind by more', -101, undefined],
  ])('is accepted %s', (_, later, found) => {
    const { nonces, nonce } = make();
    expect(nonces.acceptedUntil(nonce, start + later)).toEqual(found);
  });

  it('is equal for all clients within a slot, and another in the next', () => {
    const { nonces, nonce } = make();
    expect(nonces.latest(start + 99)).toBe(nonce);
    expect(nonces.latest(start + 100)).not.toBe(nonce);
    expect(nonces.latest(start)).toBe(nonce);
  });

  it('is found by another process with the secret', () => {
    const { nonce } = make();
    expect(createNonces([secret], 300).acceptedUntil(nonce, start)).toBeDefined();
  });

  it('is found while the secrets change, and not after', () => {
    const { nonce } = make();
    expect(createNonces([other, secret], 300).acceptedUntil(nonce, start)).toBeDefined();
    expect(createNonces([other], 300).acceptedUntil(nonce, start)).toBeUndefined();
    expect(createNonces([other, secret], 300).latest(start)).toBe(createNonces([other], 300).latest(start));
  });

  it('fits a header and a claim: characters of base64url alone (RFC 9449 §8.1)', () => {
    expect(make().nonce).toMatch(/^[\w-]{28}$/);
  });
});

describe('another text', () => {
  it.each<[string, (nonce: string) => string]>([
    ['nothing', () => ''],
    ['a nonce and more', (nonce) => `${nonce}A`],
    ['a nonce and four characters more', (nonce) => `${nonce}AAAA`],
    ['a nonce without its end', (nonce) => nonce.slice(0, -4)],
    ['a nonce with padding', (nonce) => `${nonce}=`],
    ['a text of that length', () => 'A'.repeat(28)],
    ['a nonce in the other alphabet', (nonce) => `+${nonce.slice(1)}`],
  ])('%s is not accepted', (_, textOf) => {
    const { nonces, nonce } = make();
    expect(nonces.acceptedUntil(textOf(nonce), start)).toBeUndefined();
  });

  it.each(Array.from({ length: 21 }, (_, index) => index))(
    'with another bit in byte %i it is not accepted',
    (index) => {
      const { nonces, bytes } = make();
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(index) ^ 1, index);
      expect(nonces.acceptedUntil(changed.toString('base64url'), start)).toBeUndefined();
    },
  );

  it('with the number of another slot it is not accepted there', () => {
    const { nonces, bytes } = make();
    const changed = Buffer.from(bytes);
    changed.writeUIntBE(changed.readUIntBE(0, 5) + 1, 0, 5);
    expect(nonces.acceptedUntil(changed.toString('base64url'), start + 100)).toBeUndefined();
  });
});

it('the nonces of many slots are known in turn, as those of one', () => {
  const { nonces } = make();
  const fresh = (slot: number) => createNonces([secret], 300).latest(start + slot * 100);
  for (const slot of [0, 1, 2, 3, 4, 5, 6, 7, 2, 0, 7]) {
    expect(nonces.latest(start + slot * 100)).toBe(fresh(slot));
    expect(nonces.acceptedUntil(fresh(slot), start + slot * 100)).toBe(start + slot * 100 + 300);
  }
});

it('is made from a secret by HKDF-SHA256 and HMAC-SHA256: processes of one version agree with those of the next', () => {
  expect(createNonces([secret], 300).latest(start)).toBe('AAESqIBP9y4FXgPu4lZKRZcnhDju');
});
