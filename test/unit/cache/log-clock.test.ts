// A clock that is ahead when a process joins the log of revocations: which processes report it, and what they say.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LogSync } from '../../../packages/core/src/revocation/log-sync.js';
import { MemoryLog } from '../../support/memory-log.js';
import { remembered } from '../../support/revocations.js';

const secret = 'a secret of at least 32 characters';
const code = 'revocations_clock_wrong';
let log: MemoryLog;
let feeds: LogSync[];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
  log = new MemoryLog();
  feeds = [];
});
afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(feeds.map((feed) => feed.close()));
});

/** A process that has read the log to its end, with what it reports of clocks. */
async function join(): Promise<string[]> {
  const reports: string[] = [];
  const revocations = remembered({ syncedBy: 'log' });
  const markRead = vi.spyOn(revocations, 'markRead');
  const report = (given: string, message: string) => given === code && reports.push(message);
  feeds.push(
    new LogSync(
      { log, secrets: [secret], longestTokenLifetime: 3_600, maxAgeWhileUnsynced: 5 },
      revocations,
      report,
    ),
  );
  await vi.waitFor(() => expect(markRead).toHaveBeenCalled(), 5_000);
  // What is reported of this reading.
  await vi.waitFor(() => expect(markRead.mock.calls.length).toBeGreaterThan(1), 5_000);
  return reports;
}

const setClock = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1_000);

it.each([0, 4])('%i s ahead: no process reports it', async (ahead) => {
  setClock(ahead);
  const first = await join();
  setClock(-ahead);
  expect([await join(), first]).toEqual([[], []]);
});

it('an hour ahead at the start of the first process: it reports that once its clock is right, and so does the next', async () => {
  setClock(3_600);
  const first = await join();
  expect(first).toEqual([]);
  setClock(-3_600);
  const second = await join();
  await vi.waitFor(() => expect(first).toHaveLength(1), 5_000);
  for (const reports of [first, second]) {
    expect(reports).toEqual([
      expect.stringMatching(
        /^nothing vouches for tokens that are issued in the next 3[56]\d\d s: the clock of this process is behind, or /,
      ),
    ]);
  }
});

it('an entry an hour ahead in a log in use: a process that runs reports it once', async () => {
  const running = await join();
  setClock(3_600);
  await feeds[0]?.publish({ revocation: { jti: 'a' }, at: Date.now(), id: 'id-1' });
  setClock(-3_600);
  await feeds[0]?.publish({ revocation: { jti: 'b' }, at: Date.now(), id: 'id-2' });
  await vi.waitFor(() => expect(running).toHaveLength(1), 5_000);
  await feeds[0]?.publish({ revocation: { jti: 'c' }, at: Date.now(), id: 'id-3' });
  expect(running).toEqual([
    expect.stringMatching(/^the newest entry of the log of revocations is dated 3[56]\d\d s in the future: /),
  ]);
});
