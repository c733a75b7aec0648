import { randomUUID } from 'node:crypto';
import { TellableError } from '../errors.js';
import { GrowingPause } from './growing-pause.js';
import type { LogProblems } from './log-problems.js';
import type { LogName, LogSeals } from './log-seals.js';
import { QUIET_TIME, RETRY_INTERVAL } from './log-timing.js';
import type { TimedLog } from './timed-log.js';

/** Processes that give the log a name at the same time give it versions that differ by less. */
const SAME_TIME = 5_000;
/** Milliseconds between two replacements of names that another secret sealed, at most. */
const MAX_REPLACE_PAUSE = 60_000;
/**
 * If a process finds this many older names within a minute, other processes did not just give them at
 * the same time: the log was set back.
 */
const MAX_RENAMES = 5;

export interface NamingRules {
  readonly log: TimedLog;
  readonly seals: LogSeals;
  readonly problems: LogProblems;
  /**
   * Writes an entry, by which each process learns the version of the newest name. Never rejects.
   */
  readonly announce: () => Promise<void>;
  /** The log may have been set back with its name. */
  readonly onSetBack: () => void;
}

/**
 * The name of the log, which says since when the log is complete. A process that finds a loss gives
 * the log a name with a greater version.
 */
export class LogNaming {
  readonly #rules: NamingRules;
  #name: string | undefined;
  /** The greatest version that a name of the log had. */
  #version = 0;
  /** When this process last replaced an older name, by the monotonic clock; some times at most. */
  #renamedAt: number[] = [];
  /**
   * Two fleets with other secrets, or a process that has the new secret alone too early, would replace
   * each other's names as fast as they can. Each replacement is a loss for the other.
   */
  readonly #foreign = new GrowingPause(RETRY_INTERVAL, MAX_REPLACE_PAUSE);
  /** Whether the log's name must not say any more that it is complete. */
  #hasLostEntries = false;

  constructor(rules: NamingRules) {
    this.#rules = rules;
  }

  /** The greatest version that a name of the log had. */
  get version(): number {
    return this.#version;
  }

  /** The version of the name that the log has. */
  get currentVersion(): number {
    return this.#rules.seals.versionOf(this.#name);
  }

  get isKnown(): boolean {
    return this.#name !== undefined;
  }

  /** In milliseconds since the epoch, by the name that the log has. */
  get completeSince(): number {
    return this.completeSinceOf(this.#name);
  }

  completeSinceOf(name: string | undefined): number {
    return this.#rules.seals.openName(name)?.completeSince ?? 0;
  }

  isSame(name: string | undefined): boolean {
    return name !== undefined && name === this.#name;
  }

  /** Whether a name is of the same log, though it may be another name. */
  isOfSameLog(name: string | undefined): boolean {
    return this.isSame(name) || (name !== undefined && this.#idOf(name) === this.#idOf(this.#name));
  }

  /** The log must be opened again. */
  forget(): void {
    this.#name = undefined;
  }

  /** Whether the log lost entries, so that its next name must not say that it is complete. */
  setLoss(hasLostEntries: boolean): void {
    this.#hasLostEntries = hasLostEntries;
  }

  /**
   * Takes the name that the log has, or gives it one.
   *
   * @param onNamed called with the name that the log had, and with whether this process gave it
   */
  async open(onNamed: (named: LogName, isNew: boolean) => void): Promise<void> {
    const { log, seals, problems, announce } = this.#rules;
    const own = seals.sealName({
      id: randomUUID(),
      completeSince: Date.now(),
      version: this.#nextVersion(),
    });
    let name = await log.open(own, false);
    if (seals.openName(name)?.completeSince === undefined) {
      if (!this.#foreign.hasPassed) {
        throw sealedByAnother();
      }
      this.#foreign.next();
      problems.reportForeignNameReplaced();
      name = await log.open(own, true);
    } else if (seals.versionOf(name) < this.#version && !this.#hasLostEntries) {
      problems.reportOlderNameReplaced();
      name = await log.open(own, true);
    }
    const named = seals.openName(name);
    if (named === undefined) {
      throw sealedByAnother();
    }
    if (this.#hasLostEntries) {
      // A process that starts must not take it for complete, until it is.
      name = await this.#rename({ id: named.id, completeSince: Date.now() });
      this.#hasLostEntries = false;
      // It knows so at once, also where the name is changed back.
      await announce();
    }
    this.#name = name;
    this.#version = Math.max(this.#version, seals.versionOf(name));
    onNamed(named, name === own);
  }

  /**
   * Takes the name that another process gave the log. One that does not say what the log has lost,
   * as an older one, is replaced. Returns since when the log is complete by a name that was taken,
   * and 0 for one that was replaced.
   */
  async take(name: string): Promise<number> {
    const { seals, problems, announce, onSetBack } = this.#rules;
    const version = seals.versionOf(name);
    const known = seals.openName(this.#name);
    const isComplete = this.completeSinceOf(name) >= (known?.completeSince ?? 0);
    if ((version >= this.#version && isComplete) || known === undefined) {
      this.#name = name;
      this.#version = Math.max(this.#version, version);
      return this.completeSince;
    }
    // A later name that says less is not one that such a process gave.
    this.#version = Math.max(this.#version, version);
    // Processes that give the log a name at the same time replace each other's, but not for long.
    this.#renamedAt = [...this.#renamedAt, performance.now()].slice(-MAX_RENAMES);
    const [earliest = 0] = this.#renamedAt;
    const isOften = this.#renamedAt.length === MAX_RENAMES && performance.now() - earliest < QUIET_TIME;
    if (this.#version - version > SAME_TIME || isOften) {
      this.#renamedAt = [];
      problems.reportOlderNameReplaced();
      onSetBack();
    }
    const renamed = await this.#rename(known);
    // If another process reported a loss meanwhile, the next page brings its name again.
    if (this.completeSinceOf(renamed) <= known.completeSince) {
      this.#name = renamed;
    }
    // A process that starts finds out that the name that it read is not the newest.
    await announce();
    return 0;
  }

  /**
   * Seals the name of the log by the first secret, so that a process without the old ones opens it.
   * Only a process that has just joined may do so, or processes with other lists would replace each
   * other's names for ever.
   *
   * Redis may have got a name meanwhile that reports a loss. That one has the later version: this
   * one is only one later than the name that was read. So processes take the log for one that was
   * set back, and replace the name.
   *
   * @param writtenVersion the greatest version that the writer of an entry knew
   */
  async sealAgain(writtenVersion: number): Promise<void> {
    const { log, seals } = this.#rules;
    const name = seals.openName(this.#name);
    const isNewest = name?.version === this.#version && writtenVersion <= this.#version;
    if (name === undefined || !isNewest || seals.isNameOfFirstSecret(this.#name)) {
      return;
    }
    const version = name.version + 1;
    const sealed = seals.sealName({ ...name, version });
    // If another process named the log meanwhile, the next page brings that name, and `take` reads it.
    if ((await log.open(sealed, true)) === sealed) {
      this.#name = sealed;
      this.#version = version;
    }
  }

  /** Gives the log another name in place of the one that it has. */
  async #rename(name: Omit<LogName, 'version'>): Promise<string> {
    const { log, seals } = this.#rules;
    const version = this.#nextVersion();
    const renamed = await log.open(seals.sealName({ ...name, version }), true);
    // Not before: entries of this process must not speak of a name that the log does not have.
    this.#version = Math.max(this.#version, version);
    return renamed;
  }

  #nextVersion(): number {
    return Math.max(this.#version + 1, Date.now());
  }

  #idOf(name: string | undefined): string | undefined {
    return this.#rules.seals.openName(name)?.id;
  }
}

function sealedByAnother(): TellableError {
  return new TellableError('its name was not sealed with revocations.secret');
}
