import { expect, it } from 'vitest';
import { readCrlHead } from '../../../packages/core/src/certificate-status/crl.js';
import { CrlEntries } from '../../../packages/core/src/certificate-status/crl-entries.js';
import { reason, writeAuthority, writeList } from '../../support/written-status.js';

/** Sixteen bytes, as many as an authority draws. */
const serialOf = (index: number): number[] => [
  1,
  ...Buffer.alloc(12, index % 251),
  index >> 16,
  (index >> 8) & 255,
  index & 255,
];

it('a list of 100,000 entries is read whole, and other work has its turn meanwhile', async () => {
  const count = 100_000;
  const authority = writeAuthority();
  const der = writeList(authority, {
    revoked: Array.from({ length: count }, (_, index) => serialOf(index)),
    entryExtensions: [reason(4)],
  });
  const head = readCrlHead(der);
  if ('why' in head) {
    throw new Error(head.why);
  }
  let turns = 0;
  const turn = (): void => {
    turns += 1;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  const { from, to } = head.entries;
  const entries = await CrlEntries.read(head.parts.content, from, to);
  const during = turns;
  clearImmediate(next);
  if ('why' in entries) {
    throw new Error(entries.why);
  }
  expect(entries.count).toBe(count);
  expect(during).toBeGreaterThan(0);
  for (const index of [0, 1, 255, 65_536, count - 1]) {
    expect(entries.reasonOf(Buffer.from(serialOf(index)))).toBe(4);
  }
  for (const index of [count, count + 1, 200_000]) {
    expect(entries.reasonOf(Buffer.from(serialOf(index)))).toBeUndefined();
  }
  // The list holds the serial numbers; the table of places is smaller than it.
  expect(entries.tableSize).toBeLessThan(der.length);
});

it('a list that repeats one serial number 100,000 times is read as fast, and its first entry counts', async () => {
  const authority = writeAuthority();
  const serial = serialOf(1);
  const der = writeList(authority, { revoked: Array.from({ length: 100_000 }, () => serial) });
  const head = readCrlHead(der);
  if ('why' in head) {
    throw new Error(head.why);
  }
  const { from, to } = head.entries;
  // In a table with a slot for each of them this takes longer than a test may.
  const entries = await CrlEntries.read(head.parts.content, from, to);
  if ('why' in entries) {
    throw new Error(entries.why);
  }
  expect(entries.count).toBe(100_000);
  expect(entries.reasonOf(Buffer.from(serial))).toBe(0);
  expect(entries.reasonOf(Buffer.from(serialOf(2)))).toBeUndefined();
});
