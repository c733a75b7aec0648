import { randomUUID } from 'node:crypto';
import { TellableError } from '../errors.js';
import { GrowingPause } from './growing-pause.js';
import type { LogProblems } from './log-problems.js';
import type { LogHeader, LogSeals } from './log-seals.js';
import { QUIET_TIME, RETRY_INTERVAL } from './log-timing.js';
import type { TimeLimitedLog } from './time-limited-log.js';

/** Processes that give the log a header at the same time give it versions that differ by less. */
const SAME_TIME = 5_000;
/** Milliseconds between two replacements of headers that another secret sealed, at most. */
const MAX_REPLACE_PAUSE = 60_000;
/**
 * If a process finds this many older headers within a minute, the log was set back: a few older headers
 * are only those that other processes wrote at that moment.
 */
const MAX_REPLACEMENTS = 5;

export interface LogHeaderRules {
  readonly log: TimeLimitedLog;
  readonly seals: LogSeals;
  readonly problems: LogProblems;
  /**
   * Writes an entry, by which each process learns the version of the newest header. Never rejects.
   */
  readonly announce: () => Promise<void>;
  /** The log may have been set back with its header. */
  readonly onSetBack: () => void;
}

/**
 * The header of the log, which says since when the log is complete. A process that finds a loss gives
 * the log a header with a greater version.
 */
export class LogHeaderKeeper {
  readonly #rules: LogHeaderRules;
  /** The header of the log, sealed. */
  #sealed: string | undefined;
  /** The greatest version that a header of the log had. */
  #version = 0;
  /** When this process replaced older headers, by the monotonic clock: the last `MAX_REPLACEMENTS` times. */
  #replacedAt: number[] = [];
  /**
   * Two fleets with other secrets, or a process that knows only the new secret too early, would replace
   * each other's headers as fast as they can. Each replacement is a loss for the other.
   */
  readonly #foreign = new GrowingPause(RETRY_INTERVAL, MAX_REPLACE_PAUSE);
  /** Whether the log's header must not say any more that it is complete. */
  #hasLostEntries = false;

  constructor(rules: LogHeaderRules) {
    this.#rules = rules;
  }

  /** The greatest version that a header of the log had. */
  get version(): number {
    return this.#version;
  }

  /** The version of the header that the log has. */
  get currentVersion(): number {
    return this.#rules.seals.versionOf(this.#sealed);
  }

  get isKnown(): boolean {
    return this.#sealed !== undefined;
  }

  /** In milliseconds since the epoch, by the header that the log has. */
  get completeSince(): number {
    return this.completeSinceOf(this.#sealed);
  }

  completeSinceOf(header: string | undefined): number {
    return this.#rules.seals.openHeader(header)?.completeSince ?? 0;
  }

  isSame(header: string | undefined): boolean {
    return header !== undefined && header === this.#sealed;
  }

  /** Whether a header is of the same log, though it may be another header. */
  isOfSameLog(header: string | undefined): boolean {
    return this.isSame(header) || (header !== undefined && this.#idOf(header) === this.#idOf(this.#sealed));
  }

  /** The log must be opened again. */
  forget(): void {
    this.#sealed = undefined;
  }

  /** Whether the log lost entries, so that its next header must not say that it is complete. */
  setLoss(hasLostEntries: boolean): void {
    this.#hasLostEntries = hasLostEntries;
  }

  /**
   * Takes the header that the log has, or gives it one.
   *
   * @param onHeader called with the header that the log had, and with whether this process gave it
   */
  async readOrSet(onHeader: (header: LogHeader, isNew: boolean) => void): Promise<void> {
    const { log, seals, problems, announce } = this.#rules;
    const own = seals.sealHeader({
      id: randomUUID(),
      completeSince: Date.now(),
      version: this.#nextVersion(),
    });
    let header = await log.setHeader(own, false);
    if (seals.openHeader(header)?.completeSince === undefined) {
      if (!this.#foreign.hasPassed) {
        throw sealedByAnother();
      }
      this.#foreign.next();
      problems.reportForeignHeaderReplaced();
      header = await log.setHeader(own, true);
    } else if (seals.versionOf(header) < this.#version && !this.#hasLostEntries) {
      problems.reportOlderHeaderReplaced();
      header = await log.setHeader(own, true);
    }
    const opened = seals.openHeader(header);
    if (opened === undefined) {
      throw sealedByAnother();
    }
    if (this.#hasLostEntries) {
      // A process that starts must not take the log for complete before it is.
      header = await this.#replace({ id: opened.id, completeSince: Date.now() });
      this.#hasLostEntries = false;
      // Announced at once, so that other processes know the version even if the old header is put back.
      await announce();
    }
    this.#sealed = header;
    this.#version = Math.max(this.#version, seals.versionOf(header));
    onHeader(opened, header === own);
  }

  /**
   * Takes the header that another process gave the log. Replaces a header that does not state what the log
   * has lost, such as an older one. Returns since when the log is complete by the header that was taken, or 0
   * if it was replaced.
   */
  async take(header: string): Promise<number> {
    const { seals, problems, announce, onSetBack } = this.#rules;
    const version = seals.versionOf(header);
    const known = seals.openHeader(this.#sealed);
    const isComplete = this.completeSinceOf(header) >= (known?.completeSince ?? 0);
    if ((version >= this.#version && isComplete) || known === undefined) {
      this.#sealed = header;
      this.#version = Math.max(this.#version, version);
      return this.completeSince;
    }
    // A header with a greater version that states less loss was not written by a process that found a loss:
    // it is replaced too, by one with a version that is greater still.
    this.#version = Math.max(this.#version, version);
    // Processes that write a header at the same moment replace each other's header, but not for long.
    this.#replacedAt = [...this.#replacedAt, performance.now()].slice(-MAX_REPLACEMENTS);
    const [earliest = 0] = this.#replacedAt;
    const isOften = this.#replacedAt.length === MAX_REPLACEMENTS && performance.now() - earliest < QUIET_TIME;
    if (this.#version - version > SAME_TIME || isOften) {
      this.#replacedAt = [];
      problems.reportOlderHeaderReplaced();
      onSetBack();
    }
    const replacement = await this.#replace(known);
    // If another process reported a loss meanwhile, the next page brings its header again.
    if (this.completeSinceOf(replacement) <= known.completeSince) {
      this.#sealed = replacement;
    }
    // So a process that starts finds out that the header it read is not the newest.
    await announce();
    return 0;
  }

  /**
   * Seals the header of the log by the first secret, so that a process without the old ones opens it.
   * Only a process that has just joined may do so, or processes with other lists would replace each
   * other's headers for ever.
   *
   * Another process may write a header that reports a loss at the same moment, and this header may overwrite
   * it. The version of this header is lower: it is only one greater than the version that was read. So
   * processes that know the report see that this header is older, and replace it.
   *
   * @param writtenVersion the greatest version that the writer of an entry knew
   */
  async sealAgain(writtenVersion: number): Promise<void> {
    const { log, seals } = this.#rules;
    const opened = seals.openHeader(this.#sealed);
    const isNewest = opened?.version === this.#version && writtenVersion <= this.#version;
    if (opened === undefined || !isNewest || seals.isHeaderOfFirstSecret(this.#sealed)) {
      return;
    }
    const version = opened.version + 1;
    const sealed = seals.sealHeader({ ...opened, version });
    // If another process replaced the header meanwhile, the next page brings that one, and `take`
    // reads it.
    if ((await log.setHeader(sealed, true)) === sealed) {
      this.#sealed = sealed;
      this.#version = version;
    }
  }

  /** Gives the log another header in place of the one that it has. */
  async #replace(header: Omit<LogHeader, 'version'>): Promise<string> {
    const { log, seals } = this.#rules;
    const version = this.#nextVersion();
    const replacement = await log.setHeader(seals.sealHeader({ ...header, version }), true);
    // Not before: entries of this process must not speak of a header that the log does not have.
    this.#version = Math.max(this.#version, version);
    return replacement;
  }

  #nextVersion(): number {
    return Math.max(this.#version + 1, Date.now());
  }

  #idOf(header: string | undefined): string | undefined {
    return this.#rules.seals.openHeader(header)?.id;
  }
}

function sealedByAnother(): TellableError {
  return new TellableError('its header was not sealed with revocations.secret');
}
