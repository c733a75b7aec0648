import { TellableError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { publishRevocation, registerSyncState, type SyncRegistration } from '../observe/revocation-sync.js';
import { CLOCK_DIFFERENCE, MAX_CLOCK_TOLERANCE } from '../shared/clock-difference.js';
import { withTimeLimit } from '../shared/time-limit.js';
import { Attestations } from './attestations.js';
import type { Attestation } from './entry-history.js';
import { EntrySequence } from './entry-sequence.js';
import { GrowingPause } from './growing-pause.js';
import { JoinAnswers } from './join-answers.js';
import { ANSWER_TIME, JoinWait, OBJECTION_TIME } from './join-wait.js';
import { type LogEntry, parseEntry } from './log-entry.js';
import { LogHeaderKeeper } from './log-header.js';
import { LogProblems } from './log-problems.js';
import { type LogHeader, LogSeals } from './log-seals.js';
import { FIRST_RETRY_INTERVAL, QUIET_TIME, READ_WAIT, RETRY_INTERVAL, STORE_TIMEOUT } from './log-timing.js';
import { LogUpkeep } from './log-upkeep.js';
import { LogWriter } from './log-writer.js';
import { OwnUnreadNotices } from './own-unread-notices.js';
import { QuietPeriods } from './quiet-periods.js';
import type { LogRules, RevocationLogPage } from './revocation-log.js';
import type { RevocationNotice, Revocations } from './revocations.js';
import { TimeLimitedLog } from './time-limited-log.js';

/** Milliseconds for which a process does not read the log after it was changed again and again. */
const MAX_CONFLICT_PAUSE = 10_000;
/** Milliseconds between two looks for what was just written. */
const POLL_PAUSE = 20;

/**
 * Keeps this process in sync with the log of revocations: reads what is revoked anywhere, and
 * writes what is revoked here.
 */
export class LogSync {
  readonly #rules: LogRules;
  readonly #seals: LogSeals;
  readonly #log: TimeLimitedLog;
  readonly #revocations: Revocations;
  readonly #problems: LogProblems;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  readonly #registration: SyncRegistration;

  // The log.
  readonly #header: LogHeaderKeeper;
  /** The greatest version that the writer of an entry knew. */
  #writtenVersion = 0;
  /** Whether the log may have lost entries that this process never read. */
  #mayLackEntries = false;
  /** Whether this process has still to seal the header again, if an old secret sealed it. */
  #mustSealHeader = true;
  /** The last position given by the log when its end was found missing. */
  #missingEnd: string | undefined;

  // Reading.
  readonly #sequence = new EntrySequence();
  #position: string | undefined;
  /** Milliseconds since the epoch. */
  readonly #startedAt = Date.now();
  /** When the log was last read to its end, or this process began, by the monotonic clock. */
  #readToEndAt = performance.now();
  #isUnreadable = false;
  /** How many readings in a row lacked an entry that this process wrote. */
  #missedReadings = 0;
  /** Whether the next reading has to be over a new connection. */
  #mustReconnect = false;
  /**
   * Whether this process must read an entry of its own before it counts as synced: what it reads
   * lacked one.
   */
  #mustReadOwnEntry = false;
  #isCatchingUp = true;
  /** Whether this process has not read the log for so long that it judges it as one that starts. */
  #isReturning = false;
  /** When the newest entry was written, in milliseconds since the epoch. */
  #newestAt = 0;
  /**
   * When the first entry was written, in milliseconds since the epoch, if the log was begun long before and
   * may lack earlier entries. This is not reported if a running process has read the same entries: this
   * process lacks none that the other one has, and the process that wrote the first entry has reported the
   * gap.
   */
  #lateFirstAt: number | undefined;
  /** When another process wrote an entry last, in milliseconds since the epoch. */
  #othersWroteAt = 0;
  /** Whether the log has entries that no process of the fleet wrote. */
  #hasForeignEntries = false;
  readonly #quietPeriods = new QuietPeriods();

  // Joining, and comparing what processes have read.
  readonly #join = new JoinWait();
  readonly #answers: JoinAnswers;
  #hasJoined = false;
  /** Since when this process knows all revocations, by its clock; undefined before it has joined. */
  #syncedSince: number | undefined;
  /**
   * Whether this process need not compare any more what it has read: another process has read the
   * same entries, or this process found a loss. After a loss it accepts no token from before by its
   * signature alone, so that a comparison would add nothing.
   */
  #isComparisonSettled = false;
  /** Whether another process has read other entries than this one. */
  #hasConflict = false;
  readonly #conflictPause = new GrowingPause(FIRST_RETRY_INTERVAL, MAX_CONFLICT_PAUSE);
  readonly #attestations: Attestations;

  // Writing.
  readonly #ownUnread = new OwnUnreadNotices();
  readonly #writer: LogWriter;
  readonly #upkeep: LogUpkeep;
  #isUnwritable = false;

  constructor(rules: LogRules, revocations: Revocations, report: ReportProblem) {
    this.#rules = rules;
    this.#seals = new LogSeals(rules.secrets, rules.log.id);
    // Equal in processes with different clockTolerance or cache: they compare the entries that count.
    const maxAgeMs = (rules.longestTokenLifetime + 2 * MAX_CLOCK_TOLERANCE) * 1000;
    this.#log = new TimeLimitedLog(rules.log, this.#closing.signal);
    this.#revocations = revocations;
    this.#problems = new LogProblems(report);
    this.#header = new LogHeaderKeeper({
      log: this.#log,
      seals: this.#seals,
      problems: this.#problems,
      announce: () => this.#writePlain().catch(() => undefined),
      onSetBack: () => this.#markIncompleteUntilNow(),
    });
    this.#attestations = new Attestations({
      entries: this.#sequence.entries,
      maxAgeMs,
      completeSince: () => revocations.completeSince,
    });
    this.#answers = new JoinAnswers((kind) => this.#writePlain(kind));
    this.#writer = new LogWriter({
      log: this.#log,
      seals: this.#seals,
      keepFor: maxAgeMs + 2 * QUIET_TIME,
      facts: (kind) => ({
        lastRead: this.#sequence.lastPosition,
        version: this.#header.version,
        syncedSince: this.#isReadLately ? this.#syncedSince : undefined,
        attested: kind && this.#attestations.attest(kind),
      }),
      hasRead: (writer, number) => this.#sequence.hasRead(writer, number),
      ownUnread: this.#ownUnread,
      onFull: (issuer) => this.#problems.reportQueueFull(issuer),
    });
    this.#upkeep = new LogUpkeep({
      writer: this.#writer,
      revocations,
      ownUnread: this.#ownUnread,
      isComparisonSettled: () => this.#isComparisonSettled,
      attestationAge: () => this.#attestations.age,
      newestAt: () => (this.#position === undefined ? undefined : this.#newestAt),
      onCannotAsk: () =>
        this.#suspectLoss('this process could not ask for a minute what the others have read in it'),
    });
    this.#registration = registerSyncState(() => ({
      from: 'log',
      state: this.#hasJoined && !this.#isUnreadable ? 'synced' : 'unsynced',
      position: this.#position,
      lag: (performance.now() - this.#readToEndAt) / 1000,
      // The clock of the writer may be ahead.
      heartbeatAge: this.#newestAt === 0 ? undefined : Math.max(0, Date.now() - this.#newestAt) / 1000,
    }));
    this.#ended = this.#run();
  }

  /**
   * Resolves when the log has the revocation, so that all processes learn of it, also those that start later.
   * Rejects otherwise.
   */
  async publish(notice: RevocationNotice): Promise<void> {
    const givenUp = new AbortController();
    try {
      // Entries that the log has not confirmed yet may have to be written first.
      await withTimeLimit(STORE_TIMEOUT, () => this.#upkeep.publish(notice, givenUp.signal));
    } finally {
      givenUp.abort();
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#registration.end();
    this.#upkeep.close();
    this.#answers.close();
    this.#revocations.markUnsynced();
    const ended = this.#ended.then(() => this.#rules.log.close?.());
    await withTimeLimit(STORE_TIMEOUT, () => ended).catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#readOn();
      } catch (error) {
        await this.#readFailed(error);
      }
    }
  }

  async #readFailed(error: unknown): Promise<void> {
    if (this.#closing.signal.aborted) {
      return;
    }
    this.#rewriteOwnUnread();
    const isFirst = !this.#isUnreadable;
    if (isFirst) {
      this.#isUnreadable = true;
      this.#registration.show();
      this.#problems.reportUnreadable(error);
    }
    // A process that starts meanwhile waits for what this one has to say of the log.
    await this.#log.pause(isFirst ? FIRST_RETRY_INTERVAL : RETRY_INTERVAL);
  }

  /** The server that is asked from now on may not have what this process wrote lately. */
  #rewriteOwnUnread(): void {
    if (!this.#ownUnread.hasForgotten) {
      this.#upkeep.rewriteOwnUnread();
      return;
    }
    // The whole log is read, and what it lacks of all that is remembered is written again.
    this.#ownUnread.clear();
    this.#header.setLoss(true);
    this.#problems.reportMayLackEntries(
      'the connection of this process was interrupted after too many revocations',
    );
    this.#startAgain();
  }

  async #readOn(): Promise<void> {
    if (!this.#header.isKnown) {
      await this.#header.readOrSet((named, isNew) => this.#applyHeader(named, isNew));
    }
    const sentAt = performance.now();
    // The first reading must not wait for an entry that may never come.
    const wait = this.#hasJoined ? READ_WAIT : 1;
    const page = await this.#log.read({
      after: this.#position,
      wait,
      mustReconnect: this.#mustReconnect,
    });
    this.#mustReconnect = false;
    if (!(await this.#checkPage(page))) {
      return;
    }
    this.#isReturning ||= this.#hasJoined && sentAt - this.#readToEndAt > QUIET_TIME;
    for (const { position, entry } of page.entries) {
      this.#receive(position, entry);
    }
    this.#checkOwnEntries();
    if (this.#hasConflict && this.#hasJoined) {
      // The log was changed after one of the two had read it.
      this.#startAgainWithLoss();
      // An attacker who changes each entry must not keep this process busy, nor must a process without the
      // old secret.
      await this.#log.pause(this.#conflictPause.next());
      return;
    }
    if (performance.now() - sentAt > ANSWER_TIME / 2) {
      // What kept this process from reading may have kept the others from answering.
      this.#join.countPingAsAnswered();
    }
    if ((this.#position ?? '') >= (page.lastGiven ?? '')) {
      if (!this.#checkConfirmedEntries(sentAt) || (await this.#awaitOwnEntry())) {
        return;
      }
      await this.#finishReading(sentAt);
    } else if (!this.#hasJoined && !this.#mayLackEntries && !this.#join.hasPing) {
      void this.#join.sendPing(() => this.#writePlain('ping'));
    }
  }

  /**
   * Returns whether the end of the log has what this process wrote long before it asked. If not, this
   * process reads one server and writes to another, as after a failover behind one address. What
   * others revoke is not there either. Throws at first, so that the next reading is over a new
   * connection. If that does not have the entry either, the log has lost it. From the first time on
   * this process does not count as synced until it has read an entry of its own.
   */
  #checkConfirmedEntries(sentAt: number): boolean {
    if (!this.#writer.lacksConfirmedBefore(sentAt - this.#rules.maxAgeWhileUnsynced * 1000)) {
      return true;
    }
    this.#missedReadings += 1;
    this.#mustReadOwnEntry = true;
    this.#mustReconnect = true;
    this.#revocations.markUnsynced();
    if (this.#missedReadings === 2) {
      this.#startAgainWithLoss();
      return false;
    }
    if (this.#missedReadings > 2) {
      // The log's header states the loss already. Another entry shows whether a new connection is to the
      // right server.
      this.#writer.startAgain();
    }
    throw new TellableError('what this process wrote into it is not in what it reads');
  }

  /** Returns whether this process must not go on before it has read an entry of its own. */
  async #awaitOwnEntry(): Promise<boolean> {
    if (!this.#mustReadOwnEntry) {
      return false;
    }
    if (!this.#writer.hasUnread) {
      await this.#writePlain().catch((error: unknown) => this.#writeFailed(error));
    }
    await this.#log.pause(POLL_PAUSE);
    return true;
  }

  #applyHeader({ completeSince }: LogHeader, isNew: boolean): void {
    if (!this.#hasJoined) {
      this.#revocations.markCompleteOnlySince(completeSince);
      this.#newestAt = isNew ? Date.now() : 0;
    }
  }

  /**
   * Returns whether a page is of the log that this process knows, and follows what it has read. If
   * not, handles the loss: the page must not be read.
   */
  async #checkPage(page: RevocationLogPage): Promise<boolean> {
    const lastRead = this.#position ?? '';
    const lastGiven = page.lastGiven ?? '';
    const isSameLog = this.#header.isOfSameLog(page.header);
    const hasLostEntries = !page.hasPrecedingEntry || lastGiven < lastRead;
    if (!isSameLog || hasLostEntries) {
      this.#header.setLoss(isSameLog);
      this.#problems.reportIncomplete();
      this.#startAgain();
      return false;
    }
    if (!this.#header.isSame(page.header)) {
      const completeSince = await this.#header.take(page.header ?? '');
      if (completeSince > this.#revocations.completeSince) {
        // Another process has found a loss. What was lost may be what this process has not read,
        // and what it has read may be gone.
        this.#problems.reportMayLackEntries('another process has found that it lost entries');
        this.#startAgain();
        return false;
      }
    }
    if (page.entries.length === 0 && lastRead < lastGiven) {
      await this.#handleMissingEnd(page.lastGiven);
      return false;
    }
    return true;
  }

  /**
   * If a process reads past the position of an entry of its own without reading it, the entry was taken away,
   * or another one is in its place.
   */
  #checkOwnEntries(): void {
    if (this.#writer.hasMissed(this.#position)) {
      this.#problems.reportChanged();
      this.#hasConflict = true;
      this.#writer.startAgain();
      this.#join.askAgainUnlessRead();
    }
  }

  /**
   * The log has given positions later than those of its entries: the newest entries were deleted.
   * The next entry ends that.
   */
  async #handleMissingEnd(lastGiven: string | undefined): Promise<void> {
    if (this.#missingEnd !== lastGiven) {
      this.#missingEnd = lastGiven;
      this.#startAgainWithLoss();
      return;
    }
    try {
      await this.#writePlain();
    } catch (error) {
      await this.#writeFailed(error);
    }
  }

  /**
   * What was revoked until now may be unknown here: no token from before is accepted by its
   * signature alone, and what is known of them is void.
   */
  #markIncompleteUntilNow(): void {
    this.#revocations.markGap();
    this.#syncedSince &&= Date.now();
    this.#isComparisonSettled = true;
  }

  /** The log lost entries that a process of the fleet has read or written. */
  #startAgainWithLoss(): void {
    this.#header.setLoss(true);
    this.#problems.reportIncomplete();
    this.#startAgain();
  }

  /**
   * The log is another one, or lost entries. What this process remembers is written into it again.
   * What another process wrote since this one read the log last may be lost for good, if that
   * process has ended: no later entry can prove that there was nothing.
   */
  #startAgain(): void {
    this.#mayLackEntries = true;
    this.#markIncompleteUntilNow();
    this.#hasConflict = false;
    this.#answers.clear();
    this.#join.forgetPing();
    this.#header.forget();
    this.#position = undefined;
    this.#attestations.startAgain(this.#hasJoined);
    this.#sequence.clear();
    this.#isCatchingUp = true;
    this.#writer.startAgain();
    this.#revocations.markLogReplaced();
    this.#upkeep.writeLackingSoon();
  }

  /**
   * The log may have lost entries without a trace. Once it is read to its end, this process accepts
   * no token from before by its signature alone.
   */
  #suspectLoss(why: string): void {
    if (!this.#mayLackEntries) {
      this.#mayLackEntries = true;
      this.#problems.reportMayLackEntries(why);
    }
  }

  async #finishReading(sentAt: number): Promise<void> {
    if (!(await this.#continueJoin(sentAt))) {
      return;
    }
    if (this.#mayLackEntries || this.#hasConflict) {
      await this.#settleLoss();
    }
    if (this.#isReturning) {
      this.#isReturning = false;
      const quiet = this.#quietPeriods.takeLast(this.#newestAt);
      if (quiet !== undefined) {
        // What this process knew is void, whichever process has reported the period.
        this.#markIncompleteUntilNow();
        this.#problems.reportQuiet(quiet);
      }
    }
    if (!this.#hasJoined) {
      this.#completeJoin();
    }
    this.#isCatchingUp = false;
    this.#answers.answerSoon();
    this.#revocations.markRead(this.#position, sentAt);
    if (this.#isUnreadable) {
      this.#isUnreadable = false;
      this.#problems.reportReadAgain();
    }
    this.#readToEndAt = sentAt;
    this.#registration.show();
    this.#problems.reportClock(this.#revocations.completeSince, this.#newestAt);
    try {
      if (this.#mustSealHeader) {
        await this.#header.sealAgain(this.#writtenVersion);
        this.#mustSealHeader = false;
      }
      await this.#upkeep.writeWhatLacks();
      this.#isUnwritable = false;
    } catch (error) {
      await this.#writeFailed(error);
    }
  }

  /**
   * Takes the next step of joining: asks, or waits a moment. Returns whether this process has joined,
   * or may join: it has read its `join` entry, and a process that runs has answered, or had the time
   * to.
   */
  async #continueJoin(sentAt: number): Promise<boolean> {
    if (!this.#join.hasAsked) {
      await this.#askToJoin();
      return false;
    }
    if (!this.#join.hasReadJoin) {
      this.#join.askAgainIfLate();
      await this.#log.pause(POLL_PAUSE);
      return false;
    }
    const waits = !(
      this.#hasJoined ||
      this.#isComparisonSettled ||
      this.#mayLackEntries ||
      this.#hasConflict
    );
    if (waits && this.#join.expectsAnswer && performance.now() - sentAt > ANSWER_TIME / 2) {
      // What kept this process from reading may have kept the others from answering.
      if (this.#join.extend()) {
        this.#suspectLoss('it did not answer while another process could have told what it has lost');
      }
    }
    if (waits && !this.#mayLackEntries && this.#join.isWaiting) {
      // The end of the log is read again and again until then.
      await this.#log.pause(POLL_PAUSE);
      return false;
    }
    if (
      !this.#hasJoined &&
      !this.#isComparisonSettled &&
      this.#join.expectsAnswer &&
      this.#hasForeignEntries
    ) {
      // Other processes run, and a forged entry may be in the place of their answer.
      this.#suspectLoss('it has forged entries, and no running process answers');
    }
    return true;
  }

  /**
   * Writes for all running processes what this one has read in the log. A process that has read other entries
   * gives the log another header; the others answer with what they have read. Without a `join` entry this
   * process does not join, because no other process could object.
   */
  async #askToJoin(): Promise<void> {
    if (!this.#join.hasReadJoin) {
      try {
        await this.#writePlain('join');
      } catch (error) {
        // It may be in the log all the same, as where replicas do not answer: then it is read next.
        await this.#writeFailed(error);
        return;
      }
    }
    this.#join.markJoinWritten(Date.now() - this.#othersWroteAt < QUIET_TIME);
    await this.#log.pause(OBJECTION_TIME);
  }

  /** The log may have lost more until it was read to its end, which it is now. */
  async #settleLoss(): Promise<void> {
    const hasConflict = this.#hasConflict;
    this.#mayLackEntries = false;
    this.#hasConflict = false;
    this.#markIncompleteUntilNow();
    if (hasConflict) {
      // The process that has read more learns from this what the log lacks, and writes it again.
      await this.#writePlain('join').catch(() => undefined);
    }
  }

  #completeJoin(): void {
    this.#hasJoined = true;
    this.#revocations.markCompleteOnlySince(this.#header.completeSince);
    const now = Date.now();
    if (this.#writtenVersion > this.#header.currentVersion) {
      this.#revocations.markCompleteOnlySince(now);
      this.#problems.reportHeaderIsOlder();
    }
    this.#syncedSince = now;
    const quiet = this.#quietPeriods.takeLast(this.#newestAt);
    if (quiet !== undefined) {
      this.#revocations.markCompleteOnlySince(quiet.to);
      if (!quiet.isReported) {
        this.#problems.reportQuiet(quiet);
      }
    }
    if (this.#lateFirstAt !== undefined && !this.#isComparisonSettled) {
      this.#problems.reportLateFirstEntry(this.#lateFirstAt);
    }
    if (this.#revocations.completeSince > this.#startedAt - CLOCK_DIFFERENCE) {
      // This process may have asked before it joined, and the log may lack what was revoked since.
      this.#revocations.markJoinedLate();
    }
  }

  /**
   * Whether this process read the log to its end a moment ago. If not, it may have missed entries: its own
   * entries must not say that it knows all revocations until it has read the log to its end again. Half of
   * `QUIET_TIME` is left for an entry that is under way.
   */
  get #isReadLately(): boolean {
    return !this.#isReturning && performance.now() - this.#readToEndAt < QUIET_TIME / 2;
  }

  /** Writes an entry without a notice. */
  #writePlain(kind?: Attestation['kind']): Promise<void> {
    return this.#upkeep.write(undefined, kind);
  }

  async #writeFailed(error: unknown): Promise<void> {
    if (!this.#isUnwritable && !this.#closing.signal.aborted) {
      this.#isUnwritable = true;
      this.#problems.reportUnwritable(error);
    }
    await this.#log.pause(RETRY_INTERVAL);
  }

  #receive(position: string, sealed: string): void {
    this.#position = position;
    const text = this.#seals.openEntry(sealed);
    const entry = text === undefined ? undefined : parseEntry(text);
    if (entry === undefined) {
      this.#hasForeignEntries = true;
      this.#problems.reportForeignEntry();
      return;
    }
    const order = this.#sequence.add(position, entry);
    if (order === 'replayed') {
      this.#hasForeignEntries = true;
      this.#problems.reportReplayedEntry();
      return;
    }
    const isOwn = this.#isOwn(entry);
    this.#noteSignOfLife(position, entry, isOwn);
    this.#writtenVersion = Math.max(this.#writtenVersion, entry.version);
    if (order === 'gap') {
      this.#problems.reportLostEntries();
      this.#markIncompleteUntilNow();
    }
    this.#receiveTime(entry, isOwn);
    if (entry.attested !== undefined) {
      this.#receiveAttestation(entry.attested, position);
    }
    if (entry.notice !== undefined) {
      this.#receiveNotice(entry.notice, entry, position);
    }
  }

  #isOwn({ writer, attested }: LogEntry): boolean {
    return writer === this.#writer.id || (attested !== undefined && this.#attestations.isOwn(attested));
  }

  /** An entry is a sign that its writer runs, whatever it says. */
  #noteSignOfLife(position: string, { writer, attested, syncedSince }: LogEntry, isOwn: boolean): void {
    if (this.#writer.markRead(position, writer)) {
      this.#missedReadings = 0;
      this.#mustReadOwnEntry = false;
    }
    if (isOwn && attested?.kind !== 'ping') {
      // Not after a ping: what other processes attest then may be older than what this process has read
      // since.
      this.#attestations.markOwnRead(position);
    }
    if (!isOwn) {
      this.#join.noteOtherWriter();
    }
    if (!isOwn && syncedSince !== undefined) {
      this.#answers.notePingAnswer();
    }
  }

  #receiveTime({ writer, at, syncedSince }: LogEntry, isOwn: boolean): void {
    if (!this.#hasJoined || this.#isReturning) {
      if (this.#newestAt === 0) {
        this.#receiveFirst(at);
      } else {
        this.#quietPeriods.noteBetween(this.#newestAt, at, isOwn);
      }
      if (syncedSince !== undefined) {
        this.#quietPeriods.noteSyncedSince(syncedSince);
      }
    }
    this.#newestAt = Math.max(this.#newestAt, at);
    if (writer !== this.#writer.id) {
      this.#othersWroteAt = Math.max(this.#othersWroteAt, at);
    }
  }

  /**
   * Entries are trimmed only if they are old. So if the first entry is young, the log was begun with it, the
   * fleet was down before, or the log lost earlier entries.
   */
  #receiveFirst(at: number): void {
    const isYoung = at > this.#attestations.youngSince;
    if (!isYoung) {
      return;
    }
    this.#revocations.markCompleteOnlySince(at);
    if (at - this.#header.completeSince > QUIET_TIME) {
      this.#lateFirstAt = at;
    }
  }

  #receiveNotice(
    notice: RevocationNotice,
    { noticeAge, noticeCalls }: Pick<LogEntry, 'noticeAge' | 'noticeCalls'>,
    position: string,
  ): void {
    const latest = Date.now() - noticeAge;
    // What comes just now was revoked `noticeAge` ago, also by a process whose clock is behind. One whose
    // clock is ahead must not revoke what was issued later.
    const isOld = this.#isCatchingUp || this.#isUnreadable;
    const at = Math.min(isOld ? notice.at : Math.max(notice.at, latest), latest + CLOCK_DIFFERENCE);
    this.#ownUnread.markRead(notice);
    if (this.#revocations.add(notice, position, { at, age: noticeAge })) {
      for (let call = 0; call < noticeCalls; call += 1) {
        publishRevocation(notice.revocation, 'log');
      }
    }
  }

  #receiveAttestation(attested: Attestation, position: string): void {
    const { kind } = attested;
    if (this.#attestations.isOwn(attested)) {
      this.#receiveOwnAttestation(attested, position);
      return;
    }
    if (kind === 'ping' || kind === 'join') {
      this.#receiveRequest(kind, position);
    }
    const comparison = kind === 'ping' ? 'unrelated' : this.#attestations.compare(attested);
    if (comparison === 'other') {
      this.#hasConflict = true;
      this.#problems.reportChanged();
    } else if (comparison !== 'unrelated' && kind !== 'join') {
      this.#receiveComparison(attested, comparison);
    }
  }

  #receiveOwnAttestation(attested: Attestation, position: string): void {
    const { kind } = attested;
    if (kind === 'ping') {
      this.#join.markPingRead();
      return;
    }
    this.#attestations.markOwnAttestationRead(attested);
    if (kind === 'join') {
      this.#join.markJoinRead(position);
    }
  }

  /** A process that starts asks this one, which answers once it has read the log to its end. */
  #receiveRequest(kind: 'ping' | 'join', position: string): void {
    if (!this.#hasJoined) {
      return;
    }
    if (kind === 'ping') {
      this.#answers.addPing();
    } else {
      this.#answers.addJoin(position);
    }
    if (!this.#isCatchingUp && !this.#isReturning) {
      this.#answers.answerSoon();
    }
  }

  /**
   * A process that runs has read the same entries as this one, or what it has read can not be
   * compared.
   */
  #receiveComparison(attested: Attestation, comparison: 'same' | 'unknown'): void {
    const { kind, upTo = '' } = attested;
    if (comparison === 'same') {
      this.#attestations.markAgreed();
      if (kind === 'answer') {
        this.#answers.noteAnswerUpTo(upTo);
      }
    }
    if (this.#isComparisonSettled || kind === 'heartbeat') {
      return;
    }
    if (comparison === 'same' && this.#attestations.coversOwn(attested)) {
      this.#isComparisonSettled = true;
      // That process does not speak of what was before.
      const since = this.#attestations.comparedSince(attested);
      const { explainsUntil } = this.#quietPeriods;
      if (since > (this.#syncedSince ?? Math.max(this.#revocations.completeSince, explainsUntil))) {
        this.#problems.reportMayLackEntries('a running process does not know all of what was in it before');
      }
      if (this.#syncedSince !== undefined && since > this.#syncedSince) {
        // It found a loss after this process had joined.
        this.#markIncompleteUntilNow();
      }
      this.#revocations.markCompleteOnlySince(since);
    } else {
      this.#suspectLoss('what a running process has read in it can not be compared');
    }
  }
}
