import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import type { ReportProblem } from '../observe/events.js';
import { within } from './bounded-wait.js';
import type { RevocationNotice, Revocations } from './revocations.js';
import { createSeal, type Seal } from './sealing.js';

/** Where a fleet keeps its revocations: `redisLog(client)`, or what does the same over anything else. */
export interface RevocationLog {
  /**
   * Gives the log this name unless it has one, and resolves with the name that it has then. With `isReplacing` the log loses
   * the name that it had.
   */
  open(name: string, isReplacing: boolean): Promise<string>;
  /** Adds an entry and resolves with its position. Entries that are older than `keepFor` milliseconds may go. */
  append(entry: string, keepFor: number): Promise<string>;
  /**
   * Resolves with entries after `since`, from the first one on if it is undefined, oldest first. Waits up to `wait`
   * milliseconds for one. Rejects, and leaves nothing behind, if `signal` aborts.
   */
  read(query: LogQuery): Promise<LogPage>;
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
  /** The log's name, undefined where it has none. */
  readonly name: string | undefined;
  /** The newest entry's position before the entries were read; undefined where the log is empty. */
  readonly last: string | undefined;
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

/** What one process writes into the log. */
interface Written {
  /** Names the writer, and counts what it wrote: a number that is missing is an entry that was deleted. */
  readonly writer: string;
  readonly number: number;
  /** Milliseconds since the epoch, by the writer's clock. */
  readonly at: number;
  /** The entry that the writer had read last. */
  readonly previous: string | undefined;
  /** Absent in an entry that says no more than that the writer lives. */
  readonly notice?: RevocationNotice;
}

/** What the name of a log says. Times in milliseconds since the epoch. */
interface LogName {
  /** Stays when `completeSince` changes. */
  readonly id: string;
  /** The log knows each revocation from then on. */
  readonly completeSince: number;
}

const NAME_SEAL = 'revocation-log-name';
const ENTRY_SEAL = 'revocation-log-entry';

/** Milliseconds. */
const WAIT = 1_000;
const BEAT_INTERVAL = 20_000;
/** In a fleet that lives an entry is never so far behind. */
const QUIET = 60_000;
const RECENT = 60_000;

/** Seconds. */
const STORE_TIMEOUT = 2;
const RETRY_INTERVAL = 1;

/** Positions that are remembered, to find out whether what an entry refers to was read. */
const MAX_POSITIONS = 20_000;
const MAX_WRITERS = 10_000;

/** Reads what is revoked anywhere, and writes what is revoked here. */
export class LogFeed {
  readonly #rules: LogRules;
  readonly #seals: readonly [Seal, ...Seal[]];
  readonly #revocations: Revocations;
  readonly #report: ReportProblem;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  readonly #numbers = new LRUCache<string, number>({ max: MAX_WRITERS });
  readonly #positions = new LRUCache<string, true>({ max: MAX_POSITIONS });
  /** Where this process wrote what it has not read yet. */
  readonly #unread = new Set<string>();
  /** What this process revoked lately. */
  #own: { readonly notice: RevocationNotice; readonly at: number }[] = [];
  #name: string | undefined;
  #position: string | undefined;
  #firstPosition: string | undefined;
  /** When the newest entry was written, in milliseconds since the epoch. */
  #newestAt = 0;
  #isCatchingUp = true;
  /** From this moment of the monotonic clock on what the log lacks is written into it; others may do so before. */
  #completeLogAt = Number.POSITIVE_INFINITY;
  /** Entries are written one after the other, as they are numbered. */
  readonly #inOrder = pLimit(1);
  #writer: string = randomUUID();
  #written = 0;
  #hasJoined = false;
  #isLost = false;
  #isUnwritable = false;
  /** Whether what this process wrote lately may be lost, and has to be written again. */
  #isOwnDoubtful = false;
  #beat: NodeJS.Timeout | undefined;

  constructor(rules: LogRules, revocations: Revocations, report: ReportProblem) {
    const [first = '', ...others] = rules.secrets;
    this.#rules = rules;
    this.#seals = [createSeal(first, ENTRY_SEAL), ...others.map((secret) => createSeal(secret, ENTRY_SEAL))];
    this.#revocations = revocations;
    this.#report = report;
    this.#ended = this.#run();
  }

  /** Resolves when the log has it, so that each process learns of it, also one that starts later. Rejects otherwise. */
  async publish(notice: RevocationNotice): Promise<void> {
    this.#own = [
      ...this.#own.filter(({ at }) => performance.now() - at < RECENT),
      { notice, at: performance.now() },
    ];
    await this.#write(notice);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#beat);
    this.#revocations.lost();
    await within(STORE_TIMEOUT, () => this.#ended).catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#readOn();
      } catch (error) {
        await this.#lose(error as Error);
      }
    }
  }

  async #lose(error: Error): Promise<void> {
    if (this.#closing.signal.aborted) {
      return;
    }
    this.#isOwnDoubtful = true;
    if (!this.#isLost) {
      this.#isLost = true;
      this.#report('revocations_lost', `the log of revocations can not be read: ${error.message}`);
    }
    await this.#pause();
  }

  async #pause(): Promise<void> {
    const { signal } = this.#closing;
    await sleep(RETRY_INTERVAL * 1000, undefined, { signal, ref: false }).catch(() => undefined);
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
    const isSameLog = page.name !== undefined && this.#idOf(page.name) === this.#idOf(this.#name ?? '');
    if (!isSameLog || (page.last ?? '') < (since ?? '')) {
      this.#startAgain();
      return;
    }
    this.#name = page.name;
    for (const { position, entry } of page.entries) {
      this.#hear(position, entry);
    }
    if ((this.#position ?? '') >= (page.last ?? '')) {
      await this.#hasCaughtUp(sentAt);
    }
  }

  async #read(query: Omit<LogQuery, 'signal'>): Promise<LogPage> {
    const giveUp = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, giveUp.signal]);
    try {
      return await within(WAIT / 1000 + STORE_TIMEOUT, () => this.#rules.log.read({ ...query, signal }));
    } finally {
      giveUp.abort();
    }
  }

  /** Takes the name that the log has, or gives it one. */
  async #open(): Promise<void> {
    const own = this.#nameOf({ id: randomUUID(), completeSince: Date.now() });
    let name = await this.#offer(own, false);
    if (this.#completeSinceOf(name) === undefined) {
      this.#report(
        'revocation_not_ours',
        'the name of the log of revocations was not sealed with our secret; replaced',
      );
      name = await this.#offer(own, true);
    }
    const completeSince = this.#completeSinceOf(name);
    if (completeSince === undefined) {
      throw new Error('its name was not sealed with our secret');
    }
    this.#name = name;
    if (!this.#hasJoined) {
      this.#revocations.completeOnlySince(completeSince);
      this.#newestAt = name === own ? Date.now() : 0;
    }
  }

  #offer(name: string, isReplacing: boolean): Promise<string> {
    return within(STORE_TIMEOUT, () => this.#rules.log.open(name, isReplacing));
  }

  /** The log is another one, or lost entries that were read. What this process remembers is written into it again. */
  #startAgain(): void {
    this.#report(
      'revocations_log_lost',
      'the log of revocations lost entries or was replaced; what is remembered is written again',
    );
    this.#name = undefined;
    this.#position = undefined;
    this.#firstPosition = undefined;
    this.#numbers.clear();
    this.#positions.clear();
    this.#unread.clear();
    this.#isCatchingUp = true;
    // Numbers that were lost must not look like a gap for ever.
    this.#becomeAnotherWriter();
    this.#revocations.hasLostLog();
    this.#completeLogAt = performance.now() + Math.random() * WAIT;
  }

  async #hasCaughtUp(sentAt: number): Promise<void> {
    if (!this.#hasJoined) {
      this.#hasJoined = true;
      if (Date.now() - this.#newestAt > QUIET) {
        // The whole fleet was down, or the newest entries were deleted.
        this.#revocations.completeOnlySince(Date.now());
        this.#report(
          'revocations_log_quiet',
          'the log of revocations has no entry of the last minute: nothing vouches for tokens from before',
        );
      }
    }
    this.#isCatchingUp = false;
    this.#revocations.hasRead(this.#position, sentAt);
    if (this.#isLost) {
      this.#isLost = false;
      this.#report('revocations_heard', 'the log of revocations is read again');
    }
    try {
      await this.#writeWhatLacks();
      this.#isUnwritable = false;
    } catch (error) {
      if (!this.#isUnwritable && !this.#closing.signal.aborted) {
        this.#isUnwritable = true;
        this.#report(
          'revocations_unwritten',
          `the log of revocations can not be written: ${(error as Error).message}`,
        );
      }
      await this.#pause();
    }
  }

  async #writeWhatLacks(): Promise<void> {
    await this.#completeLog();
    if (this.#isOwnDoubtful) {
      // It may not have reached the server that is asked now.
      for (const { notice } of this.#own) {
        await this.#write(notice);
      }
      this.#isOwnDoubtful = false;
    }
    if (this.#beat === undefined) {
      await this.#sayAlive();
      this.#beat = this.#nextBeat();
    }
  }

  /** Writes what this process remembers and the log does not have, and says since when the log is complete then. */
  async #completeLog(): Promise<void> {
    for (const position of this.#unread) {
      if (position <= (this.#position ?? '')) {
        // It was passed by without being read.
        this.#unread.delete(position);
        this.#completeLogAt = 0;
      }
    }
    if (performance.now() < this.#completeLogAt) {
      return;
    }
    for (const notice of this.#revocations.noticesOutsideLog()) {
      await this.#write(notice);
    }
    this.#completeLogAt = Number.POSITIVE_INFINITY;
    const { completeSince } = this.#revocations;
    const named = this.#opened<LogName>(NAME_SEAL, this.#name ?? '');
    if (named !== undefined && named.completeSince > completeSince) {
      this.#name = await this.#offer(this.#nameOf({ ...named, completeSince }), true);
    }
  }

  #write(notice: RevocationNotice | undefined): Promise<void> {
    return this.#inOrder(() => this.#writeNext(notice));
  }

  async #writeNext(notice: RevocationNotice | undefined): Promise<void> {
    const { log, maxAge } = this.#rules;
    this.#written += 1;
    const written: Written = {
      writer: this.#writer,
      number: this.#written,
      at: Date.now(),
      previous: this.#position,
      ...(notice && { notice }),
    };
    try {
      const entry = this.#sealed(ENTRY_SEAL, written);
      const position = await within(STORE_TIMEOUT, () => log.append(entry, maxAge * 1000));
      if (position > (this.#position ?? '')) {
        this.#unread.add(position);
      }
    } catch (error) {
      this.#completeLogAt = Math.min(this.#completeLogAt, performance.now() + WAIT);
      // It may have been written or not, so that the number would look like a gap to others.
      this.#becomeAnotherWriter();
      throw error;
    }
  }

  #becomeAnotherWriter(): void {
    this.#writer = randomUUID();
    this.#written = 0;
  }

  #hear(position: string, entry: string): void {
    const isFirst = this.#firstPosition === undefined;
    this.#firstPosition ??= position;
    this.#position = position;
    this.#unread.delete(position);
    this.#positions.set(position, true);
    const written = this.#opened<Written>(ENTRY_SEAL, entry);
    if (written === undefined) {
      this.#report(
        'revocation_not_ours',
        'an entry of the log of revocations was not sealed with our secret; ignored',
      );
      return;
    }
    const { writer, number, at, previous, notice } = written;
    const last = this.#numbers.get(writer);
    if (last !== undefined && number <= last) {
      this.#report('revocation_not_ours', 'an entry of the log of revocations was played back; ignored');
      return;
    }
    this.#numbers.set(writer, number);
    const isReferred =
      previous === undefined || previous < this.#firstPosition || this.#positions.has(previous);
    const follows = last === undefined || number === last + 1;
    if (!isFirst && !(isReferred && follows)) {
      this.#report(
        'revocations_log_gap',
        'the log of revocations lost entries; all answers from before are asked again',
      );
      this.#revocations.hasGap();
    }
    this.#newestAt = Math.max(this.#newestAt, at);
    if (notice !== undefined) {
      // What comes just now was revoked just now, also by a process whose clock is behind.
      const revokedAt = this.#isCatchingUp || this.#isLost ? notice.at : Math.max(notice.at, Date.now());
      this.#revocations.add({ ...notice, at: revokedAt }, position);
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

  async #sayAlive(): Promise<void> {
    // A log without any entry would look like one whose entries were deleted.
    if (this.#position === undefined || Date.now() - this.#newestAt >= BEAT_INTERVAL / 2) {
      await this.#write(undefined);
    }
  }

  #nameOf(name: LogName): string {
    return this.#sealed(NAME_SEAL, name);
  }

  #idOf(name: string): string | undefined {
    return this.#opened<LogName>(NAME_SEAL, name)?.id;
  }

  #completeSinceOf(name: string): number | undefined {
    return this.#opened<LogName>(NAME_SEAL, name)?.completeSince;
  }

  #sealed(name: string, value: unknown): string {
    return this.#seals[0].seal(name, JSON.stringify(value));
  }

  #opened<T>(name: string, sealed: string): T | undefined {
    for (const seal of this.#seals) {
      const text = seal.open(name, sealed);
      if (text !== undefined) {
        return JSON.parse(text) as T;
      }
    }
    return undefined;
  }
}
