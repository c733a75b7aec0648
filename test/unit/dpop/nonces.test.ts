import { describe, expect, it } from 'vitest';
import { createNonces } from '../../../packages/core/src/dpop/nonces.js';

const secret = 's'.repeat(32);
const other = 'o'.repeat(32);
/** Seconds; the start of a slot of 100 seconds. */
const start = 1_800_000_000;

describe('a nonce', () => {
  const nonces = createNonces([secret], 300);
  const nonce = nonces.latest(start);

  it.each([
    ['at once', 0, { acceptedUntil: start + 300, isLatest: true }],
    ['to the end of its slot', 99, { acceptedUntil: start + 300, isLatest: true }],
    ['in the next slot, when a newer one is there', 100, { acceptedUntil: start + 300, isLatest: false }],
    ['for maxAge', 299, { acceptedUntil: start + 300, isLatest: false }],
    ['by a process whose clock is behind by a slot', -100, { acceptedUntil: start + 300, isLatest: true }],
    ['not after maxAge', 300, undefined],
    ['not by a process whose clock is behind by more', -101, undefined],
  ])('is accepted %s', (_, later, found) => {
    expect(nonces.find(nonce, start + later)).toEqual(found);
  });

  it('is equal for all clients within a slot, and another in the next', () => {
    expect(nonces.latest(start + 99)).toBe(nonce);
    expect(nonces.latest(start + 100)).not.toBe(nonce);
    expect(nonces.latest(start)).toBe(nonce);
  });

  it('is found by another process with the secret', () => {
    expect(createNonces([secret], 300).find(nonce, start)).toBeDefined();
  });

  it('is found while the secrets change, and not after', () => {
    expect(createNonces([other, secret], 300).find(nonce, start)).toBeDefined();
    expect(createNonces([other], 300).find(nonce, start)).toBeUndefined();
    expect(createNonces([other, secret], 300).latest(start)).toBe(createNonces([other], 300).latest(start));
  });

  it('fits a header and a claim: characters of base64url alone (RFC 9449 §8.1)', () => {
    expect(nonce).toMatch(/^[\w-]{28}$/);
  });
});

describe('another text', () => {
  const nonces = createNonces([secret], 300);
  const nonce = nonces.latest(start);
  const bytes = Buffer.from(nonce, 'base64url');

  it.each([
    ['nothing', ''],
    ['a nonce and more', `${nonce}A`],
    ['a nonce without its end', nonce.slice(0, -4)],
    ['a nonce with padding', `${nonce}=`],
    ['a text of that length', 'A'.repeat(28)],
    ['a nonce in the other alphabet', `+${nonce.slice(1)}`],
  ])('%s is not accepted', (_, text) => {
    expect(nonces.find(text, start)).toBeUndefined();
  });

  it.each([...bytes.keys()])('with another bit in byte %i it is not accepted', (index) => {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(index) ^ 1, index);
    expect(nonces.find(changed.toString('base64url'), start)).toBeUndefined();
  });

  it('with the number of another slot it is not accepted there', () => {
    const changed = Buffer.from(bytes);
    changed.writeUIntBE(changed.readUIntBE(0, 5) + 1, 0, 5);
    expect(nonces.find(changed.toString('base64url'), start + 100)).toBeUndefined();
  });
});
