// An authority chooses the serial numbers of its list: it must not be able to choose ones that collide.
import { expect, it } from 'vitest';
import { serialHash } from '../../../packages/core/src/certificate-status/serial-hash.js';

const PRIME = 0x01000193;

const step = (state: number, block: number): number => {
  let value = state;
  for (let shift = 0; shift < 32; shift += 8) {
    value = Math.imul(value ^ ((block >> shift) & 255), PRIME);
  }
  return value;
};

/**
 * Two blocks of four bytes that lead FNV-1a from a state to the same one. Which ones do so depends on the
 * low byte of the state alone, and so of a seed.
 */
function collidingBlocks(low: number, table: Int32Array): [number, number] {
  table.fill(-1);
  for (let index = 0; ; index += 1) {
    const block = Math.imul(index, 0x9e3779b1);
    const state = step(low, block);
    const slot = (Math.imul(state, 0x9e3779b1) >>> 13) & (table.length - 1);
    const known = table[slot] ?? -1;
    if (known >= 0 && step(low, Math.imul(known, 0x9e3779b1)) === state) {
      return [Math.imul(known, 0x9e3779b1), block];
    }
    table[slot] = index;
  }
}

it('serial numbers that collide in FNV-1a, whatever its seed is, do not', { timeout: 60_000 }, () => {
  const table = new Int32Array(2 ** 19);
  const blocks = Array.from({ length: 256 }, (_, low) => collidingBlocks(low, table));
  let allSlots = 0;
  for (let first = 0; first < 256; first += 1) {
    // Six pairs of blocks, each for the state after those before it: 64 serial numbers of 24 bytes.
    let state = first;
    let serials: number[][] = [[]];
    for (let pair = 0; pair < 6; pair += 1) {
      const [one, other] = blocks[state & 255] as [number, number];
      serials = serials.flatMap((serial) =>
        [one, other].map((block) => [
          ...serial,
          block & 255,
          (block >> 8) & 255,
          (block >> 16) & 255,
          (block >> 24) & 255,
        ]),
      );
      state = step(state, one);
    }
    const hashes = serials.map((serial) => serialHash(Uint8Array.from(serial)));
    expect(new Set(hashes).size).toBeGreaterThan(50);
    allSlots += new Set(hashes.map((hash) => hash & 0xffff)).size;
  }
  // Of one set in a thousand, by chance, half of the slots are equal: the lot is what counts.
  expect(allSlots).toBeGreaterThan(50 * 256);
});

it('the same bytes have the same hash, and each of 64 bytes counts', () => {
  const serial = Uint8Array.from({ length: 64 }, (_, index) => index);
  const hash = serialHash(serial);
  expect(serialHash(Uint8Array.from(serial))).toBe(hash);
  expect(hash).toBe(hash >>> 0);
  for (let index = 0; index < 64; index += 1) {
    const other = Uint8Array.from(serial);
    other[index] = 255 - index;
    expect(serialHash(other)).not.toBe(hash);
  }
});
