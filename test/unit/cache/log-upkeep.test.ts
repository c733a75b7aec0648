// What a process writes into the log by itself, and when.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogUpkeep } from '../../../packages/core/src/revocation/log-upkeep.js';
import type { LogWriter } from '../../../packages/core/src/revocation/log-writer.js';
import { OwnUnreadNotices } from '../../../packages/core/src/revocation/own-unread-notices.js';
import { noticeOf, remembered } from '../../support/revocations.js';

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
      revocations: remembered({ syncedBy: 'log' }),
      ownUnread: new OwnUnreadNotices(),
      isComparisonSettled: () => true,
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

describe('what was revoked before a connection was lost', () => {
  const COUNT = 1_000;
  /** Milliseconds that the log takes for an entry. */
  const EACH = 5;

  /** A process that has revoked `COUNT` subjects, with those that it has written. */
  async function withOwnUnread() {
    const subjects: string[] = [];
    const write = vi.fn(async (known: { notice: { revocation: { subject: string } } } | undefined) => {
      await new Promise((resolve) => setTimeout(resolve, EACH));
      subjects.push(known?.notice.revocation.subject ?? 'heartbeat');
    });
    const ownUnread = new OwnUnreadNotices();
    const upkeep = new LogUpkeep({
      writer: { lastConfirmedAt: Number.NEGATIVE_INFINITY, write },
      revocations: remembered({ syncedBy: 'log' }),
      ownUnread,
      isComparisonSettled: () => true,
      attestationAge: () => 0,
      newestAt: () => Date.now(),
      onCannotAsk: () => undefined,
    } as never);
    for (let index = 0; index < COUNT; index += 1) {
      ownUnread.add({ notice: noticeOf({ subject: `user-${index}` }), knownSince: performance.now() });
    }
    upkeep.rewriteOwnUnread();
    return { upkeep, write, subjects };
  }

  /** Milliseconds that one turn takes. */
  async function turn(upkeep: LogUpkeep): Promise<number> {
    const startedAt = performance.now();
    let took: number | undefined;
    let error: unknown;
    void upkeep
      .writeWhatLacks()
      .catch((reason) => {
        error = reason;
      })
      .finally(() => {
        took = performance.now() - startedAt;
      });
    while (took === undefined) {
      await vi.advanceTimersByTimeAsync(EACH);
    }
    if (error !== undefined) {
      throw error;
    }
    return took;
  }

  it('is written again in turns of a tenth of a second, each revocation once', async () => {
    const { upkeep, subjects } = await withOwnUnread();
    for (let turns = 0; turns < 100 && !subjects.includes('heartbeat'); turns += 1) {
      expect(await turn(upkeep)).toBeLessThanOrEqual(100 + 2 * EACH);
    }
    upkeep.close();
    expect(subjects).toEqual([...Array.from({ length: COUNT }, (_, index) => `user-${index}`), 'heartbeat']);
  });

  it.each([
    ['the connection is interrupted', (upkeep: LogUpkeep) => upkeep.rewriteOwnUnread()],
    [
      'an entry can not be written',
      async (upkeep: LogUpkeep, write: ReturnType<typeof vi.fn>) => {
        write.mockRejectedValueOnce(new Error('READONLY'));
        await expect(turn(upkeep)).rejects.toThrow('READONLY');
      },
    ],
  ])('is written from the first on if %s meanwhile', async (_what, fail) => {
    const { upkeep, write, subjects } = await withOwnUnread();
    await turn(upkeep);
    await turn(upkeep);
    await fail(upkeep, write);
    subjects.splice(0);
    await turn(upkeep);
    upkeep.close();
    expect(subjects[0]).toBe('user-0');
  });
});
