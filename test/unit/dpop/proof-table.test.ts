import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type ProofName, ProofTable } from '../../../packages/core/src/dpop/proof-table.js';

/** Numbers from 0 to 999,999 have different names. 256 in a row are in as many shards. */
function nameOf(number: number): ProofName {
  const spread = (part: number): number => {
    const first = Math.imul(part ^ (part >>> 16), 0x85eb_ca6b);
    const second = Math.imul(first ^ (first >>> 13), 0xc2b2_ae35);
    return (second ^ (second >>> 16)) >>> 0;
  };
  return [spread(number + 1), spread(number + 1_000_001), number];
}

/** Which of the names 0 to `end` - 1 the table has. */
const numbersIn = (table: ProofTable, end: number): number[] =>
  Array.from({ length: end }, (_, number) => number).filter((number) => table.has(nameOf(number)));

describe('a table of proofs', () => {
  it('has the names that were added, however many, and no other', () => {
    const table = new ProofTable();
    const added = Array.from({ length: 10_000 }, (_, number) => number);
    const foundBefore = added.filter((number) => {
      const isThere = table.has(nameOf(number));
      table.add(nameOf(number), 1 + (number % 3));
      return isThere;
    });
    expect(foundBefore).toEqual([]);
    expect(numbersIn(table, 20_000)).toEqual(added);
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
    // The third number selects one of 256 shards.
    const name = (change: number, by = 1): ProofName =>
      [7, 8, 256].map((part, index) => (index === change ? part + by : part)) as unknown as ProofName;
    table.add([7, 8, 256], 1);
    expect([0, 1, 2].map((change) => table.has(name(change)))).toEqual([false, false, false]);
    expect(table.has(name(2, 256))).toBe(false);
    // The slot of a name depends on the lowest bits of the first number.
    expect(table.has(name(0, 2 ** 20))).toBe(false);
    // More than the shard has slots at first, from the last slot on.
    const alike = Array.from({ length: 40 }, (_, number): ProofName => [2 ** 32 - 1, number, 0]);
    for (const one of alike) {
      table.add(one, 1);
    }
    expect(alike.every((one) => table.has(one))).toBe(true);
    expect(table.has([2 ** 32 - 1, 40, 0])).toBe(false);
    expect(table.has([7, 8, 256])).toBe(true);
  });

  it('has a name of zeros only if it was added', () => {
    const table = new ProofTable();
    expect(table.has([0, 0, 0])).toBe(false);
    table.add([0, 0, 0], 1);
    expect(table.has([0, 0, 0])).toBe(true);
  });
});

describe('the slots of removed names', () => {
  /** The lengths of the arrays that were made since, each to rebuild a shard. */
  function rebuilt(): number[] {
    const lengths: number[] = [];
    vi.stubGlobal(
      'Uint32Array',
      class extends Uint32Array {
        constructor(length: number) {
          super(length);
          lengths.push(length);
        }
      },
    );
    onTestFinished(() => void vi.unstubAllGlobals());
    return lengths;
  }
  const addAll = (
    table: ProofTable,
    begin: number,
    end: number,
    spanOf: (number: number) => number,
  ): void => {
    for (let number = begin; number < end; number += 1) {
      table.add(nameOf(number), spanOf(number));
    }
  };
  /** How many of these additions rebuild a shard: none of them more than one, which has its size. */
  const addCounting = (table: ProofTable, lengths: number[], begin: number, end: number): number => {
    let count = 0;
    for (let number = begin; number < end; number += 1) {
      lengths.length = 0;
      table.add(nameOf(number), 3);
      // Slots for 24 names, of four numbers each.
      if (lengths.length > 1 || (lengths[0] ?? 128) !== 128) {
        throw new Error(`one addition rebuilds ${lengths}`);
      }
      count += lengths.length;
    }
    return count;
  };
  /** 20 names in each shard. */
  const COUNT = 20 * 256;

  it('are 16 in each shard at first, and twice as many from its 13th name on', () => {
    const lengths = rebuilt();
    const table = new ProofTable();
    expect(lengths).toEqual(Array.from({ length: 256 }, () => 16 * 4));
    addAll(table, 0, 12 * 256, () => 1);
    expect(lengths).toHaveLength(256);
    table.add(nameOf(12 * 256), 1);
    expect(lengths.slice(256)).toEqual([32 * 4]);
  });

  it('are freed in one shard of 256 with each name that is added, and then used again', () => {
    const table = new ProofTable();
    addAll(table, 0, COUNT, (number) => 1 + ((number >> 8) % 2));
    const lengths = rebuilt();
    table.removeSpans([1]);
    expect(lengths).toEqual([]);
    expect(addCounting(table, lengths, COUNT, COUNT + 256)).toBe(256);
    // Each shard has 11 names now, and room for 13.
    expect(addCounting(table, lengths, COUNT + 256, COUNT + 14 * 256)).toBe(0);
    const all = Array.from({ length: COUNT + 14 * 256 }, (_, number) => number);
    expect(numbersIn(table, COUNT + 15 * 256)).toEqual(
      all.filter((number) => number >= COUNT || (number >> 8) % 2 === 1),
    );
  });

  it('are freed for each of several spans, whenever it is removed', () => {
    const table = new ProofTable();
    addAll(table, 0, COUNT, (number) => 1 + ((number >> 8) % 4));
    const lengths = rebuilt();
    table.removeSpans([1]);
    expect(addCounting(table, lengths, COUNT, COUNT + 100)).toBe(100);
    table.removeSpans([2, 4]);
    expect(addCounting(table, lengths, COUNT + 100, COUNT + 10 * 256)).toBe(256);
    const left = Array.from({ length: COUNT }, (_, number) => number).filter(
      (number) => (number >> 8) % 4 === 2,
    );
    expect(numbersIn(table, COUNT)).toEqual(left);
  });

  it('can have the same names before they are freed: those of a later span stay', () => {
    const table = new ProofTable();
    addAll(table, 0, 3_000, () => 1);
    table.removeSpans([1]);
    expect(numbersIn(table, 3_000)).toEqual([]);
    addAll(table, 0, 1_000, () => 2);
    expect(numbersIn(table, 3_000)).toEqual(Array.from({ length: 1_000 }, (_, number) => number));
  });
});

it('a name is there from its addition to the removal of its span, whatever comes between', () => {
  const table = new ProofTable();
  const spans = new Map<number, number>();
  for (let number = 0; number < 8_000; number += 1) {
    const current = 1 + Math.floor(number / 100);
    // Of four spans, none of which is removed yet.
    const span = current + (number % 4);
    table.add(nameOf(number), span);
    spans.set(number, span);
    if (number % 100 === 99) {
      table.removeSpans([current]);
      const earlier = Array.from({ length: 500 }, (_, back) => number - back).filter((one) => one >= 0);
      expect(earlier.filter((one) => table.has(nameOf(one)) !== (spans.get(one) ?? 0) > current)).toEqual([]);
    }
  }
});
