import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type LogEntry, parseEntry, textOfEntry } from '../../../packages/core/src/revocation/log-entry.js';
import { ENTRY_SEAL } from '../../../packages/core/src/revocation/log-seals.js';
import { LogSync } from '../../../packages/core/src/revocation/log-sync.js';
import { OwnUnreadNotices } from '../../../packages/core/src/revocation/own-unread-notices.js';
import type { RevocationLog } from '../../../packages/core/src/revocation/revocation-log.js';
import {
  type DatedToken,
  type Revocation,
  Revocations,
} from '../../../packages/core/src/revocation/revocations.js';
import { createSeal } from '../../../packages/core/src/shared/sealing.js';
import type { TokenClaims } from '../../../packages/core/src/token/token-claims.js';
import { MemoryLog } from '../../support/memory-log.js';

const secret = 'a secret of at least 32 characters';
const issuer = 'https://as.example.com';

interface Member {
  readonly revocations: Revocations;
  readonly feed: LogSync;
  /** The codes of the problems that it reported. */
  readonly told: string[];
  revoke(revocation: Exclude<Revocation, { token: string }>): Promise<void>;
  /** What becomes of alice's JWT that was issued so many seconds ago. */
  use(secondsAgo?: number): string;
}

let log: MemoryLog;
let members: Member[];
beforeEach(() => {
  log = new MemoryLog();
  members = [];
});
afterEach(async () => {
  vi.useRealTimers();
  log.failure = undefined;
  await Promise.all(members.map(({ feed }) => feed.close()));
});

const HEADER_SEAL = 'revocation-log-name';
const seal = createSeal(secret, ENTRY_SEAL);

/** What the entries of the log say that were written after the first so many. */
function writtenAfter(count: number): (LogEntry | undefined)[] {
  return log.entries.slice(count).map(({ entry }) => parseEntry(seal.open(ENTRY_SEAL, entry) ?? ''));
}

/** The way of one member to the log. */
interface Way {
  isCut: boolean;
  /** Which log the member takes it for. */
  id?: string;
  /** Another server that it reads until it reconnects. */
  reads?: MemoryLog | undefined;
  /** Whether it reads that server also after it has reconnected. */
  readonly staysThere?: boolean;
  /** Seconds by which its reading may lag. Default 5. */
  readonly lag?: number;
}

/** The log, as one member reaches it. */
function logOver(way: Way): RevocationLog {
  const reached = async <T>(use: () => Promise<T>): Promise<T> => {
    const result = way.isCut ? undefined : await use();
    if (result === undefined || way.isCut) {
      throw new Error('cut off');
    }
    return result;
  };
  return {
    ...(way.id !== undefined && { id: way.id }),
    setHeader: (header, mustReplace) => reached(() => log.setHeader(header, mustReplace)),
    append: (entry) => reached(() => log.append(entry)),
    read: (query) =>
      reached(() => {
        if (query.mustReconnect === true && way.staysThere !== true) {
          way.reads = undefined;
        }
        return (way.reads ?? log).read(query);
      }),
  };
}

function start(secrets = [secret], way: Way = { isCut: false }): Member {
  const told: string[] = [];
  const revocations = new Revocations({
    longestUse: 3_600,
    maxAgeWhileUnsynced: 5,
    clockTolerance: 30,
    syncedBy: 'log',
    maxWait: 0.1,
    acceptsUnknownRevocation: false,
  });
  const { lag: maxAgeWhileUnsynced = 5 } = way;
  const rules = { log: logOver(way), secrets, longestTokenLifetime: 3_600, maxAgeWhileUnsynced };
  const feed = new LogSync(rules, revocations, (code) => told.push(code));
  const member: Member = {
    revocations,
    feed,
    told,
    async revoke(revocation) {
      const notice = { revocation, at: Date.now(), id: randomUUID() };
      revocations.add(notice);
      await feed.publish(notice);
    },
    use: (secondsAgo = 0) => revocations.usability(jwtOf(revocations, Date.now() / 1000 - secondsAgo)),
  };
  members.push(member);
  return member;
}

function jwtOf(revocations: Revocations, issuedAt: number): DatedToken {
  const claims = { sub: 'alice', client_id: 'app', jti: 'jti-1', sid: 'session-1' };
  const tokenClaims = {
    claims,
    issuer,
    issuedAt,
    subject: 'alice',
    clientId: 'app',
  } as unknown as TokenClaims;
  return {
    tokenClaims,
    claimsFrom: 'token',
    turn: revocations.nextTurn(),
    turnTime: performance.now(),
    shared: undefined,
    hash: 'hash',
    revocationHash: 'identity',
    checkedUpTo: Number.NaN,
  };
}

/** A member that has read the log to its end. */
async function joined(secrets?: string[], way?: Way): Promise<Member> {
  const member = start(secrets, way);
  await vi.waitFor(() => expect(member.use(-60)).not.toBe('wait'), 3_000);
  return member;
}

/** A log that is old enough for tokens of now. */
async function oldLog(): Promise<Member> {
  vi.useFakeTimers({ toFake: ['Date'] });
  const first = await joined();
  await vi.waitFor(() => expect(log.entries).toHaveLength(1));
  vi.setSystemTime(Date.now() + 40_000);
  return first;
}

describe('a process that reads one server and writes to another', () => {
  /** Has a member read the old server after a failover, while it writes to the new one. */
  async function failedOver(way: Way): Promise<{ readonly one: Member; readonly other: Member }> {
    const one = await oldLog().then(() => joined(undefined, way));
    const old = log;
    log = old.copy();
    way.reads = old;
    const other = await joined();
    return { one, other };
  }

  it('learns of it by what it writes, and reads what was revoked on the other one', async () => {
    const { one, other } = await failedOver({ isCut: false, lag: 0.2 });
    await other.revoke({ subject: 'alice' });
    expect(one.use()).toBe('use');
    await one.revoke({ subject: 'bob' });
    await vi.waitFor(() => expect(one.use()).toBe('revoked'), 5_000);
    expect(one.told).toEqual(['revocations_unsynced', 'revocations_synced']);
  });

  it('refuses no token that is not revoked once it has reconnected', async () => {
    const { one, other } = await failedOver({ isCut: false, lag: 0.2 });
    await other.revoke({ subject: 'carol' });
    await one.revoke({ subject: 'bob' });
    await vi.waitFor(() => expect(one.told).toContain('revocations_synced'), 5_000);
    expect(one.use()).toBe('use');
  });

  it('connects again once, however many pages it has missed', async () => {
    const { one, other } = await failedOver({ isCut: false, lag: 0.2 });
    for (let index = 0; index < 45; index += 1) {
      await other.revoke({ subject: `user-${index}` });
    }
    const reads = vi.spyOn(log, 'read');
    await one.revoke({ subject: 'bob' });
    await vi.waitFor(() => expect(one.told).toContain('revocations_synced'), 5_000);
    const queries = reads.mock.calls.map(([query]) => query);
    expect(queries.filter(({ mustReconnect }) => mustReconnect === true)).toHaveLength(1);
    expect(queries.length).toBeGreaterThan(4);
  });

  it('takes the entry for lost if a new connection does not show it either', async () => {
    const { one } = await failedOver({ isCut: false, lag: 0.2, staysThere: true });
    await one.revoke({ subject: 'bob' });
    await vi.waitFor(() => expect(one.told).toContain('revocations_log_incomplete'), 5_000);
    expect(one.use()).not.toBe('use');
  });

  it('accepts no JWT before it reads what it wrote, however often a new connection does not show it', async () => {
    const way: Way = { isCut: false, lag: 0.2, staysThere: true };
    const { one } = await failedOver(way);
    await one.revoke({ subject: 'bob' });
    await vi.waitFor(() => expect(one.told).toContain('revocations_log_incomplete'), 5_000);
    const uses = new Set<string>();
    for (const until = performance.now() + 4_000; performance.now() < until; await sleep(5)) {
      uses.add(one.use(-60));
    }
    expect([...uses]).toEqual(['wait']);
    // It has told the other processes of one loss alone.
    expect(one.told.filter((code) => code === 'revocations_log_incomplete')).toHaveLength(1);
    way.reads = undefined;
    await vi.waitFor(() => expect(one.use(-60)).toBe('use'), 8_000);
  });

  it('is not one that is behind by less than maxAgeWhileUnsynced', async () => {
    const way: Way = { isCut: false, lag: 5 };
    const { one } = await failedOver(way);
    await one.revoke({ subject: 'bob' });
    await sleep(1_500);
    way.reads = undefined;
    await one.revoke({ subject: 'dave' });
    await sleep(500);
    expect(one.told).toEqual([]);
  });
});

describe('a process that joins', () => {
  it('lets no JWT in by its own word before it has read the log to its end', async () => {
    log.failure = new Error('away');
    const member = start();
    expect(member.use()).toBe('wait');
    await vi.waitFor(() => expect(member.told).toEqual(['revocations_unsynced']));
    log.failure = undefined;
    await vi.waitFor(() => expect(member.use(-60)).toBe('use'), 3_000);
    expect(member.told).toEqual(['revocations_unsynced', 'revocations_synced']);
  });

  it('reads what was revoked before it started', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'alice' });
    const later = await joined();
    expect(later.use()).toBe('revoked');
    expect(later.told).toEqual([]);
  });

  it.each<Exclude<Revocation, { token: string }>>([
    { tokenHash: 'hash' },
    { tokenHash: 'identity' },
    { jti: 'jti-1' },
    { jti: 'jti-1', issuer },
    { subject: 'alice', issuer },
    { clientId: 'app' },
    { session: 'session-1' },
  ])('reads %j', async (revocation) => {
    const first = await oldLog();
    await first.revoke({ subject: 'bob' });
    await first.revoke(revocation);
    expect((await joined()).use()).toBe('revoked');
  });

  it.each<Exclude<Revocation, { token: string }>>([
    { tokenHash: 'another' },
    { jti: 'jti-1', issuer: 'https://other.example.com' },
    { subject: 'session-1' },
    { session: 'session-2' },
  ])('lets the token in in spite of %j', async (revocation) => {
    const first = await oldLog();
    await first.revoke(revocation);
    expect((await joined()).use()).toBe('use');
  });

  it('vouches for no token from before the log began', async () => {
    const first = await joined();
    expect(first.use()).toBe('may-be-revoked');
    expect(first.use(-31)).toBe('use');
  });

  it('vouches for tokens from before it joined, back to when the log began', async () => {
    await oldLog();
    const later = await joined();
    expect(later.use()).toBe('use');
    expect(later.use(20)).toBe('may-be-revoked');
  });

  it('vouches for nothing from before where the log has no entry of the last minute', async () => {
    const first = await oldLog();
    await first.feed.close();
    vi.setSystemTime(Date.now() + 61_000);
    const later = await joined();
    expect(later.use(5)).toBe('may-be-revoked');
    expect(later.told).toEqual(['revocations_log_quiet']);
  });
});

describe('a fleet that starts again after all its processes were down', () => {
  /** Starts the first process so many seconds after the only one of before has ended. */
  async function downFor(seconds: number): Promise<void> {
    const before = await oldLog();
    await before.feed.close();
    vi.setSystemTime(Date.now() + seconds * 1_000);
  }

  it('has the first process alone report it, and no process vouches for tokens from before', async () => {
    await downFor(90);
    const first = await joined();
    expect(first.told).toEqual(['revocations_log_quiet']);
    const second = await joined();
    vi.setSystemTime(Date.now() + 18_000);
    await first.feed.close();
    const third = await joined();
    for (const process of [second, third]) {
      expect(process.told).toEqual([]);
      expect(process.use(60)).toBe('may-be-revoked');
      expect(process.use(-60)).toBe('use');
    }
  });

  it('reports it once where its processes start together', async () => {
    await downFor(90);
    const together = await Promise.all([joined(), joined(), joined()]);
    expect(together.flatMap(({ told }) => told)).toEqual(['revocations_log_quiet']);
    expect(together.map(({ use }) => use(5))).toEqual(Array(3).fill('may-be-revoked'));
  });

  it('has the next process report it if the first one ended before it had joined', async () => {
    await downFor(90);
    const count = log.entries.length;
    const first = start();
    await vi.waitFor(() => expect(log.entries.length).toBeGreaterThan(count));
    await first.feed.close();
    expect(first.told).toEqual([]);
    vi.setSystemTime(Date.now() + 15_000);
    expect((await joined()).told).toEqual(['revocations_log_quiet']);
  });

  it('does not report first entries as lost that a running process has not read either', async () => {
    await downFor(7_200);
    const old = log.entries.length;
    const first = await joined();
    log.entries.splice(0, old);
    const second = await joined();
    expect(second.told).toEqual([]);
    expect(second.use(5)).toBe('may-be-revoked');
    await Promise.all([first, second].map(({ feed }) => feed.close()));
    // No process can tell any more what was before the first entry.
    const third = await joined();
    expect(third.told).toEqual(['revocations_log_gap']);
    expect(third.use(5)).toBe('may-be-revoked');
  });
});

describe('a process that runs', () => {
  it('hears what another one revokes', async () => {
    const [one, other] = [await oldLog(), await joined()];
    await one.revoke({ subject: 'alice' });
    await vi.waitFor(() => expect(other.use()).toBe('revoked'));
  });

  it('keeps a token that was issued after the revocation by more than the clocks may differ', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'alice' });
    expect(first.use(-29)).toBe('revoked');
    expect(first.use(-31)).toBe('use');
  });

  it('reads what it missed while it was cut off', async () => {
    const [one, other] = [await oldLog(), await joined()];
    log.failure = new Error('cut off');
    await vi.waitFor(() => expect(other.told).toContain('revocations_unsynced'));
    log.failure = undefined;
    await one.revoke({ subject: 'alice' });
    await vi.waitFor(() => expect(other.use()).toBe('revoked'), 3_000);
  });

  it('rejects a revocation that the log does not take, and writes it later', async () => {
    const first = await oldLog();
    log.writeFailure = new Error('OOM');
    await expect(first.revoke({ subject: 'alice' })).rejects.toThrow('OOM');
    expect(first.use()).toBe('revoked');
    log.writeFailure = undefined;
    await vi.waitFor(() => expect(log.entries.length).toBeGreaterThan(1), 4_000);
    expect((await joined()).use()).toBe('revoked');
  });

  it('writes later what the log did not take, though it has an older revocation of the same subject', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'alice' });
    await sleep(50);
    const count = log.entries.length;
    log.writeFailure = new Error('OOM');
    await expect(first.revoke({ subject: 'alice' })).rejects.toThrow('OOM');
    log.writeFailure = undefined;
    await vi.waitFor(() => expect(log.entries).toHaveLength(count + 1), 4_000);
  });

  it('writes many revocations at once in the order of their numbers', async () => {
    const first = await oldLog();
    await Promise.all(Array.from({ length: 50 }, (_, index) => first.revoke({ subject: `user-${index}` })));
    const later = await joined();
    expect(later.told).toEqual([]);
    expect(first.told).toEqual([]);
  });
});

describe('a failover that lost a revocation, and was over after more than a minute', () => {
  let passed: number;
  beforeEach(() => {
    passed = 0;
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + passed);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /**
   * Returns a process that has not read the revocation of alice. The process that wrote it has ended,
   * and the log is a replica without it.
   */
  async function unread(): Promise<{ readonly one: Member; readonly way: Way }> {
    const ended = await oldLog();
    const way: Way = { isCut: false };
    const one = await joined(undefined, way);
    await sleep(50);
    // The last entry before the failover is from after the process has joined.
    await ended.revoke({ subject: 'carol' });
    await vi.waitFor(() => expect(one.revocations.logReadUpTo).toBe(log.entries.at(-1)?.position));
    const replica = log.copy();
    way.isCut = true;
    await vi.waitFor(() => expect(one.told).toEqual(['revocations_unsynced']), 3_000);
    await ended.revoke({ subject: 'alice' });
    await ended.feed.close();
    log = replica;
    passed += 90_000;
    vi.setSystemTime(Date.now() + 90_000);
    expect(one.use(95)).toBe('wait');
    return { one, way };
  }

  it.each(['reads the log', 'writes an entry'])(
    'has a process that returns vouch for no token from before, also if it first %s',
    async (first) => {
      const { one, way } = await unread();
      way.isCut = false;
      if (first === 'writes an entry') {
        await one.revoke({ subject: 'bob' });
      }
      await vi.waitFor(() => expect(one.use(-60)).toBe('use'), 3_000);
      expect(one.use(95)).toBe('may-be-revoked');
      expect(one.told).toContain('revocations_log_quiet');
      const later = await joined();
      expect(later.use(95)).toBe('may-be-revoked');
    },
  );

  it('has a process that starts vouch for no token from before, though another wrote before it read', async () => {
    const { one, way } = await unread();
    way.isCut = false;
    await one.revoke({ subject: 'bob' });
    await one.feed.close();
    const later = await joined();
    expect(later.use(95)).toBe('may-be-revoked');
    expect(later.use(-60)).toBe('use');
  });
});

describe('a revocation that is written again, or late', () => {
  let passed: number;
  /** When it was revoked, by the clock of the test. */
  let revokedAt: number;
  beforeEach(() => {
    passed = 0;
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + passed);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** Has all clocks go on, and waits until each member has read the log since. */
  async function pass(seconds: number): Promise<void> {
    passed += seconds * 1_000;
    vi.setSystemTime(Date.now() + seconds * 1_000);
    const isRead = () => expect(members.map(({ use }) => use(-60))).not.toContain('wait');
    await vi.waitFor(isRead, 3_000);
  }

  const untilRead = (member: Member) =>
    vi.waitFor(() => expect(member.revocations.logReadUpTo).toBe(log.entries.at(-1)?.position), 3_000);
  const setClock = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1_000);
  /** What becomes of a new JWT that was issued so many seconds after the revocation. */
  const useAfter = (member: Member, seconds: number) =>
    member.use((Date.now() - revokedAt) / 1_000 - seconds);

  it.each([0, -3_600, 3_600])(
    'refuses no token from after the revocation, also if the clock was set by %i s meanwhile',
    async (step) => {
      const other = await oldLog();
      const way: Way = { isCut: false };
      const one = await joined(undefined, way);
      // It writes again what it has not read.
      vi.spyOn(OwnUnreadNotices.prototype, 'markRead').mockReturnValue(undefined);
      revokedAt = Date.now();
      await one.revoke({ subject: 'alice' });
      await other.revoke({ subject: 'alice' });
      await untilRead(other);
      await pass(40);
      const seen = jwtOf(other.revocations, revokedAt / 1_000 + 31);
      expect(other.revocations.usability(seen)).toBe('use');
      way.isCut = true;
      await vi.waitFor(() => expect(one.told).toContain('revocations_unsynced'), 3_000);
      const count = log.entries.length;
      setClock(step);
      way.isCut = false;
      const isWritten = () => expect(writtenAfter(count).filter((entry) => entry?.notice)).toHaveLength(1);
      await vi.waitFor(isWritten, 5_000);
      setClock(-step);
      await untilRead(other);
      expect(other.revocations.usability(seen)).toBe('use');
      expect([31, 28].map((seconds) => useAfter(other, seconds))).toEqual(['use', 'revoked']);
    },
  );

  it.each([0, -3_600, 3_600])(
    'counts from its moment in a process that did not know it, if the clock of its writer was %i s ahead',
    async (ahead) => {
      const first = await oldLog();
      const begun = parseEntry(seal.open(ENTRY_SEAL, log.entries[0]?.entry) ?? '') as LogEntry;
      revokedAt = Date.now();
      await pass(40);
      const notice = { revocation: { subject: 'alice' }, at: revokedAt + ahead * 1_000, id: randomUUID() };
      const noticeAge = Date.now() - revokedAt;
      const entry = { ...begun, writer: randomUUID(), notice, noticeAge };
      await log.append(seal.seal(ENTRY_SEAL, textOfEntry(entry)));
      await vi.waitFor(() => expect(useAfter(first, 28)).toBe('revoked'));
      // The clock of its writer counts for five seconds at most.
      expect(useAfter(first, 33)).toBe(ahead > 0 ? 'revoked' : 'use');
      expect(useAfter(first, 37)).toBe('use');
    },
  );

  it('is dated as it was revoked if the log did not take it at first', async () => {
    const [one, other] = [await oldLog(), await joined()];
    log.writeFailure = new Error('OOM');
    revokedAt = Date.now();
    await expect(one.revoke({ subject: 'alice' })).rejects.toThrow('OOM');
    await pass(40);
    log.writeFailure = undefined;
    await vi.waitFor(() => expect(useAfter(other, 28)).toBe('revoked'), 8_000);
    expect(useAfter(other, 31)).toBe('use');
  });
});

it('vouches for nothing from before if its connection was interrupted after too many revocations, and reports it once', async () => {
  const way: Way = { isCut: false };
  const other = await oldLog();
  const one = await joined(undefined, way);
  await one.revoke({ subject: 'bob' });
  expect([one.use(), other.use()]).toEqual(['use', 'use']);
  const count = log.entries.length;
  vi.spyOn(OwnUnreadNotices.prototype, 'hasForgotten', 'get').mockReturnValueOnce(true);
  way.isCut = true;
  await vi.waitFor(() => expect(one.told).toContain('revocations_unsynced'), 3_000);
  await sleep(1_200);
  way.isCut = false;
  await vi.waitFor(() => expect(one.use(-60)).toBe('use'), 5_000);
  vi.restoreAllMocks();
  expect(one.use()).toBe('may-be-revoked');
  await vi.waitFor(() => expect(other.use()).toBe('may-be-revoked'), 3_000);
  expect(one.told.filter((code) => code === 'revocations_log_gap')).toHaveLength(1);
  // It has read that the log has it.
  expect(writtenAfter(count).filter((entry) => entry?.notice)).toEqual([]);
  expect((await joined()).use()).toBe('may-be-revoked');
});

it('writes nothing again after a lost connection of what it has read in the log', async () => {
  await oldLog();
  const way: Way = { isCut: false };
  const one = await joined(undefined, way);
  await Promise.all(Array.from({ length: 20 }, (_, index) => one.revoke({ subject: `user-${index}` })));
  await vi.waitFor(() => expect(one.revocations.logReadUpTo).toBe(log.entries.at(-1)?.position), 3_000);
  const count = log.entries.length;
  way.isCut = true;
  await vi.waitFor(() => expect(one.told).toContain('revocations_unsynced'), 3_000);
  way.isCut = false;
  await vi.waitFor(() => expect(one.told).toContain('revocations_synced'), 3_000);
  await one.revoke({ subject: 'bob' });
  const subjects = writtenAfter(count).flatMap((entry) => Object(entry?.notice?.revocation).subject ?? []);
  expect(subjects).toEqual(['bob']);
});

describe('more revocations at once than the log takes in time', () => {
  /** How many are revoked at once; the log takes one in 20 ms. */
  const COUNT = 400;

  beforeEach(() => {
    const own = log;
    const { append } = own;
    log.append = async (entry) => {
      await sleep(20);
      return append.call(own, entry);
    };
  });

  const revokeAll = (member: Member) =>
    Promise.allSettled(
      Array.from({ length: COUNT }, (_, index) => member.revoke({ subject: `user-${index}` })),
    );

  it('keep no process from reading, and are all in the log later, once each', async () => {
    const one = await oldLog().then(() => joined(undefined, { isCut: false, lag: 1 }));
    const count = log.entries.length;
    const outcomes = revokeAll(one);
    await sleep(500);
    const uses = new Set<string>();
    const subjects = () =>
      writtenAfter(count).flatMap((entry) => Object(entry?.notice?.revocation).subject ?? []);
    for (const until = performance.now() + 30_000; performance.now() < until; await sleep(10)) {
      uses.add(one.use(-60));
      if (new Set(subjects()).size === COUNT) {
        break;
      }
    }
    expect([...uses]).toEqual(['use']);
    expect((await outcomes).map(({ status }) => status)).toContain('rejected');
    expect(subjects().toSorted()).toEqual([...new Set(subjects())].toSorted());
    expect(subjects()).toHaveLength(COUNT);
    const later = await joined();
    expect([one.told, later.told]).toEqual([[], []]);
  }, 60_000);

  it('keep no process from answering one that starts', async () => {
    const [one, other] = [await oldLog(), await joined()];
    const revoking = [revokeAll(one), revokeAll(other)];
    await sleep(100);
    const count = log.entries.length;
    const startedAt = performance.now();
    await joined();
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(writtenAfter(count).map((entry) => entry?.attested?.kind)).toContain('answer');
    await Promise.all(revoking);
  });
});

describe('a log that was harmed', () => {
  it.each<[string, () => void]>([
    ['is empty and has no header', () => Object.assign(log, { entries: [], header: undefined })],
    ['lost its newest entry', () => log.entries.pop()],
    ['has another header', () => Object.assign(log, { header: 'made up' })],
  ])('gets back what a running process remembers when it %s', async (_what, harm) => {
    const first = await oldLog();
    const { completeSince } = first.revocations;
    vi.setSystemTime(Date.now() + 1_000);
    await first.revoke({ subject: 'alice' });
    await sleep(50);
    harm();
    await vi.waitFor(() => expect(first.told).toContain('revocations_log_incomplete'), 3_000);
    // Until then others may write what they remember.
    await sleep(7_500);
    const later = await joined();
    expect(later.use()).toBe('revoked');
    // No process knows whether another one wrote what was lost, so none vouches for more.
    expect(first.revocations.completeSince).toBeGreaterThan(completeSince);
    expect(later.revocations.completeSince).toBe(first.revocations.completeSince);
  });

  it('vouches for nothing from before where an entry between others is missing', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'alice' });
    await first.revoke({ subject: 'bob' });
    await sleep(50);
    // It would write again what the log lacks.
    await first.feed.close();
    log.entries.splice(1, 1);
    const later = await joined();
    expect(later.told).toContain('revocations_log_gap');
    expect(later.use(5)).toBe('may-be-revoked');
  });

  it('vouches for nothing from before where an entry was replaced by another', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'alice' });
    await first.revoke({ subject: 'bob' });
    await sleep(50);
    const other = await joined();
    await other.revoke({ subject: 'carol' });
    await sleep(50);
    const entry = log.entries.find((_one, index) => index === 1);
    Object.assign(entry ?? {}, { entry: 'AAAA' });
    const later = await joined();
    expect(later.told).toContain('revocations_log_gap');
    expect(later.use(5)).not.toBe('use');
  });

  it('believes no entry that is played back, or sealed with another secret', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'alice' });
    const stranger = await joined(['another secret of 32 characters or more']);
    await stranger.revoke({ clientId: 'app' });
    const [, played] = log.entries;
    await log.append(played?.entry ?? '');
    await vi.waitFor(() => expect(first.told).toContain('revocation_not_ours'));
    expect(first.revocations.usability(jwtOf(first.revocations, Date.now() / 1000 + 31))).toBe('use');
  });

  it('believes no header and no entry of another log that is sealed with its secret', async () => {
    const of = (id: string) => start([secret], { isCut: false, id });
    const other = of('other');
    await vi.waitFor(() => expect(other.use(-60)).toBe('use'), 3_000);
    await other.revoke({ subject: 'alice' });
    // The log of the other API is moved to where this one looks for its own.
    const own = of('own');
    await vi.waitFor(() => expect(own.told).toContain('revocation_not_ours'), 3_000);
    await vi.waitFor(() => expect(own.use(-60)).toBe('use'), 3_000);
    expect(own.use(60)).toBe('may-be-revoked');
  });

  it('believes no entry that is not sealed, which would revoke if it were', async () => {
    const first = await oldLog();
    const seal = createSeal(secret, ENTRY_SEAL);
    const [begun] = log.entries;
    const entry = parseEntry(seal.open(ENTRY_SEAL, begun?.entry) ?? '');
    const notice = { revocation: { subject: 'alice' }, at: Date.now(), id: randomUUID() };
    const text = textOfEntry({ ...(entry as LogEntry), writer: randomUUID(), notice });
    const forms = [text, ` ${text}`, Buffer.from(text).toString('base64url')];
    for (const form of forms) {
      await log.append(form);
    }
    await vi.waitFor(() => expect(first.told).toContain('revocation_not_ours'));
    const later = await joined();
    expect([first, later].map(({ use }) => use())).not.toContain('revoked');
    await log.append(seal.seal(ENTRY_SEAL, text));
    await vi.waitFor(() => expect([first, later].map(({ use }) => use())).toEqual(['revoked', 'revoked']));
  });

  it('believes no header that is not sealed', async () => {
    await oldLog();
    const seal = createSeal(secret, ENTRY_SEAL);
    const header = JSON.parse(seal.open(HEADER_SEAL, log.header) ?? '');
    log.header = JSON.stringify({ ...header, version: header.version + 1_000_000, completeSince: 0 });
    await vi.waitFor(() => expect(seal.open(HEADER_SEAL, log.header)).toBeDefined(), 5_000);
  });

  it('is read by a second secret, while one replaces the other', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'alice' });
    const later = await joined(['a new secret of 32 characters or more', secret]);
    expect(later.use()).toBe('revoked');
  });
});

describe('a process that has the new secret alone while others still write with the old one', () => {
  const old = 'an older secret of 32 characters';

  it.each([
    ['entries of the old secret', [secret, old]],
    ['no process that has both', [old]],
  ])(
    'costs bounded work, with %s, and the others are back soon after it has ended',
    async (_title, both) => {
      const first = await joined([old, secret]);
      await first.revoke({ subject: 'bob' });
      const [stays] = [await joined(both), await first.feed.close()];
      const early = start([secret]);
      await sleep(3_000);
      const count = log.entries.length;
      const headers = new Set<string | undefined>();
      for (const until = performance.now() + 8_000; performance.now() < until; await sleep(5)) {
        headers.add(log.header);
      }
      expect(log.entries.length - count).toBeLessThan(40);
      expect(headers.size).toBeLessThan(15);
      await early.feed.close();
      await vi.waitFor(() => expect(stays.use(-60)).toBe('use'), 15_000);
    },
    60_000,
  );
});

describe('the header of a log', () => {
  const newSecret = 'a new secret of 32 characters or more';
  const headerBy = (of = secret) =>
    JSON.parse(createSeal(of, ENTRY_SEAL).open(HEADER_SEAL, log.header) ?? '{}');

  it('is sealed by the first secret of a process that joins, and says what it said', async () => {
    const first = await oldLog();
    const { version, ...before } = headerBy();
    const between = await joined([secret, newSecret]);
    expect(headerBy()).toEqual({ ...before, version });
    // It knows the old secret alone.
    await first.feed.close();
    const later = await joined([newSecret, secret]);
    await vi.waitFor(() => expect(headerBy(newSecret)).toEqual({ ...before, version: version + 1 }));
    // The processes that run leave it as it is, whatever secret is their first.
    await sleep(1_500);
    expect(headerBy(newSecret)).toEqual({ ...before, version: version + 1 });
    expect([between.told, later.told, between.use(), later.use()]).toEqual([[], [], 'use', 'use']);
    await joined([newSecret]);
    expect(headerBy(newSecret)).toMatchObject(before);
  });

  it('is not sealed again if entries know of a later one', async () => {
    const first = await oldLog();
    const before = log.header;
    const { version } = headerBy();
    log.header = seal.seal(HEADER_SEAL, JSON.stringify({ ...headerBy(), version: version + 1 }));
    await first.revoke({ subject: 'bob' });
    await sleep(50);
    await first.revoke({ subject: 'carol' });
    await first.feed.close();
    log.header = before;
    const later = await joined([newSecret, secret]);
    await sleep(100);
    expect(log.header).toBe(before);
    expect(later.told).toContain('revocations_log_gap');
  });

  it('is taken from a process that finds a loss while this one seals it again', async () => {
    const first = await oldLog();
    const { version, ...before } = headerBy();
    await first.feed.close();
    const lost = { ...before, completeSince: before.completeSince + 30_000, version: version + 1_000_000 };
    const setHeader = log.setHeader.bind(log);
    vi.spyOn(log, 'setHeader').mockImplementation(async (sealed, mustReplace, ...more) => {
      const header = await setHeader(sealed, mustReplace, ...more);
      if (mustReplace !== true || headerBy(newSecret).version !== version + 1) {
        return header;
      }
      log.header = seal.seal(HEADER_SEAL, JSON.stringify(lost));
      return log.header;
    });
    const later = await joined([newSecret, secret]);
    await vi.waitFor(
      () => expect(later.revocations.completeSince).toBeGreaterThanOrEqual(lost.completeSince),
      3_000,
    );
  });

  it.each([
    ['an earlier version, as after one that was sealed again just now', -500_000],
    ['a later version', 500_000],
  ])('is replaced if it does not say what the log has lost, with %s', async (_title, difference) => {
    const first = await oldLog();
    const { version, ...before } = headerBy();
    const lost = { ...before, completeSince: before.completeSince + 30_000, version: version + 1_000_000 };
    log.header = seal.seal(HEADER_SEAL, JSON.stringify(lost));
    await vi.waitFor(
      () => expect(first.revocations.completeSince).toBeGreaterThanOrEqual(lost.completeSince),
      3_000,
    );
    await sleep(1_500);
    const completeSince = headerBy().completeSince;
    log.header = seal.seal(
      HEADER_SEAL,
      JSON.stringify({ ...before, version: headerBy().version + difference }),
    );
    await vi.waitFor(() => expect(headerBy().completeSince).toBeGreaterThanOrEqual(completeSince), 3_000);
    expect(completeSince).toBeGreaterThanOrEqual(lost.completeSince);
  });
});

describe('a process that starts while one runs that has read a revocation', () => {
  /** The positions of the log, from the oldest to the newest. */
  const at = (index: number): string => log.entries.at(index)?.position ?? '';
  const textAt = (index: number): string => log.entries.at(index)?.entry ?? '';

  it.each<[string, () => void]>([
    ['replaced by garbage', () => log.entries.splice(-1, 1, { position: at(-1), entry: 'garbage' })],
    [
      'replaced by garbage that ends as it does',
      () => log.entries.splice(-1, 1, { position: at(-1), entry: 'A'.repeat(80) + textAt(-1).slice(-40) }),
    ],
    ['replaced by an older entry', () => log.entries.splice(-1, 1, { position: at(-1), entry: textAt(0) })],
  ])('vouches for nothing from before where the newest entry was %s', async (_title, change) => {
    const first = await oldLog();
    const writer = await joined();
    await first.revoke({ subject: 'bob' });
    await writer.revoke({ subject: 'alice' });
    await vi.waitFor(() => expect(first.use(5)).toBe('revoked'));
    await writer.feed.close();
    change();
    const later = await joined();
    expect(later.use(5)).not.toBe('use');
    expect([...first.told, ...later.told]).toContain('revocations_log_gap');
    await vi.waitFor(() =>
      expect(later.revocations.usability(jwtOf(later.revocations, Date.now() / 1000 + 31))).toBe('use'),
    );
  });

  it('vouches for nothing from before where an entry is deleted to which no other refers', async () => {
    const first = await oldLog();
    const writer = await joined();
    await Promise.all([writer.revoke({ subject: 'alice' }), first.revoke({ subject: 'bob' })]);
    await vi.waitFor(() => expect(first.use(5)).toBe('revoked'));
    await writer.feed.close();
    log.entries.splice(-2, 1);
    expect((await joined()).use(5)).not.toBe('use');
  });

  it('vouches for nothing from before where an entry is deleted, and it reads an older header of the log', async () => {
    const first = await oldLog();
    const writer = await joined();
    await Promise.all([writer.revoke({ subject: 'alice' }), first.revoke({ subject: 'bob' })]);
    await vi.waitFor(() => expect(first.use(5)).toBe('revoked'));
    await writer.feed.close();
    const header = JSON.parse(seal.open(HEADER_SEAL, log.header ?? '') ?? '');
    log.entries.splice(-2, 1);
    log.header = seal.seal(HEADER_SEAL, JSON.stringify({ ...header, version: header.version - 1 }));
    expect((await joined()).use(5)).not.toBe('use');
  });

  it('does not vouch for a moment where an entry is deleted, and the log is held until the answer is late', async () => {
    let holds = false;
    let held: Promise<unknown> | undefined;
    const own = log;
    const { append, read } = own;
    log.append = async (entry) => {
      const position = await append.call(own, entry);
      held ??= holds ? sleep(1_300) : undefined;
      return position;
    };
    log.read = async (query) => {
      const page = await read.call(log, query);
      await held;
      // The process that runs comes a little later than the one that starts, and waits for entries.
      await sleep(held !== undefined && query.wait > 1 ? 100 : 0);
      return page;
    };
    const first = await oldLog();
    const writer = await joined();
    await Promise.all([writer.revoke({ subject: 'alice' }), first.revoke({ subject: 'bob' })]);
    await vi.waitFor(() => expect(first.use(5)).toBe('revoked'));
    await writer.feed.close();
    log.entries.splice(-2, 1);
    holds = true;
    const later = start();
    const uses = new Set<string>();
    for (const until = performance.now() + 3_500; performance.now() < until; await sleep(1)) {
      uses.add(later.use(5));
    }
    expect(uses).not.toContain('use');
    expect(later.use(5)).not.toBe('wait');
  });

  it('vouches for no more than that process does', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'bob' });
    first.revocations.markGap();
    const later = await joined();
    expect(later.use(5)).toBe('may-be-revoked');
    expect(later.revocations.completeSince).toBe(first.revocations.completeSince);
  });

  it('tells that process that they have read other entries, so that it writes again what the log lacks', async () => {
    const first = await oldLog();
    const writer = await joined();
    await writer.revoke({ subject: 'alice' });
    await vi.waitFor(() => expect(first.use(5)).toBe('revoked'));
    await writer.feed.close();
    log.entries.splice(-1, 1, { position: at(-1), entry: 'garbage' });
    const later = await joined();
    await vi.waitFor(() => expect(later.use()).toBe('revoked'), 5_000);
  });

  it('vouches for nothing from before where an old entry was moved behind the revocation', async () => {
    const first = await oldLog();
    const other = await joined();
    await other.revoke({ subject: 'bob' });
    const old = textAt(-1);
    vi.setSystemTime(Date.now() + 3_700_000);
    await first.revoke({ subject: 'alice' });
    const revokedAt = at(-1);
    await first.revoke({ subject: 'carol' });
    await vi.waitFor(() => expect(other.use(5)).toBe('revoked'));
    log.entries = [{ position: `${revokedAt}a`, entry: old }, ...log.entries.slice(-1)];
    const later = await joined();
    expect(later.use(5)).not.toBe('use');
  });

  it('joins only once its own entry is in the log: one that is replaced is written again, and is a loss', async () => {
    await oldLog();
    const own = log;
    const { append } = own;
    let replaced = 0;
    log.append = async (entry) => {
      const position = await append.call(own, entry);
      if (replaced < 2) {
        replaced += 1;
        log.entries.splice(-1, 1, { position, entry: 'garbage' });
      }
      return position;
    };
    const later = start();
    await vi.waitFor(() => expect(later.use(-60)).not.toBe('wait'), 5_000);
    expect([replaced, later.use(5)]).toEqual([2, 'may-be-revoked']);
    expect(later.told).toContain('revocations_log_gap');
  });

  it('vouches for nothing from before where garbage is in the place of the answer', async () => {
    const first = await oldLog();
    await first.revoke({ subject: 'bob' });
    const own = log;
    const { append } = own;
    let written = 0;
    log.append = async (entry) => {
      const position = await append.call(own, entry);
      written += 1;
      // The first entry is the join entry, the second the answer to it.
      if (written === 2) {
        log.entries.splice(-1, 1, { position, entry: 'garbage' });
      }
      return position;
    };
    const later = await joined();
    expect([written >= 2, later.use(5)]).toEqual([true, 'may-be-revoked']);
  });

  it('vouches for tokens from before where the log is as it was', async () => {
    const first = await oldLog();
    const writer = await joined();
    await writer.revoke({ subject: 'bob' });
    await writer.feed.close();
    const later = await joined();
    expect([later.use(5), first.use(5), later.told, first.told]).toEqual(['use', 'use', [], []]);
  });
});

describe('a process that starts with a long log', () => {
  const kindOf = (entry: string) => parseEntry(seal.open(ENTRY_SEAL, entry) ?? '')?.attested?.kind;
  const kindsAfter = (count: number) => writtenAfter(count).map((entry) => entry?.attested?.kind);

  /** A log of which each page takes long to read, in which alice's revocation is missing if `isHarmed`. */
  async function longLog(isHarmed: boolean): Promise<Member> {
    const first = await oldLog();
    const writer = await joined();
    for (let index = 0; index < 90; index += 1) {
      await first.revoke({ subject: `user-${index}` });
    }
    await Promise.all([writer.revoke({ subject: 'alice' }), first.revoke({ subject: 'bob' })]);
    await vi.waitFor(() => expect(first.use(5)).toBe('revoked'));
    await writer.feed.close();
    const { read } = log;
    log.read = async (query) => {
      const page = await read.call(log, query);
      await sleep(page.entries.length > 5 ? 120 : 0);
      return page;
    };
    log.entries.splice(-2, isHarmed ? 1 : 0);
    const { setHeader } = log;
    log.setHeader = async (header, mustReplace) => {
      // By another header the process that runs says at once that the log lacks entries.
      await sleep(mustReplace ? 600 : 0);
      return setHeader.call(log, header, mustReplace);
    };
    return first;
  }

  /** What becomes of alice's JWT until the process has joined, and for a while after. */
  async function usesOf(member: Member): Promise<Set<string>> {
    const uses = new Set<string>();
    for (const until = performance.now() + 4_000; performance.now() < until; await sleep(1)) {
      uses.add(member.use(5));
    }
    return uses;
  }

  it('waits for objections alone, where no process has answered its ping within a second', async () => {
    const first = await longLog(false);
    await first.feed.close();
    const count = log.entries.length;
    const own = log;
    const { append } = own;
    let askedAt = 0;
    log.append = async (entry) => {
      askedAt = kindOf(entry) === 'join' ? performance.now() : askedAt;
      return append.call(own, entry);
    };
    const later = start();
    await vi.waitFor(() => expect(later.use(-60)).not.toBe('wait'), { timeout: 4_000, interval: 5 });
    const waited = performance.now() - askedAt;
    expect([kindsAfter(count), later.use(5), later.told]).toEqual([['ping', 'join'], 'revoked', []]);
    expect(waited).toBeGreaterThan(190);
    expect(waited).toBeLessThan(800);
  });

  it('waits for a late answer to its join entry, where a process has answered its ping', async () => {
    await longLog(true);
    const count = log.entries.length;
    const own = log;
    const { append } = own;
    log.append = async (entry) => {
      await sleep(kindOf(entry) === 'answer' ? 600 : 0);
      return append.call(own, entry);
    };
    const later = start();
    expect(await usesOf(later)).not.toContain('use');
    expect(later.use(5)).not.toBe('wait');
    expect(kindsAfter(count).slice(0, 3)).toEqual(['ping', undefined, 'join']);
  });

  it('waits for an answer to its join entry, where the log was held while a process could have answered its ping', async () => {
    await longLog(true);
    const own = log;
    const { append, read } = own;
    let pages = 0;
    log.append = async (entry) => {
      const kind = kindOf(entry);
      if (kind === undefined) {
        throw new Error('held');
      }
      await sleep(kind === 'answer' ? 600 : 0);
      return append.call(own, entry);
    };
    log.read = async (query) => {
      const page = await read.call(log, query);
      pages += page.entries.length > 5 ? 1 : 0;
      await sleep(pages === 4 && page.entries.length > 5 ? 600 : 0);
      return page;
    };
    const later = start();
    expect(await usesOf(later)).not.toContain('use');
    expect(later.use(5)).not.toBe('wait');
  });

  it('waits for an answer to its join entry, where its ping was not written', async () => {
    await longLog(true);
    const own = log;
    const { append } = own;
    log.append = async (entry) => {
      const kind = kindOf(entry);
      if (kind === 'ping') {
        throw new Error('OOM');
      }
      await sleep(kind === 'answer' ? 600 : 0);
      return append.call(own, entry);
    };
    const later = start();
    expect(await usesOf(later)).not.toContain('use');
    expect(later.use(5)).not.toBe('wait');
  });
});

describe('a sign of life', () => {
  const attested = (count: number) => writtenAfter(count).map((entry) => entry?.attested?.kind);
  let clock: { mockRestore(): void };

  beforeEach(() => {
    const { setTimeout: later } = globalThis;
    const sooner = (run: () => void, wait = 0) => later(run, wait > 10_000 ? wait / 100 : wait);
    clock = vi.spyOn(globalThis, 'setTimeout').mockImplementation(sooner as typeof setTimeout);
  });
  afterEach(() => clock.mockRestore());

  it('asks what the others have read, until one has answered', async () => {
    const first = await joined();
    const { completeSince } = first.revocations;
    await vi.waitFor(() => expect(attested(1)).toContain('join'), 3_000);
    const other = await joined();
    await vi.waitFor(() => expect(attested(0).filter((as) => as === 'answer')).toHaveLength(2), 3_000);
    await sleep(100);
    const count = log.entries.length;
    await sleep(600);
    expect(attested(count)).not.toContain('join');
    expect([first.told, other.told]).toEqual([[], []]);
    // The log began with its first entry.
    expect(first.revocations.completeSince).toBeLessThan(completeSince + 1_000);
  });

  it('that can not be written for a minute by a process that joined without an answer: it vouches for nothing from before', async () => {
    const first = await joined();
    await sleep(50);
    const { completeSince } = first.revocations;
    log.writeFailure = new Error('OOM');
    // Some signs of life later it vouches for what it did: a failover takes that long.
    await sleep(1_000);
    expect([first.revocations.completeSince, first.told]).toEqual([completeSince, []]);
    const { now } = performance;
    const later = vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 61_000);
    await vi.waitFor(() => expect(first.revocations.completeSince).toBeGreaterThan(completeSince), 3_000);
    later.mockRestore();
    expect(first.told).toContain('revocations_log_gap');
  });

  it('is written though entries come that attest nothing', async () => {
    const first = await joined();
    const other = await joined();
    await first.feed.close();
    const { now } = performance;
    const ahead = vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 20_000);
    const count = log.entries.length;
    // As many as are needed: a timer of a busy machine comes late.
    for (let turn = 0; turn < 250 && !attested(count).includes('heartbeat'); turn += 1) {
      await other.revoke({ subject: 'bob' });
      await sleep(20);
    }
    ahead.mockRestore();
    expect(attested(count)).toContain('heartbeat');
  });
});

it('looks at no revocation of before when it writes another', async () => {
  const first = await oldLog();
  const now = vi.spyOn(performance, 'now');
  await Promise.all(Array.from({ length: 600 }, (_, index) => first.revoke({ subject: `user-${index}` })));
  // Each exchange with the log takes some.
  expect(now.mock.calls.length).toBeLessThan(600 * 100);
  now.mockRestore();
});

describe('a process that was cut off', () => {
  const cutOff = async (): Promise<[Member, Way]> => {
    const way = { isCut: false };
    const member = await joined(undefined, way);
    await sleep(50);
    way.isCut = true;
    await vi.waitFor(() => expect(member.told).toContain('revocations_unsynced'), 3_000);
    return [member, way];
  };
  const isBack = async (member: Member, way: Way): Promise<void> => {
    way.isCut = false;
    await vi.waitFor(() => expect(member.told).toContain('revocations_synced'), 3_000);
  };

  it.each<[string, () => void]>([
    ['is empty', () => Object.assign(log, { entries: [] })],
    ['is empty and has no header', () => Object.assign(log, { entries: [], header: undefined })],
    [
      'is another log',
      () => {
        log = new MemoryLog();
      },
    ],
    ['lost its newest entry', () => log.entries.pop()],
    ['was cut to its newest entry of before', () => log.entries.splice(-2)],
  ])(
    'vouches for nothing from before where the log %s, though the process that wrote it has ended',
    async (_what, harm) => {
      const revoker = await oldLog();
      const [member, way] = await cutOff();
      await revoker.revoke({ subject: 'alice' });
      await revoker.feed.close();
      harm();
      await isBack(member, way);
      expect(member.use()).not.toBe('use');
      const later = await joined();
      expect(later.use()).not.toBe('use');
    },
  );

  it('vouches for nothing from before where another process found a loss of what this one had not read', async () => {
    const revoker = await oldLog();
    const other = await joined();
    const [member, way] = await cutOff();
    await revoker.revoke({ subject: 'bob' });
    await vi.waitFor(() => expect(other.revocations.logReadUpTo).toBe(log.entries.at(-1)?.position));
    await revoker.feed.close();
    log.entries.pop();
    await vi.waitFor(() => expect(other.told).toContain('revocations_log_incomplete'), 3_000);
    await isBack(member, way);
    expect(member.told).not.toContain('revocations_log_incomplete');
    expect(member.use()).toBe('may-be-revoked');
  });

  it.each([
    [50, 'use'],
    [70, 'may-be-revoked'],
  ])('for %i s, while no process wrote, says of a JWT from before: %s', async (seconds, usability) => {
    const first = await oldLog();
    const [member, way] = await cutOff();
    await first.feed.close();
    const { now } = performance;
    const clock = vi
      .spyOn(performance, 'now')
      .mockImplementation(() => now.call(performance) + seconds * 1000);
    vi.setSystemTime(Date.now() + seconds * 1000);
    await isBack(member, way);
    expect(member.use(seconds + 1)).toBe(usability);
    // That process has reported it.
    const later = await joined();
    expect(later.use(seconds + 1)).toBe(usability);
    expect(later.told).toEqual([]);
    clock.mockRestore();
  });

  it('vouches for tokens from before where the log is kept', async () => {
    const revoker = await oldLog();
    const [member, way] = await cutOff();
    await revoker.revoke({ subject: 'bob' });
    await revoker.feed.close();
    await isBack(member, way);
    expect(member.use()).toBe('use');
  });
});

it('reports once that the newest entries are missing, and accepts no JWT until it can write', async () => {
  const first = await oldLog();
  await first.revoke({ subject: 'bob' });
  await sleep(50);
  log.writeFailure = new Error('OOM');
  log.entries.pop();
  await vi.waitFor(() => expect(first.told).toContain('revocations_log_incomplete'), 3_000);
  await sleep(2_500);
  expect(first.told.filter((code) => code === 'revocations_log_incomplete').length).toBeLessThanOrEqual(2);
  expect(first.use()).not.toBe('use');
  log.writeFailure = undefined;
  await vi.waitFor(() => expect(first.use(-31)).toBe('use'), 5_000);
});

it('is read no more after close(), which ends at once', async () => {
  const first = await oldLog();
  await first.feed.close();
  const reads = vi.spyOn(log, 'read');
  await sleep(1_200);
  expect(reads).not.toHaveBeenCalled();
  expect(first.use()).toBe('wait');
});
