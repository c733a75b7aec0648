// As many used proofs as a process ever has.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { UsedProofs } from '../../../packages/core/src/dpop/used-proofs.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: 1_800_000_005_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

it('a key can send a thousand proofs a second that are accepted for 90 seconds', () => {
  const used = new UsedProofs();
  for (let second = 0; second < 300; second += 1) {
    for (let number = 0; number < 1_000; number += 1) {
      const acceptedUntil = Date.now() / 1000 + 90;
      if (used.take({ jkt: 'key', jti: `${second} ${number}`, acceptedUntil }) !== 'fresh') {
        throw new Error(`refused in second ${second}`);
      }
    }
    vi.advanceTimersByTime(1_000);
  }
  expect(used.size).toBeLessThanOrEqual(101_000);
});

it('980,000 used proofs of a thousand keys take less than 40 MB', { timeout: 60_000 }, () => {
  const memory = () => {
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = memory();
  const used = new UsedProofs();
  const acceptedUntil = Date.now() / 1000 + 90;
  for (let number = 0; used.size < 980_000; number += 1) {
    used.take({ jkt: `key ${number % 1_000}`, jti: `${number} of a client`, acceptedUntil });
  }
  expect(memory() - before).toBeLessThan(40_000_000);
  expect(used.size).toBe(980_000);
});
