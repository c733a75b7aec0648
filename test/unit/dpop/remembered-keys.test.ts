import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { ProofKey } from '../../../packages/core/src/dpop/proof-key.js';
import { RememberedKeys } from '../../../packages/core/src/dpop/remembered-keys.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const keyOf = (jkt: string): ProofKey => ({ jkt, algorithm: 'ES256' }) as ProofKey;

describe('the keys of clients', () => {
  it('are found by the header of their proofs', () => {
    const known = new RememberedKeys();
    const [one, other] = [keyOf('one'), keyOf('other')];
    known.add('header of one', one);
    known.add('header of other', other);
    expect([known.find('header of one'), known.find('header of other'), known.find('another')]).toEqual([
      one,
      other,
      undefined,
    ]);
    expect(known.find('header of one')).toBe(one);
  });

  it('a client that changes its header with each proof displaces itself alone', () => {
    const known = new RememberedKeys(3);
    known.add('header', keyOf('quiet'));
    for (let i = 0; i < 100; i += 1) {
      known.add(`header ${i}`, keyOf('busy'));
    }
    expect(known.size).toBe(2);
    expect(known.find('header')?.jkt).toBe('quiet');
    expect(known.find('header 98')).toBeUndefined();
    expect(known.find('header 99')?.jkt).toBe('busy');
  });

  it('are as many as the limit says: the one that was unused for longest goes', () => {
    const known = new RememberedKeys(2);
    known.add('a', keyOf('A'));
    known.add('b', keyOf('B'));
    known.find('a');
    known.add('c', keyOf('C'));
    expect(['a', 'b', 'c'].map((header) => known.find(header)?.jkt)).toEqual(['A', undefined, 'C']);
    // One that went may come back.
    known.add('b', keyOf('B'));
    expect(known.find('b')?.jkt).toBe('B');
    expect(known.size).toBe(2);
  });

  it('a header of 3,000 characters is the longest that is remembered', () => {
    const known = new RememberedKeys();
    known.add('a'.repeat(3_000), keyOf('A'));
    known.add('b'.repeat(3_001), keyOf('B'));
    expect(known.size).toBe(1);
    expect(known.find('a'.repeat(3_000))).toBeDefined();
    for (let i = 0; i < 10_050; i += 1) {
      known.add(`header ${i}`, keyOf(`${i}`));
    }
    expect(known.size).toBe(10_000);
  });

  it('do not keep the proofs alive that they came with', () => {
    const known = new RememberedKeys();
    const memory = () => {
      collect();
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = memory();
    for (let i = 0; i < 3_000; i += 1) {
      // As a header of a request is read: a text of its own, with one byte a character.
      const proof = Buffer.from(`header-of-${i}`.padEnd(8_000, '.claims')).toString('latin1');
      known.add(proof.slice(0, proof.indexOf('.')), keyOf(`${i}`));
    }
    // The proofs have 24 MB.
    expect(memory() - before).toBeLessThan(6_000_000);
    expect(known.size).toBe(3_000);
    expect(known.find(`header-of-${2_999}`)?.jkt).toBe('2999');
  });
});
