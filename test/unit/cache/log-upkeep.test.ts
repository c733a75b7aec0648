// What a process writes into the log by itself, and when.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogUpkeep } from '../../../packages/core/src/revocation/log-upkeep.js';
import type { LogWriter } from '../../../packages/core/src/revocation/log-writer.js';
import { remembered } from '../../support/revocations.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a process in a fleet whose other processes write heartbeats all the time', () => {
  /** When this process wrote, in milliseconds of its clock. */
  async function timesOfEntries(minutes: number): Promise<number[]> {
    const times = [performance.now()];
    const writer = {
      get lastConfirmedAt() {
        return times.at(-1);
      },
      write: async () => void times.push(performance.now()),
    } as unknown as LogWriter;
    const upkeep = new LogUpkeep({
      writer,
      revocations: remembered({ from: 'log' }),
      isAttested: () => true,
      attestationAge: () => 0,
      newestAt: () => Date.now(),
      onCannotAsk: () => undefined,
    });
    await upkeep.writeWhatLacks();
    await vi.advanceTimersByTimeAsync(minutes * 60_000);
    upkeep.close();
    return [...times, performance.now()];
  }

  it('writes an entry of its own each minute at least, and twice a minute at most', async () => {
    const times = await timesOfEntries(60);
    const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(60_000);
    expect(times.length).toBeLessThan(120);
  });
});
