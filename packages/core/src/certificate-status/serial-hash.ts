import { randomFillSync } from 'node:crypto';

/** Bytes of a serial number that count. */
const LENGTH = 64;

/** For each place in a serial number, a random number for each value of the byte there. */
const numbers = randomFillSync(new Uint32Array(LENGTH * 256));

/**
 * A hash of 32 bits of a serial number: tabulation hashing, by numbers that each process draws at its
 * start. An authority chooses the serial numbers of its list, and can't choose ones that collide.
 */
export function serialHash(serial: Uint8Array): number {
  const length = Math.min(serial.length, LENGTH);
  let value = 0;
  for (let index = 0; index < length; index += 1) {
    value ^= numbers[index * 256 + (serial[index] ?? 0)] ?? 0;
  }
  return value >>> 0;
}
