// In which order a process writes its entries into the log, and which of them it does not write.
import { describe, expect, it } from 'vitest';
import { parseEntry } from '../../../packages/core/src/revocation/log-entry.js';
import { LogSeals } from '../../../packages/core/src/revocation/log-seals.js';
import { LogWriter } from '../../../packages/core/src/revocation/log-writer.js';
import { OwnUnreadNotices } from '../../../packages/core/src/revocation/own-unread-notices.js';
import { TimeLimitedLog } from '../../../packages/core/src/revocation/time-limited-log.js';
import { MemoryLog } from '../../support/memory-log.js';
import { noticeOf } from '../../support/revocations.js';

const seals = new LogSeals(['a secret of at least 32 characters'], undefined);
const notGivenUp = new AbortController().signal;

function writerTo(log: MemoryLog, full: string[] = []): LogWriter {
  return new LogWriter({
    log: new TimeLimitedLog(log, new AbortController().signal),
    seals,
    keepFor: 1_000,
    facts: () => ({ lastRead: undefined, version: 0, syncedSince: undefined, attested: undefined }),
    hasRead: () => false,
    ownUnread: new OwnUnreadNotices(),
    onFull: (issuer) => full.push(issuer),
  });
}

/** What the log has: the number of each entry, and whom it revokes. */
function written(log: MemoryLog): [number | undefined, unknown][] {
  return log.entries.map(({ entry }) => {
    const { number, notice } = parseEntry(seals.openEntry(entry) ?? '') ?? {};
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

const [blue, red] = ['https://blue.example.com', 'https://red.example.com'];

it('has the issuers take turns, and what is revoked for each issuer', async () => {
  const log = new MemoryLog();
  const writer = writerTo(log);
  const revoked = [
    { subject: 'red 1', issuer: red },
    { subject: 'red 2', issuer: red },
    { subject: 'red 3', issuer: red },
    { subject: 'red 4', issuer: red },
    { subject: 'blue 1', issuer: blue },
    { subject: 'blue 2', issuer: blue },
    { subject: 'each 1' },
  ];
  await Promise.all(revoked.map((revocation) => writer.publish(noticeOf(revocation), notGivenUp)));
  // The first was on its way before there was another one.
  const order = ['red 1', 'red 2', 'blue 1', 'each 1', 'red 3', 'blue 2', 'red 4'];
  expect(written(log)).toEqual(order.map((subject, index) => [index + 1, subject]));
});

it('writes a name that waits already once, with the last time and the last id', async () => {
  const log = new MemoryLog();
  const writer = writerTo(log);
  const alice = [1, 2, 3].map((at) => noticeOf({ subject: 'alice', issuer: red }, at));
  const givenUp = new AbortController();
  const calls = [
    writer.publish(of('one'), notGivenUp),
    ...alice.map((notice, index) => writer.publish(notice, index === 1 ? notGivenUp : givenUp.signal)),
    writer.publish(noticeOf({ subject: 'alice' }), notGivenUp),
    writer.publish(noticeOf({ jti: 'alice', issuer: red }), notGivenUp),
  ];
  givenUp.abort();
  await Promise.all(calls);
  const entries = log.entries.map(({ entry }) => parseEntry(seals.openEntry(entry) ?? ''));
  expect(entries.map((entry) => entry?.noticeCalls)).toEqual([1, 3, 1, 1]);
  const notices = entries.map((entry) => entry?.notice);
  expect(notices.map((notice) => notice?.revocation)).toEqual([
    { subject: 'one' },
    { subject: 'alice', issuer: red },
    { subject: 'alice' },
    { jti: 'alice', issuer: red },
  ]);
  expect(notices[1]).toMatchObject({ at: 3, id: alice[2]?.id });
});

it('writes a revocation that waits once, if the process writes it by itself', async () => {
  const log = new MemoryLog();
  const writer = writerTo(log);
  const alice = of('alice');
  await Promise.all([
    writer.publish(of('one'), notGivenUp),
    writer.publish(of('two'), notGivenUp),
    writer.publish(alice, notGivenUp),
    writer.write({ notice: alice, knownSince: 0 }, undefined),
    writer.write({ notice: of('two'), knownSince: 0 }, undefined),
  ]);
  expect(written(log).map(([, subject]) => subject)).toEqual(['one', 'alice', 'two', 'two']);
  await writer.publish(of('three'), notGivenUp);
});

describe('if 10,000 revocations wait, most of them of one issuer', () => {
  async function flooded() {
    const log = new MemoryLog();
    const full: string[] = [];
    const writer = writerTo(log, full);
    const givenUp = new AbortController();
    const waiting = Array.from({ length: 10_001 }, (_, index) =>
      writer.publish(noticeOf({ subject: `red ${index}`, issuer: red }), givenUp.signal),
    );
    const settled = Promise.allSettled(waiting);
    const outcomes = async () => {
      givenUp.abort();
      return (await settled).map((one) => (one.status === 'fulfilled' ? 'written' : one.reason.message));
    };
    return { log, full, writer, outcomes };
  }

  it('writes one of another issuer next, in the place of the newest, and reports that issuer', async () => {
    const { log, full, writer, outcomes } = await flooded();
    await writer.publish(noticeOf({ subject: 'blue', issuer: blue }), notGivenUp);
    expect(full).toEqual([red]);
    const all = await outcomes();
    expect(written(log).map(([, subject]) => subject)).toContain('blue');
    expect(written(log).length).toBeLessThan(5);
    expect(all.at(-1)).toBe('more than 10000 revocations wait to be written');
    expect(all.at(-2)).toBe('given up before it was written');
  });

  it('rejects another one of that issuer', async () => {
    const { full, writer, outcomes } = await flooded();
    const late = writer.publish(noticeOf({ subject: 'late', issuer: red }), notGivenUp);
    await expect(late).rejects.toThrow('more than 10000 revocations wait');
    expect(full).toEqual([red]);
    expect((await outcomes()).slice(1)).toEqual(Array(10_000).fill('given up before it was written'));
  });
});
