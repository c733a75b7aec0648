import type { Attestation } from './entry-history.js';
import { QUIET_TIME, READ_WAIT } from './log-timing.js';
import type { LogWriter } from './log-writer.js';
import type { OwnUnreadNotices } from './own-unread-notices.js';
import type { KnownNotice, RevocationNotice, Revocations } from './revocations.js';

/** Milliseconds between two heartbeats of a fleet. */
const HEARTBEAT_INTERVAL = 20_000;
/**
 * A process checks whether a heartbeat is due after `SHORTEST_WAIT` of the interval, and up to
 * `RANDOM_WAIT` of it later, at random.
 */
const SHORTEST_WAIT = 0.75;
const RANDOM_WAIT = 0.5;
/**
 * Milliseconds. Each process writes an entry of its own so often at least, whatever other processes
 * write: only by what it wrote itself it notices that it reads another server than it writes to.
 */
const OWN_ENTRY_INTERVAL = 60_000;
/** Milliseconds for which a process writes entries again before it reads on. */
const WRITE_SLICE = 100;

export interface LogUpkeepParts {
  readonly writer: LogWriter;
  readonly revocations: Revocations;
  /** What this process wrote lately. */
  readonly ownUnread: OwnUnreadNotices;
  /** Whether this process need not ask any more what a running process has read. */
  readonly isComparisonSettled: () => boolean;
  /** Milliseconds since the log was last attested. */
  readonly attestationAge: () => number;
  /** When the newest entry was written, in milliseconds since the epoch; undefined without any. */
  readonly newestAt: () => number | undefined;
  /** This process could not ask for a minute what the others have read. */
  readonly onCannotAsk: () => void;
}

/** Writes into the log what it lacks, and heartbeats: entries that show that the fleet runs. */
export class LogUpkeep {
  readonly #parts: LogUpkeepParts;
  /**
   * When this process writes what the log lacks, by the monotonic clock. Other processes may write it before.
   */
  #writeLackingAt = Number.POSITIVE_INFINITY;
  /** Whether what this process wrote lately may be lost, and has to be written again. */
  #mustRewriteRecent = false;
  /** What is left to write again; undefined before the first of it is written. */
  #toRewrite: KnownNotice[] | undefined;
  /** Whether an entry without a notice could not be written: a heartbeat, a question or an answer. */
  #owesPlainEntry = false;
  #heartbeat: NodeJS.Timeout | undefined;
  /**
   * Since when this process can not ask again what the others have read, by the monotonic clock;
   * undefined while it can.
   */
  #cannotAskSince: number | undefined;

  constructor(parts: LogUpkeepParts) {
    this.#parts = parts;
  }

  /**
   * Writes an entry ahead of all waiting revocations. Rejects if this fails: what the log then lacks is
   * written later.
   */
  write(known: KnownNotice | undefined, kind?: Attestation['kind']): Promise<void> {
    return this.#written(this.#parts.writer.write(known, kind), known?.notice);
  }

  /**
   * Writes a revocation of this process. If the caller gives up waiting before that, the revocation is
   * written later, with what else the log lacks.
   */
  publish(notice: RevocationNotice, givenUp: AbortSignal): Promise<void> {
    return this.#written(this.#parts.writer.publish(notice, givenUp), notice);
  }

  async #written(writing: Promise<void>, notice: RevocationNotice | undefined): Promise<void> {
    try {
      await writing;
      this.#owesPlainEntry = false;
    } catch (error) {
      this.#writeLackingAt = Math.min(this.#writeLackingAt, performance.now() + READ_WAIT);
      this.#owesPlainEntry ||= notice === undefined;
      throw error;
    }
  }

  /** The log is another one, or lost entries: what it lacks is written within a second. */
  writeLackingSoon(): void {
    this.#writeLackingAt = performance.now() + Math.random() * READ_WAIT;
  }

  /** The server that is asked from now on may not have what this process wrote lately. */
  rewriteOwnUnread(): void {
    this.#mustRewriteRecent = true;
    this.#toRewrite = undefined;
  }

  /** Writes what the log lacks, if it is time for that. Rejects if it can't be written. */
  async writeWhatLacks(): Promise<void> {
    await this.#writeLacking();
    if (this.#mustRewriteRecent) {
      await this.#rewriteSome();
    }
    this.#heartbeat ??= this.#nextHeartbeat();
  }

  /**
   * Writes again some of what this process wrote lately. The rest follows after the next reading, which must
   * not wait until all is written.
   */
  async #rewriteSome(): Promise<void> {
    // Reversed, as `pop()` takes the last: the oldest is written first. The list is made once. What is
    // revoked later goes to the new server anyway.
    const left = this.#toRewrite ?? this.#parts.ownUnread.all().reverse();
    // Set again below if no write fails: after a failure the list is made from the beginning.
    this.#toRewrite = undefined;
    const until = performance.now() + WRITE_SLICE;
    for (let known = left.pop(); known !== undefined; known = left.pop()) {
      await this.write(known);
      if (performance.now() >= until) {
        break;
      }
    }
    if (left.length > 0) {
      this.#toRewrite = left;
      return;
    }
    this.#mustRewriteRecent = false;
    await this.#writeHeartbeat();
  }

  close(): void {
    clearTimeout(this.#heartbeat);
  }

  /** Writes what this process remembers and the log does not have. */
  async #writeLacking(): Promise<void> {
    if (performance.now() < this.#writeLackingAt) {
      return;
    }
    const lacking = this.#parts.revocations.noticesOutsideLog();
    // Processes that write at the same time begin at different places, and read in between what other
    // processes have written.
    const from = Math.floor(Math.random() * lacking.length);
    const until = performance.now() + WRITE_SLICE;
    for (const known of [...lacking.slice(from), ...lacking.slice(0, from)]) {
      if (performance.now() >= until) {
        this.#writeLackingAt = 0;
        return;
      }
      await this.write(known);
    }
    if (this.#owesPlainEntry) {
      await (this.#parts.isComparisonSettled() ? this.write(undefined) : this.#askAgain());
    }
    this.#writeLackingAt = Number.POSITIVE_INFINITY;
  }

  /** Writes from time to time that the fleet runs, unless another process did a moment ago. */
  #nextHeartbeat(): NodeJS.Timeout {
    const inMilliseconds = HEARTBEAT_INTERVAL * (SHORTEST_WAIT + Math.random() * RANDOM_WAIT);
    return setTimeout(() => {
      // A log that can't be written is reported by the reading.
      void this.#writeHeartbeat().catch(() => undefined);
      this.#heartbeat = this.#nextHeartbeat();
    }, inMilliseconds).unref();
  }

  async #writeHeartbeat(): Promise<void> {
    const { writer, isComparisonSettled, attestationAge, newestAt } = this.#parts;
    if (!isComparisonSettled()) {
      // This process joined without an answer. A running process may have been kept from answering.
      await this.#askAgain();
      return;
    }
    const newest = newestAt();
    // A log without any entry would look like one whose entries were deleted.
    const isQuiet = newest === undefined || Date.now() - newest >= HEARTBEAT_INTERVAL / 2;
    // The next check may come too late.
    const longestWait = HEARTBEAT_INTERVAL * (SHORTEST_WAIT + RANDOM_WAIT);
    const isOwnDue = performance.now() - writer.lastConfirmedAt >= OWN_ENTRY_INTERVAL - longestWait;
    // Entries without an attestation do not count as heartbeats. Otherwise an attacker who causes such
    // entries could keep processes from comparing what they have read.
    if (isQuiet || isOwnDue || attestationAge() >= HEARTBEAT_INTERVAL / 2) {
      await this.write(undefined, 'heartbeat');
    }
  }

  /** Asks the other processes once more what they have read. */
  async #askAgain(): Promise<void> {
    const now = performance.now();
    try {
      await this.write(undefined, 'join');
      this.#cannotAskSince = undefined;
    } catch (error) {
      // A failover takes less time. What keeps this process from asking for longer may also keep another
      // process from stating what the log has lost.
      this.#cannotAskSince ??= now;
      if (now - this.#cannotAskSince > QUIET_TIME) {
        this.#parts.onCannotAsk();
        this.#cannotAskSince = undefined;
      }
      throw error;
    }
  }
}
