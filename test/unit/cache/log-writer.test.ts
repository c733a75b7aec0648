// In which order a process writes its entries into the log, and which of them it does not write.
import { expect, it } from 'vitest';
import { BoundedLog } from '../../../packages/core/src/revocation/bounded-log.js';
import { entryIn } from '../../../packages/core/src/revocation/log-entry.js';
import { LogSeals } from '../../../packages/core/src/revocation/log-seals.js';
import { LogWriter } from '../../../packages/core/src/revocation/log-writer.js';
import { MemoryLog } from '../../support/memory-log.js';
import { noticeOf } from '../../support/revocations.js';

const seals = new LogSeals(['a secret of at least 32 characters'], undefined);
const notGivenUp = new AbortController().signal;

function writerTo(log: MemoryLog): LogWriter {
  return new LogWriter({
    log: new BoundedLog(log, new AbortController().signal),
    seals,
    keepFor: 1_000,
    facts: () => ({ previous: undefined, version: 0, syncedSince: undefined, attested: undefined }),
    hasRead: () => false,
  });
}

/** What the log has: the number of each entry, and whom it revokes. */
function written(log: MemoryLog): [number | undefined, unknown][] {
  return log.entries.map(({ entry }) => {
    const { number, notice } = entryIn(seals.openEntry(entry) ?? '') ?? {};
    return [number, Object(notice?.revocation).subject];
  });
}

const of = (subject: string) => noticeOf({ subject });

it('writes what the process writes by itself before each revocation that waits', async () => {
  const log = new MemoryLog();
  const writer = writerTo(log);
  await Promise.all([
    writer.publish(of('one'), notGivenUp),
    writer.publish(of('two'), notGivenUp),
    writer.write(undefined, undefined),
    writer.write({ notice: of('again'), knownSince: 0 }, undefined),
  ]);
  expect(written(log)).toEqual([
    [1, 'one'],
    [2, undefined],
    [3, 'again'],
    [4, 'two'],
  ]);
});

it('neither writes nor numbers a revocation that is given up before its turn', async () => {
  const log = new MemoryLog();
  const writer = writerTo(log);
  const givenUp = new AbortController();
  const all = ['one', 'two', 'three'].map((subject) =>
    writer.publish(of(subject), subject === 'two' ? givenUp.signal : notGivenUp),
  );
  givenUp.abort();
  expect((await Promise.allSettled(all)).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
  ]);
  expect(written(log)).toEqual([
    [1, 'one'],
    [2, 'three'],
  ]);
});

it('rejects a revocation if 10,000 wait, and no entry of its own', async () => {
  const log = new MemoryLog();
  const writer = writerTo(log);
  const givenUp = new AbortController();
  const waiting = Array.from({ length: 10_001 }, () => writer.publish(of('one'), givenUp.signal));
  const settled = Promise.allSettled(waiting);
  await expect(writer.publish(of('two'), notGivenUp)).rejects.toThrow('more than 10000 revocations wait');
  const own = writer.write(undefined, undefined);
  givenUp.abort();
  await own;
  await settled;
  expect(written(log)).toEqual([
    [1, 'one'],
    [2, undefined],
  ]);
  await writer.publish(of('three'), notGivenUp);
});
