import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type ProofName, ProofTable } from '../../../packages/core/src/dpop/proof-table.js';

function nameOf(number: number): ProofName {
  const bytes = Buffer.from(hash('sha256', String(number), 'hex'), 'hex');
  return [bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(8)];
}

/** Which of the names 0 to `end` - 1 the table has. */
const numbersIn = (table: ProofTable, end: number): number[] =>
  Array.from({ length: end }, (_, number) => number).filter((number) => table.has(nameOf(number)));

describe('a table of proofs', () => {
  it('has the names that were added, however many, and no other', () => {
    const table = new ProofTable();
    const added = Array.from({ length: 20_000 }, (_, number) => number);
    for (const number of added) {
      expect(table.has(nameOf(number))).toBe(false);
      table.add(nameOf(number), 1 + (number % 3));
    }
    expect(numbersIn(table, 40_000)).toEqual(added);
  });

  it('loses the names of the spans that are removed, and can have them again', () => {
    const table = new ProofTable();
    for (let number = 0; number < 3_000; number += 1) {
      table.add(nameOf(number), 1 + (number % 3));
    }
    table.removeSpans(new Set([1, 3, 7]));
    const left = numbersIn(table, 4_000);
    expect(left).toEqual(Array.from({ length: 1_000 }, (_, number) => 3 * number + 1));
    table.add(nameOf(0), 2 ** 32 - 1);
    table.removeSpans(new Set([2]));
    expect(numbersIn(table, 4_000)).toEqual([0]);
    table.removeSpans(new Set([2 ** 32 - 1]));
    expect(numbersIn(table, 4_000)).toEqual([]);
  });

  it('tells names apart that differ in one number, and finds all that begin with one', () => {
    const table = new ProofTable();
    const name = (change: number, by = 1): ProofName =>
      [7, 8, 64].map((part, index) => (index === change ? part + by : part)) as unknown as ProofName;
    table.add([7, 8, 64], 1);
    expect([0, 1, 2].map((change) => table.has(name(change)))).toEqual([false, false, false]);
    expect(table.has(name(2, 64))).toBe(false);
    // More than the shard has slots at first, from the last slot on.
    const alike = Array.from({ length: 40 }, (_, number): ProofName => [2 ** 32 - 1, number, 0]);
    for (const one of alike) {
      table.add(one, 1);
    }
    expect(alike.every((one) => table.has(one))).toBe(true);
    expect(table.has([2 ** 32 - 1, 40, 0])).toBe(false);
    expect(table.has([7, 8, 64])).toBe(true);
  });

  it('has a name of zeros only if it was added', () => {
    const table = new ProofTable();
    expect(table.has([0, 0, 0])).toBe(false);
    table.add([0, 0, 0], 1);
    expect(table.has([0, 0, 0])).toBe(true);
  });
});
