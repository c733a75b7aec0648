import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { TellableError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { type HearingListing, listHearing, publishRevocation } from '../observe/revocation-sync.js';
import { describeStoreError, within } from '../shared/bounded-wait.js';
import { CLOCK_DIFFERENCE } from '../shared/clock-difference.js';
import { RecentMap } from '../shared/recent-map.js';
import { createSeal, type Seal } from '../shared/sealing.js';
import { entryIn, type LogEntry, textOfEntry } from './log-entry.js';
import { type Attestation, HeardEntries } from './read-entries.js';
import type { RevocationNotice, Revocations } from './revocations.js';

/**
 * Where a fleet keeps its revocations: `redisLog(client)`, or what does the same over anything
 * else.
 */
export interface RevocationLog {
  /**
   * Tells this log from others, in the same way in each process: entries are sealed for it, so that
   * entries of another log under the same secret are not believed. Default: entries of all such
   * logs are.
   */
  readonly id?: string;
  /**
   * Gives the log this name unless it has one, and resolves with the name that it has then. With
   * `isReplacing` the log loses the name that it had. Rejects, and leaves nothing behind, if
   * `signal` aborts.
   */
  open(name: string, isReplacing: boolean, signal: AbortSignal): Promise<string>;
  /**
   * Adds an entry and resolves with its position. Entries that are older than `keepFor`
   * milliseconds may go. Rejects, and leaves nothing behind, if `signal` aborts.
   */
  append(entry: string, keepFor: number, signal: AbortSignal): Promise<string>;
  /**
   * Resolves with entries after `since`, from the first one on if it is undefined, oldest first.
   * Waits up to `wait` milliseconds for one. Rejects, and leaves nothing behind, if `signal`
   * aborts.
   */
  read(query: LogQuery): Promise<LogPage>;
  /** Ends connections of its own that are not in use. Default: not called. */
  close?(): unknown;
}

/** What a process wants to read. */
export interface LogQuery {
  readonly since: string | undefined;
  /** Milliseconds. */
  readonly wait: number;
  readonly signal: AbortSignal;
}

/** What a process read. */
export interface LogPage {
  /** The log's name, read after the entries; undefined where it has none. */
  readonly name: string | undefined;
  /**
   * The position that was given last before the entries were read, also if its entry is gone;
   * undefined where the log has given none.
   */
  readonly last: string | undefined;
  /**
   * Whether the entry at `since` was still there after the entries were read; true without `since`.
   */
  readonly hasSince: boolean;
  /** Positions are ordered as text. */
  readonly entries: readonly { readonly position: string; readonly entry: string }[];
}

export interface LogRules {
  readonly log: RevocationLog;
  /** The first seals; the others are still read, while one replaces the other. */
  readonly secrets: readonly string[];
  /** Seconds for which a revocation is kept. */
  readonly maxAge: number;
}

/** What the name of a log says. Times in milliseconds since the epoch. */
interface LogName {
  /** Stays when `completeSince` changes. */
  readonly id: string;
  /** The log knows each revocation from then on. */
  readonly completeSince: number;
  /** Greater than that of each name before: an older name that is put back is noticed. */
  readonly version: number;
}

/** A time without entries, by the clocks of the writers. */
interface Silence {
  readonly from: number;
  readonly to: number;
}

/** A question of a process that starts: whether any other process runs. */
interface Ping {
  /** When the log took it, by the monotonic clock; undefined before. */
  sentAt: number | undefined;
  /** Whether this process has read it in the log. */
  isRead: boolean;
  /** Whether another process has written after it, or may have been kept from doing so. */
  isAnswered: boolean;
}

const NAME_SEAL = 'revocation-log-name';
/** What entries of the log are sealed under. */
export const ENTRY_SEAL = 'revocation-log-entry';

/** Milliseconds. */
const WAIT = 1_000;
const BEAT_INTERVAL = 20_000;
/** In a fleet that lives an entry is never so far behind. */
const QUIET = 60_000;
const RECENT = 60_000;
/** Processes that give the log a name at the same time give it versions that differ by less. */
const SAME_TIME = 5_000;
/** So many older names within `QUIET` are none of processes that gave them at the same time. */
const MAX_RENAMES = 5;
/** In which a process that runs answers to one that starts, if the log lost entries. */
const OBJECTION = 200;
/**
 * Within which it answers, if it wrote an entry within `QUIET`: a process that starts waits for so
 * long.
 */
const ANSWER = 1_000;
/**
 * A process waits again so often at most. Then it goes on without an answer, and vouches for no
 * token from before.
 */
const MAX_WAITS = 5;
/** Between two looks for what was just written. */
const PAUSE = 20;
/** By how much processes may differ in what they take for young. */
const MARGIN = 2 * CLOCK_DIFFERENCE;
/**
 * Processes that run wait for so long at most before they answer, so that not all do so at once.
 */
const TURN = 40;

/** For so long a process writes entries again before it reads on. */
const SLICE = 100;

/** After the first failure to read. */
const QUICK_RETRY = 100;

/** Seconds. */
const STORE_TIMEOUT = 2;
const RETRY_INTERVAL = 1;

/**
 * Entries that are remembered, to find out whether what an entry refers to, or another process has
 * read, was read here.
 */
const MAX_HEARD = 100_000;
const MAX_WRITERS = 10_000;

/** Reads what is revoked anywhere, and writes what is revoked here. */
export class LogFeed {
  readonly #rules: LogRules;
  /** What entries and names are sealed for: this log, and no other. */
  readonly #entrySeal: string;
  readonly #nameSeal: string;
  readonly #seals: readonly [Seal, ...Seal[]];
  readonly #revocations: Revocations;
  readonly #report: ReportProblem;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  readonly #numbers = new RecentMap<string, number>(MAX_WRITERS);
  readonly #heard = new HeardEntries(MAX_HEARD);
  /** Where this process wrote what it has not read yet, and by what name it wrote it. */
  readonly #unread = new Map<string, string>();
  /**
   * What this process revoked lately, and in the time before: two lists, so that none has to be
   * searched for what is old.
   */
  #own: RevocationNotice[] = [];
  #ownBefore: RevocationNotice[] = [];
  /** When the first list began, by the monotonic clock. */
  #ownSince = Number.NEGATIVE_INFINITY;
  #name: string | undefined;
  /** The greatest version that a name of the log had. */
  #version = 0;
  /** The greatest version that the writer of an entry knew. */
  #writtenVersion = 0;
  #position: string | undefined;
  /** Of the last entry that this process wrote. */
  #ownPosition: string | undefined;
  /** Of the last entry that one of us wrote. */
  #lastHeard: string | undefined;
  #firstPosition: string | undefined;
  /** When the newest entry was written, in milliseconds since the epoch. */
  #newestAt = 0;
  /** The times without entries that no process is known to have lived through. */
  #silences: Silence[] = [];
  #hearsSince: number | undefined;
  /** Whether the log's name must not say any more that it is complete. */
  #hasLostEntries = false;
  /** When this process last replaced an older name, by the monotonic clock; some times at most. */
  #renamedAt: number[] = [];
  /** Whether a sign of life could not be written. */
  #owesBeat = false;
  #isCatchingUp = true;
  /**
   * From this moment of the monotonic clock on what the log lacks is written into it; others may do
   * so before.
   */
  #completeLogAt = Number.POSITIVE_INFINITY;
  /** Entries are written one after the other, as they are numbered. */
  readonly #inOrder = pLimit(1);
  #writer: string = randomUUID();
  #written = 0;
  #hasJoined = false;
  /** Milliseconds since the epoch. */
  readonly #beganAt = Date.now();
  #hasKnocked = false;
  /**
   * Names this process in what it attests since it began to read the log from its beginning, also
   * when it becomes another writer.
   */
  #id: string = randomUUID();
  /** When this process knocked, by the monotonic clock. */
  #knockedAt = 0;
  /** Sent while a long log is read; undefined before, and after the log was begun again. */
  #ping: Ping | undefined;
  /** Where this process has read its knock in the log; undefined before. */
  #knockPosition: string | undefined;
  /**
   * The first entry of its own that this process has read since it began to read the log from its
   * beginning. A process that has read this entry too attests the log as it was since then; what
   * was attested before may be about another log.
   */
  #comparesFrom: string | undefined;
  /** Since when this process can not knock again, by the monotonic clock; undefined while it can. */
  #knocksInVainSince: number | undefined;
  /** How often this process has waited again for an answer, as the log did not answer meanwhile. */
  #waits = 0;
  /** Until when this process waits for an answer to its knock, by the monotonic clock. */
  #answerUntil = 0;
  /**
   * Whether a process that runs has read the same entries as this one, or this process vouches for
   * no token from before it looked.
   */
  #isCompared = false;
  /**
   * When the log was last attested, by this process or by another one that had read the same, by
   * the monotonic clock.
   */
  #attestedAt = Number.NEGATIVE_INFINITY;
  /** When another process wrote an entry last, in milliseconds since the epoch. */
  #othersAt = 0;
  /** Whether the log has entries that are not ours. */
  #hasMetForeign = false;
  /** Whether another process has read other entries than this one. */
  #isContradicted = false;
  /** The knock that this process has still to answer. */
  #owesAnswerTo: string | undefined;
  /** Whether this process has still to answer a ping. */
  #owesPong = false;
  #answer: NodeJS.Timeout | undefined;
  /** The last entry of which the log has an attestation by this process. */
  #attestedUpTo: string | undefined;
  #isLost = false;
  /** Whether the log may have lost entries that this process never read. */
  #hasUnknownLoss = false;
  /** The last position given by the log when its end was found missing. */
  #endBefore: string | undefined;
  /** Whether this process has not read the log for so long that it judges it as one that starts. */
  #isReturning = false;
  #isUnwritable = false;
  /** Whether what this process wrote lately may be lost, and has to be written again. */
  #isOwnDoubtful = false;
  /** When a clock that is ahead was last reported, by the monotonic clock. */
  #clockReportedAt = Number.NEGATIVE_INFINITY;
  #beat: NodeJS.Timeout | undefined;
  readonly #listing: HearingListing;
  /** When the log was last read to its end, or this process began, by the monotonic clock. */
  #currentAt = performance.now();

  constructor(rules: LogRules, revocations: Revocations, report: ReportProblem) {
    const [first = '', ...others] = rules.secrets;
    this.#rules = rules;
    const place = rules.log.id === undefined ? '' : ` ${rules.log.id}`;
    this.#entrySeal = `${ENTRY_SEAL}${place}`;
    this.#nameSeal = `${NAME_SEAL}${place}`;
    this.#seals = [createSeal(first, ENTRY_SEAL), ...others.map((secret) => createSeal(secret, ENTRY_SEAL))];
    this.#revocations = revocations;
    this.#report = report;
    this.#listing = listHearing(() => ({
      from: 'log',
      state: this.#hasJoined && !this.#isLost ? 'heard' : 'unheard',
      position: this.#position,
      lag: (performance.now() - this.#currentAt) / 1000,
      // The clock of the writer may be ahead.
      heartbeatAge: this.#newestAt === 0 ? undefined : Math.max(0, Date.now() - this.#newestAt) / 1000,
    }));
    this.#ended = this.#run();
  }

  /**
   * Resolves when the log has it, so that each process learns of it, also one that starts later.
   * Rejects otherwise.
   */
  async publish(notice: RevocationNotice): Promise<void> {
    this.#remember(notice);
    // Other entries that are not answered may be before it.
    await within(STORE_TIMEOUT, () => this.#write(notice));
  }

  #remember(notice: RevocationNotice): void {
    const now = performance.now();
    if (now - this.#ownSince >= RECENT) {
      this.#ownBefore = this.#own;
      this.#own = [];
      this.#ownSince = now;
    }
    this.#own.push(notice);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#listing.end();
    clearTimeout(this.#beat);
    clearTimeout(this.#answer);
    this.#revocations.lost();
    const ended = this.#ended.then(() => this.#rules.log.close?.());
    await within(STORE_TIMEOUT, () => ended).catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#readOn();
      } catch (error) {
        await this.#lose(error);
      }
    }
  }

  async #lose(error: unknown): Promise<void> {
    if (this.#closing.signal.aborted) {
      return;
    }
    this.#isOwnDoubtful = true;
    const isFirst = !this.#isLost;
    if (isFirst) {
      this.#isLost = true;
      this.#listing.show();
      this.#report(
        'revocations_lost',
        `the log of revocations can not be read: ${describeStoreError(error)}`,
      );
    }
    // A process that starts meanwhile waits for what this one has to say of the log.
    await this.#pause(isFirst ? QUICK_RETRY : RETRY_INTERVAL * 1000);
  }

  async #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#closing;
    await sleep(milliseconds, undefined, { signal, ref: false }).catch(() => undefined);
  }

  async #readOn(): Promise<void> {
    if (this.#name === undefined) {
      await this.#open();
    }
    const sentAt = performance.now();
    // The first reading must not wait for an entry that may never come.
    const wait = this.#hasJoined ? WAIT : 1;
    const since = this.#position;
    const page = await this.#read({ since, wait });
    const isSameName = page.name !== undefined && page.name === this.#name;
    const isSameLog =
      isSameName || (page.name !== undefined && this.#idOf(page.name) === this.#idOf(this.#name ?? ''));
    const hasLostEntries = !page.hasSince || (page.last ?? '') < (since ?? '');
    if (!isSameLog || hasLostEntries) {
      this.#hasLostEntries = isSameLog;
      this.#reportLost();
      this.#startAgain();
      return;
    }
    if (!isSameName) {
      await this.#takeName(page.name ?? '');
      if (this.#name === undefined) {
        return;
      }
    }
    if (page.entries.length === 0 && (since ?? '') < (page.last ?? '')) {
      await this.#findEndMissing(page.last);
      return;
    }
    this.#isReturning ||= this.#hasJoined && sentAt - this.#currentAt > QUIET;
    for (const { position, entry } of page.entries) {
      this.#hear(position, entry);
    }
    this.#lookForOwnEntries();
    if (this.#isContradicted && this.#hasJoined) {
      // The log was changed after one of the two had read it.
      this.#hasLostEntries = true;
      this.#reportLost();
      this.#startAgain();
      // One who changes each entry must not keep this process busy.
      await this.#pause(QUICK_RETRY);
      return;
    }
    if (performance.now() - sentAt > ANSWER / 2) {
      // What kept this process from reading may have kept the others from answering.
      this.#countPingAsAnswered();
    }
    if ((this.#position ?? '') >= (page.last ?? '')) {
      await this.#hasCaughtUp(sentAt);
    } else if (!this.#hasJoined && !this.#hasUnknownLoss && this.#ping === undefined) {
      void this.#sendPing();
    }
  }

  /**
   * Asks whether any process runs, so that the answer is there when a long log is read: a process
   * that starts waits for the answer to its knock only while another process may run.
   */
  async #sendPing(): Promise<void> {
    const ping: Ping = { sentAt: undefined, isRead: false, isAnswered: false };
    this.#ping = ping;
    try {
      await this.#write(undefined, 'ping');
      ping.sentAt = performance.now();
    } catch {
      // Then this process waits for the answer to its knock.
    }
  }

  /** A process runs, or may run: it has the whole time to answer to the knock. */
  #countPingAsAnswered(): void {
    if (this.#ping !== undefined && !this.#ping.isAnswered) {
      this.#ping.isAnswered = true;
      if (this.#answerUntil > 0) {
        this.#answerUntil = Math.max(this.#answerUntil, this.#knockedAt + ANSWER);
      }
    }
  }

  /**
   * An entry of its own that a process passes by without reading it was taken away, or another is
   * in its place.
   */
  #lookForOwnEntries(): void {
    if (![...this.#unread.keys()].some((position) => position <= (this.#position ?? ''))) {
      return;
    }
    this.#reportChanged();
    this.#unread.clear();
    this.#isContradicted = true;
    // Its number must not look like a gap for ever.
    this.#becomeAnotherWriter();
    this.#ownPosition = undefined;
    // It may have been the knock.
    this.#hasKnocked &&= this.#knockPosition !== undefined;
  }

  #reportChanged(): void {
    this.#report(
      'revocations_log_gap',
      'the log of revocations was changed after a process had read or written it; all answers ' +
        'from before are asked again',
    );
  }

  /**
   * The log has given positions later than those of its entries: the newest entries were deleted.
   * The next entry ends that.
   */
  async #findEndMissing(last: string | undefined): Promise<void> {
    if (this.#endBefore !== last) {
      this.#endBefore = last;
      this.#hasLostEntries = true;
      this.#reportLost();
      this.#startAgain();
      return;
    }
    try {
      await this.#write(undefined);
    } catch (error) {
      await this.#isNotWritten(error);
    }
  }

  #read(query: Omit<LogQuery, 'signal'>): Promise<LogPage> {
    return this.#bounded(WAIT / 1000 + STORE_TIMEOUT, (signal) => this.#rules.log.read({ ...query, signal }));
  }

  async #bounded<T>(seconds: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const giveUp = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, giveUp.signal]);
    try {
      return await within(seconds, () => run(signal));
    } finally {
      giveUp.abort();
    }
  }

  /**
   * Takes the name that another process gave the log. An older one, which does not say what the log
   * has lost since, is replaced.
   */
  async #takeName(name: string): Promise<void> {
    const version = this.#versionOf(name);
    const known = this.#nameIn(this.#name ?? '');
    if (version >= this.#version || known === undefined) {
      this.#name = name;
      this.#version = Math.max(this.#version, version);
      if ((this.#completeSinceOf(name) ?? 0) > this.#revocations.completeSince) {
        // Another process has found a loss. What was lost may be what this process has not read,
        // and what it has read may be gone.
        this.#reportGap('another process has found that it lost entries');
        this.#startAgain();
      }
      return;
    }
    // Processes that give the log a name at the same time replace each other's, but not for long.
    this.#renamedAt = [...this.#renamedAt, performance.now()].slice(-MAX_RENAMES);
    const [earliest = 0] = this.#renamedAt;
    const isOften = this.#renamedAt.length === MAX_RENAMES && performance.now() - earliest < QUIET;
    if (this.#version - version > SAME_TIME || isOften) {
      this.#renamedAt = [];
      this.#report('revocation_not_ours', 'the log of revocations has an older name again; replaced');
      // The log may have been set back with its name.
      this.#vouchFromNow();
    }
    this.#name = await this.#rename(known);
    // A process that starts finds out that the name that it read is not the newest.
    await this.#write(undefined).catch(() => undefined);
  }

  /** Gives the log another name in place of the one that it has. */
  async #rename(name: Omit<LogName, 'version'>): Promise<string> {
    const version = this.#nextVersion();
    const renamed = await this.#offer(this.#nameOf({ ...name, version }), true);
    // Not before: entries of this process must not speak of a name that the log does not have.
    this.#version = Math.max(this.#version, version);
    return renamed;
  }

  #nextVersion(): number {
    return Math.max(this.#version + 1, Date.now());
  }

  #versionOf(name: string): number {
    return this.#nameIn(name)?.version ?? 0;
  }

  /** Takes the name that the log has, or gives it one. */
  async #open(): Promise<void> {
    const own = this.#nameOf({
      id: randomUUID(),
      completeSince: Date.now(),
      version: this.#nextVersion(),
    });
    let name = await this.#offer(own, false);
    if (this.#completeSinceOf(name) === undefined) {
      this.#report(
        'revocation_not_ours',
        'the name of the log of revocations was not sealed with our secret; replaced',
      );
      name = await this.#offer(own, true);
    } else if (this.#versionOf(name) < this.#version && !this.#hasLostEntries) {
      this.#report('revocation_not_ours', 'the log of revocations has an older name again; replaced');
      name = await this.#offer(own, true);
    }
    const named = this.#nameIn(name);
    if (named === undefined) {
      throw new TellableError('its name was not sealed with our secret');
    }
    if (this.#hasLostEntries) {
      // A process that starts must not take it for complete, until it is.
      name = await this.#rename({ id: named.id, completeSince: Date.now() });
      this.#hasLostEntries = false;
      // It knows so at once, also where the name is changed back.
      await this.#write(undefined).catch(() => undefined);
    }
    const { completeSince } = named;
    this.#name = name;
    this.#version = Math.max(this.#version, this.#versionOf(name));
    if (!this.#hasJoined) {
      this.#revocations.completeOnlySince(completeSince);
      this.#newestAt = name === own ? Date.now() : 0;
    }
  }

  #offer(name: string, isReplacing: boolean): Promise<string> {
    return this.#bounded(STORE_TIMEOUT, (signal) => this.#rules.log.open(name, isReplacing, signal));
  }

  /**
   * What was revoked until now may be unknown here: nothing vouches for tokens from before, and
   * what is known of them is void.
   */
  #vouchFromNow(): void {
    this.#revocations.hasGap();
    this.#hearsSince &&= Date.now();
    this.#isCompared = true;
  }

  /**
   * The log is another one, or lost entries. What this process remembers is written into it again.
   * What another process wrote since this one read the log last may be lost for good, if that
   * process has ended: no later entry can prove that there was nothing.
   */
  #startAgain(): void {
    this.#hasUnknownLoss = true;
    this.#vouchFromNow();
    this.#isContradicted = false;
    this.#owesAnswerTo = undefined;
    this.#owesPong = false;
    this.#ping = undefined;
    this.#attestedUpTo = undefined;
    this.#name = undefined;
    this.#position = undefined;
    this.#firstPosition = undefined;
    this.#comparesFrom = undefined;
    if (this.#hasJoined) {
      // A process that starts still looks for its knock.
      this.#id = randomUUID();
    }
    this.#lastHeard = undefined;
    this.#numbers.clear();
    this.#heard.clear();
    this.#unread.clear();
    this.#isCatchingUp = true;
    // Numbers that were lost must not look like a gap for ever.
    this.#becomeAnotherWriter();
    this.#ownPosition = undefined;
    this.#revocations.markLogReplaced();
    this.#completeLogAt = performance.now() + Math.random() * WAIT;
  }

  #reportLost(): void {
    this.#report(
      'revocations_log_lost',
      'the log of revocations lost entries or was replaced; what is remembered is written again',
    );
  }

  async #hasCaughtUp(sentAt: number): Promise<void> {
    if (!this.#hasKnocked) {
      await this.#knock();
      return;
    }
    if (this.#knockPosition === undefined) {
      // A server that was replaced meanwhile may not have it.
      this.#hasKnocked = performance.now() < this.#knockedAt + ANSWER;
      await this.#pause(PAUSE);
      return;
    }
    const waits = !(this.#hasJoined || this.#isCompared || this.#hasUnknownLoss || this.#isContradicted);
    if (waits && this.#answerUntil > 0 && performance.now() - sentAt > ANSWER / 2) {
      // What kept this process from reading may have kept the others from answering.
      if (this.#waits >= MAX_WAITS) {
        this.#suspectLoss('it did not answer while another process could have told what it has lost');
      }
      this.#waits += 1;
      this.#answerUntil = performance.now() + ANSWER;
    }
    if (waits && !this.#hasUnknownLoss && performance.now() < this.#answerUntil) {
      // The end of the log is read again and again until then.
      await this.#pause(PAUSE);
      return;
    }
    if (!this.#hasJoined && !this.#isCompared && this.#answerUntil > 0 && this.#hasMetForeign) {
      // Others live, and an entry that is not ours may be in the place of their answer.
      this.#suspectLoss('it has entries that are not ours, and no running process answers');
    }
    if (this.#hasUnknownLoss || this.#isContradicted) {
      // The log may have lost more until it was read to its end.
      const isContradicted = this.#isContradicted;
      this.#hasUnknownLoss = false;
      this.#isContradicted = false;
      this.#vouchFromNow();
      if (isContradicted) {
        // The process that has read more learns from this what the log lacks, and writes it again.
        await this.#write(undefined, 'knock').catch(() => undefined);
      }
    }
    if (this.#isReturning) {
      this.#isReturning = false;
      if (this.#silentUntil() > 0) {
        this.#vouchFromNow();
        this.#reportQuiet();
      }
      this.#silences = [];
    }
    if (!this.#hasJoined) {
      this.#hasJoined = true;
      this.#revocations.completeOnlySince(this.#completeSinceOf(this.#name ?? '') ?? 0);
      const now = Date.now();
      if (this.#writtenVersion > this.#versionOf(this.#name ?? '')) {
        this.#revocations.completeOnlySince(now);
        this.#report(
          'revocations_log_gap',
          'the log of revocations has an older name again: nothing vouches for tokens from before',
        );
      }
      this.#hearsSince = now;
      const silentUntil = this.#silentUntil();
      if (silentUntil > 0) {
        this.#revocations.completeOnlySince(silentUntil);
        this.#reportQuiet();
      }
      this.#silences = [];
      if (this.#revocations.completeSince > this.#beganAt - CLOCK_DIFFERENCE) {
        // This process may have asked before it joined, and the log may lack what was revoked
        // since.
        this.#revocations.hasJoinedLate();
      }
    }
    this.#isCatchingUp = false;
    this.#answerInTurn();
    this.#revocations.hasRead(this.#position, sentAt);
    if (this.#isLost) {
      this.#isLost = false;
      this.#report('revocations_heard', 'the log of revocations is read again');
    }
    this.#currentAt = sentAt;
    this.#listing.show();
    this.#reportClock();
    try {
      await this.#writeWhatLacks();
      this.#isUnwritable = false;
    } catch (error) {
      await this.#isNotWritten(error);
    }
  }

  /**
   * Until when the log was silent last while no process is known to have read it, or 0: the fleet
   * was down, or entries were lost.
   */
  #silentUntil(): number {
    const now = Date.now();
    if (now - this.#newestAt > QUIET) {
      this.#silences.push({ from: this.#newestAt, to: now });
    }
    return Math.max(0, ...this.#silences.map(({ to }) => to));
  }

  /**
   * Reports a moment in the future. It counts as it is: the clock of this process may be the one
   * that is wrong, and then revocations from before that moment may be unknown.
   */
  #reportClock(): void {
    const { completeSince } = this.#revocations;
    const now = Date.now();
    const isReported = performance.now() - this.#clockReportedAt < QUIET;
    if (isReported || Math.max(completeSince, this.#newestAt) <= now + CLOCK_DIFFERENCE) {
      return;
    }
    this.#clockReportedAt = performance.now();
    const wrong =
      'the clock of this process is behind, or that of a process that wrote into the log was ahead';
    const [newest, until] = [this.#newestAt, completeSince].map((at) => Math.ceil((at - now) / 1000));
    this.#report(
      'revocations_clock_wrong',
      completeSince > now + CLOCK_DIFFERENCE
        ? `nothing vouches for tokens that are issued in the next ${until} s: ${wrong}`
        : `the newest entry of the log of revocations is dated ${newest} s in the future: ${wrong}`,
    );
  }

  #reportQuiet(): void {
    this.#report(
      'revocations_log_quiet',
      'the log of revocations has no entry of a minute: nothing vouches for tokens from before',
    );
  }

  /**
   * The log may have lost entries without a trace. Once it is read to its end, this process vouches
   * for no token from before.
   */
  #suspectLoss(why: string): void {
    if (!this.#hasUnknownLoss) {
      this.#hasUnknownLoss = true;
      this.#reportGap(why);
    }
  }

  #reportGap(why: string): void {
    this.#report(
      'revocations_log_gap',
      `the log of revocations may lack entries: ${why}; nothing vouches for tokens from before`,
    );
  }

  async #isNotWritten(error: unknown): Promise<void> {
    if (!this.#isUnwritable && !this.#closing.signal.aborted) {
      this.#isUnwritable = true;
      this.#report(
        'revocations_unwritten',
        `the log of revocations can not be written: ${describeStoreError(error)}`,
      );
    }
    await this.#pause(RETRY_INTERVAL * 1000);
  }

  /**
   * Tells each process that runs what this one has read in the log. One that has read other entries
   * gives the log another name; the others answer with what they have read. Without a knock this
   * process does not join, for no other could object.
   */
  async #knock(): Promise<void> {
    if (this.#knockPosition === undefined) {
      try {
        await this.#write(undefined, 'knock');
      } catch (error) {
        // It may be in the log all the same, as where replicas do not answer: then it is read next.
        await this.#isNotWritten(error);
        return;
      }
    }
    this.#hasKnocked = true;
    this.#knockedAt = performance.now();
    if (Date.now() - this.#othersAt < QUIET) {
      this.#answerUntil = this.#unansweredSince() + ANSWER;
    }
    const { signal } = this.#closing;
    await sleep(OBJECTION, undefined, { signal, ref: false }).catch(() => undefined);
  }

  /** Since when no process has answered, by the monotonic clock. */
  #unansweredSince(): number {
    const { sentAt, isRead, isAnswered } = this.#ping ?? {};
    return sentAt !== undefined && isRead && !isAnswered ? sentAt : this.#knockedAt;
  }

  async #writeWhatLacks(): Promise<void> {
    await this.#completeLog();
    if (this.#isOwnDoubtful) {
      // It may not have reached the server that is asked now.
      for (const notice of [...this.#ownBefore, ...this.#own]) {
        await this.#write(notice);
      }
      this.#isOwnDoubtful = false;
      await this.#sayAlive();
    }
    if (this.#beat === undefined) {
      this.#beat = this.#nextBeat();
    }
  }

  /** Writes what this process remembers and the log does not have. */
  async #completeLog(): Promise<void> {
    if (performance.now() < this.#completeLogAt) {
      return;
    }
    const lacking = this.#revocations.noticesOutsideLog();
    // Processes that do so at the same time begin at different places, and read in between what the
    // others wrote.
    const from = Math.floor(Math.random() * lacking.length);
    const until = performance.now() + SLICE;
    for (const notice of [...lacking.slice(from), ...lacking.slice(0, from)]) {
      if (performance.now() >= until) {
        this.#completeLogAt = 0;
        return;
      }
      await this.#write(notice);
    }
    if (this.#owesBeat) {
      await (this.#isCompared ? this.#write(undefined) : this.#knockAgain());
    }
    this.#completeLogAt = Number.POSITIVE_INFINITY;
  }

  #write(notice: RevocationNotice | undefined, as?: Attestation['as']): Promise<void> {
    return this.#inOrder(() => this.#writeNext(notice, as));
  }

  async #writeNext(notice: RevocationNotice | undefined, as: Attestation['as'] | undefined): Promise<void> {
    const { log, maxAge } = this.#rules;
    this.#written += 1;
    const written: LogEntry = {
      writer: this.#writer,
      number: this.#written,
      at: Date.now(),
      previous: this.#lastHeard,
      own: this.#ownPosition,
      version: this.#version,
      hearsSince: this.#hearsSince,
      attested: as && this.#attest(as),
      notice,
    };
    try {
      const entry = this.#seals[0].seal(this.#entrySeal, textOfEntry(written));
      const keepFor = maxAge * 1000 + 2 * QUIET;
      const position = await this.#bounded(STORE_TIMEOUT, (signal) => log.append(entry, keepFor, signal));
      this.#owesBeat = false;
      if (this.#writer === written.writer) {
        this.#ownPosition = position;
      }
      if ((this.#numbers.get(written.writer) ?? 0) < written.number) {
        this.#unread.set(position, written.writer);
      }
    } catch (error) {
      this.#completeLogAt = Math.min(this.#completeLogAt, performance.now() + WAIT);
      this.#owesBeat ||= notice === undefined;
      // It may have been written or not, so that the number would look like a gap to others.
      this.#becomeAnotherWriter();
      throw error;
    }
  }

  #attest(as: Attestation['as']): Attestation {
    if (as === 'ping') {
      return attestNothing(this.#id);
    }
    return this.#heard.attest({
      as,
      by: this.#id,
      // More than another process compares, whose clock may be behind.
      youngSince: this.#youngSince - MARGIN,
      completeSince: this.#revocations.completeSince,
      after: as === 'beat' ? this.#attestedUpTo : undefined,
    });
  }

  /** What was written since then is not gone from the log, by its age. */
  get #youngSince(): number {
    return Date.now() - this.#rules.maxAge * 1000;
  }

  #becomeAnotherWriter(): void {
    this.#writer = randomUUID();
    this.#written = 0;
  }

  #hear(position: string, entry: string): void {
    this.#position = position;
    const text = this.#opened(this.#entrySeal, entry);
    const written = text === undefined ? undefined : entryIn(text);
    if (written === undefined) {
      this.#hasMetForeign = true;
      this.#report(
        'revocation_not_ours',
        'an entry of the log of revocations was not sealed with our secret; ignored',
      );
      return;
    }
    const { writer, number, at, previous, own, version, hearsSince, attested, notice } = written;
    const last = this.#numbers.get(writer);
    // An entry that is not ours says nothing of where the log begins.
    const isFirst = this.#firstPosition === undefined;
    this.#firstPosition ??= position;
    if (last !== undefined && number <= last) {
      this.#hasMetForeign = true;
      this.#report('revocation_not_ours', 'an entry of the log of revocations was played back; ignored');
      return;
    }
    this.#numbers.set(writer, number);
    if (this.#unread.get(position) === writer) {
      this.#unread.delete(position);
    }
    const isOwn = writer === this.#writer || attested?.by === this.#id;
    if (isOwn && attested?.as !== 'ping') {
      // What is attested after a ping alone may be older than what this process has read since.
      this.#comparesFrom ??= position;
    }
    if (!isOwn && this.#ping?.isRead === true) {
      this.#countPingAsAnswered();
    }
    if (!isOwn && hearsSince !== undefined) {
      // Another process that runs has written after the ping.
      this.#owesPong = false;
    }
    // What stands in place of an entry is none: who refers to that entry finds it missing.
    this.#heard.add(position, writer, number, at);
    this.#lastHeard = position;
    // What this process has forgotten it does not take for read.
    const isReferred = previous === undefined || previous < this.#firstPosition || this.#heard.has(previous);
    const follows = last === undefined ? this.#begins(number, own) : number === last + 1;
    this.#writtenVersion = Math.max(this.#writtenVersion, version);
    if (!isFirst && !(isReferred && follows)) {
      this.#report(
        'revocations_log_gap',
        'the log of revocations lost entries; all answers from before are asked again',
      );
      this.#vouchFromNow();
    }
    if (!this.#hasJoined || this.#isReturning) {
      this.#hearSilence(at, hearsSince);
    }
    this.#newestAt = Math.max(this.#newestAt, at);
    if (writer !== this.#writer) {
      this.#othersAt = Math.max(this.#othersAt, at);
    }
    if (attested !== undefined) {
      this.#hearAttestation(attested, position);
    }
    if (notice !== undefined) {
      // What comes just now was revoked just now, also by a process whose clock is behind.
      const revokedAt = this.#isCatchingUp || this.#isLost ? notice.at : Math.max(notice.at, Date.now());
      const heard = revokedAt === notice.at ? notice : { ...notice, at: revokedAt };
      if (this.#revocations.add(heard, position)) {
        publishRevocation(notice.revocation, 'log');
      }
    }
  }

  #hearAttestation(attested: Attestation, position: string): void {
    const { as, by, upTo = '' } = attested;
    if (as === 'ping') {
      this.#hearPing(by);
      return;
    }
    if (by === this.#id) {
      // Not when it is written: the log may not have it.
      this.#attestedUpTo = upTo;
      this.#attestedAt = performance.now();
      if (as === 'knock') {
        this.#knockPosition = position;
      }
      return;
    }
    if (as === 'knock' && this.#hasJoined) {
      this.#owesAnswerTo = position;
      if (!this.#isCatchingUp) {
        this.#answerInTurn();
      }
    }
    if (this.#comparesFrom === undefined || upTo < this.#comparesFrom) {
      // It may be about another log. It proves nothing.
      return;
    }
    const comparison = this.#heard.compare(attested, this.#youngSince);
    if (comparison === 'other') {
      this.#isContradicted = true;
      this.#reportChanged();
    } else if (as !== 'knock') {
      this.#hearRunning(attested, comparison);
    }
  }

  #hearPing(by: string): void {
    if (by !== this.#id) {
      this.#owesPong = this.#hasJoined;
      if (!this.#isCatchingUp) {
        this.#answerInTurn();
      }
    } else if (this.#ping !== undefined) {
      this.#ping.isRead = true;
    }
  }

  /**
   * A process that runs has read the same entries as this one, or what it has read can not be
   * compared.
   */
  #hearRunning(attested: Attestation, comparison: 'same' | 'unknown'): void {
    const { as, from = '', upTo = '' } = attested;
    if (comparison === 'same') {
      this.#attestedAt = performance.now();
      if (as === 'answer' && upTo >= (this.#owesAnswerTo ?? '')) {
        this.#owesAnswerTo = undefined;
      }
    }
    if (this.#isCompared || as === 'beat') {
      return;
    }
    if (comparison === 'same' && from <= (this.#comparesFrom ?? '')) {
      this.#isCompared = true;
      // That process does not speak of what was before.
      const since = this.#heard.comparedSince(attested, this.#youngSince);
      if (since > (this.#hearsSince ?? this.#revocations.completeSince)) {
        this.#reportGap('a running process does not know all of what was in it before');
      }
      if (this.#hearsSince !== undefined && since > this.#hearsSince) {
        // It found a loss after this process had joined.
        this.#vouchFromNow();
      }
      this.#revocations.completeOnlySince(since);
    } else {
      this.#suspectLoss('what a running process has read in it can not be compared');
    }
  }

  /** Answers to a knock or a ping, unless another process has done so meanwhile. */
  #answerInTurn(): void {
    if (this.#owesAnswerTo === undefined && !this.#owesPong) {
      return;
    }
    this.#answer ??= setTimeout(() => {
      this.#answer = undefined;
      const isKnock = this.#owesAnswerTo !== undefined;
      if ((isKnock || this.#owesPong) && !this.#closing.signal.aborted) {
        this.#owesAnswerTo = undefined;
        this.#owesPong = false;
        // A log that can't be written is told of by the reading.
        void this.#write(undefined, isKnock ? 'answer' : undefined).catch(() => undefined);
      }
    }, Math.random() * TURN).unref();
  }

  /**
   * Whether an entry of a writer that was not met before is its first, or its first one that is not
   * trimmed.
   */
  #begins(number: number, own: string | undefined): boolean {
    if (own === undefined) {
      return number === 1;
    }
    const isTrimmed = own < (this.#firstPosition ?? '');
    return isTrimmed || (number === 1 && this.#heard.has(own));
  }

  /**
   * Before this process has joined, or comes back: notes where the log begins, and when it was
   * silent.
   */
  #hearSilence(at: number, hearsSince: number | undefined): void {
    if (this.#newestAt === 0) {
      this.#hearBeginning(at);
    } else if (at - this.#newestAt > QUIET) {
      this.#silences.push({ from: this.#newestAt, to: at });
    }
    if (hearsSince !== undefined && this.#silences.length > 0) {
      this.#silences = this.#silences.filter(({ from }) => from < hearsSince);
    }
  }

  #hearBeginning(at: number): void {
    const named = this.#nameIn(this.#name ?? '');
    const isYoung = at > Date.now() - this.#rules.maxAge * 1000;
    if (!isYoung) {
      return;
    }
    // What is trimmed is older: the log was begun then, or lost what was before.
    this.#revocations.completeOnlySince(at);
    if (at - (named?.completeSince ?? 0) > QUIET) {
      this.#report(
        'revocations_log_gap',
        'the log of revocations lost its first entries: nothing vouches for tokens from before',
      );
    }
  }

  /** Says from time to time that the fleet lives, unless another process did. */
  #nextBeat(): NodeJS.Timeout {
    const inMilliseconds = BEAT_INTERVAL * (0.75 + Math.random() / 2);
    return setTimeout(() => {
      // A log that can't be written is told of by the reading.
      void this.#sayAlive().catch(() => undefined);
      this.#beat = this.#nextBeat();
    }, inMilliseconds).unref();
  }

  async #knockAgain(): Promise<void> {
    const now = performance.now();
    try {
      await this.#write(undefined, 'knock');
      this.#knocksInVainSince = undefined;
    } catch (error) {
      // A failover takes less. What keeps this process from asking for longer may keep another one
      // from telling what the log has lost.
      this.#knocksInVainSince ??= now;
      if (now - this.#knocksInVainSince > QUIET) {
        this.#suspectLoss('this process could not ask for a minute what the others have read in it');
        this.#knocksInVainSince = undefined;
      }
      throw error;
    }
  }

  async #sayAlive(): Promise<void> {
    if (!this.#isCompared) {
      // It joined without an answer. A process that runs may have been kept from answering.
      await this.#knockAgain();
      return;
    }
    const isQuiet = Date.now() - this.#newestAt >= BEAT_INTERVAL / 2;
    // An entry that attests nothing is no sign of life: whatever has processes write it would keep
    // them from comparing what they read.
    const isUnattested = performance.now() - this.#attestedAt >= BEAT_INTERVAL / 2;
    // A log without any entry would look like one whose entries were deleted.
    if (this.#position === undefined || isQuiet || isUnattested) {
      await this.#write(undefined, 'beat');
    }
  }

  #nameOf(name: LogName): string {
    return this.#seals[0].seal(this.#nameSeal, JSON.stringify(name));
  }

  #nameIn(sealed: string): LogName | undefined {
    const text = this.#opened(this.#nameSeal, sealed);
    return text === undefined ? undefined : (JSON.parse(text) as LogName);
  }

  #idOf(name: string): string | undefined {
    return this.#nameIn(name)?.id;
  }

  #completeSinceOf(name: string): number | undefined {
    return this.#nameIn(name)?.completeSince;
  }

  #opened(name: string, sealed: string): string | undefined {
    for (const seal of this.#seals) {
      const text = seal.open(name, sealed);
      if (text !== undefined) {
        return text;
      }
    }
    return undefined;
  }
}

/** A process that starts has not read the log to its end: what it has read says nothing yet. */
function attestNothing(by: string): Attestation {
  return { as: 'ping', by, from: undefined, upTo: undefined, since: 0, digest: '' };
}
