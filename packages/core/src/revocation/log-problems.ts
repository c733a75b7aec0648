import type { ReportProblem } from '../observe/events.js';
import { CLOCK_DIFFERENCE } from '../shared/clock-difference.js';
import { describeStoreError } from '../shared/store-error.js';
import { QUIET_TIME } from './log-timing.js';
import type { QuietPeriod } from './quiet-periods.js';

/** Words what an operator must know of the log. */
export class LogProblems {
  readonly #report: ReportProblem;
  /** When a clock that is ahead was last reported, by the monotonic clock. */
  #clockReportedAt = Number.NEGATIVE_INFINITY;
  /** By issuer, when it was last reported that too many revocations wait, by the monotonic clock. */
  readonly #fullAt = new Map<string, number>();

  constructor(report: ReportProblem) {
    this.#report = report;
  }

  reportUnreadable(error: unknown): void {
    this.#report(
      'revocations_unsynced',
      `the log of revocations can not be read: ${describeStoreError(error)}`,
    );
  }

  reportReadAgain(): void {
    this.#report('revocations_synced', 'the log of revocations is read again');
  }

  reportUnwritable(error: unknown): void {
    this.#report(
      'revocations_unwritten',
      `the log of revocations can not be written: ${describeStoreError(error)}`,
    );
  }

  reportIncomplete(): void {
    this.#report(
      'revocations_log_incomplete',
      'the log of revocations lost entries or was replaced; what is remembered is written again',
    );
  }

  /**
   * Reports once a minute for each issuer that too many of its revocations wait to be written.
   *
   * @param issuer one of those that are configured; an empty text for revocations of the tokens of all
   *   issuers
   */
  reportQueueFull(issuer: string): void {
    const now = performance.now();
    if (now - (this.#fullAt.get(issuer) ?? Number.NEGATIVE_INFINITY) >= QUIET_TIME) {
      this.#fullAt.set(issuer, now);
      this.#report(
        'revocations_unwritten',
        'too many revocations at once wait to be written into the log of revocations: those of ' +
          `${issuer === '' ? 'the tokens of each issuer' : issuer} are written later`,
      );
    }
  }

  /** Entries may be missing, which no process can name. */
  reportMayLackEntries(why: string): void {
    this.#report(
      'revocations_log_gap',
      `the log of revocations may lack entries: ${why}; nothing vouches for tokens from before`,
    );
  }

  reportLostEntries(): void {
    this.#report(
      'revocations_log_gap',
      'the log of revocations lost entries; all answers from before are asked again',
    );
  }

  /** @param at when the first entry was written, in milliseconds since the epoch */
  reportLateFirstEntry(at: number): void {
    this.#report(
      'revocations_log_gap',
      `the log of revocations has no entry from before ${dateOf(at)}: nothing vouches for tokens from ` +
        'before. Either all processes were down until then, or entries were deleted',
    );
  }

  reportChanged(): void {
    this.#report(
      'revocations_log_gap',
      'the log of revocations was changed after a process had read or written it; all answers ' +
        'from before are asked again',
    );
  }

  /** The entries know of a newer header than the log has. */
  reportHeaderIsOlder(): void {
    this.#report(
      'revocations_log_gap',
      'the log of revocations has an older header again: nothing vouches for tokens from before',
    );
  }

  reportOlderHeaderReplaced(): void {
    this.#report('revocation_not_ours', 'the log of revocations has an older header again; replaced');
  }

  reportForeignHeaderReplaced(): void {
    this.#report(
      'revocation_not_ours',
      'the header of the log of revocations was not sealed with revocations.secret; replaced. If it comes ' +
        'again and again, two APIs with different secrets share one log: give each a name of its own',
    );
  }

  reportForeignEntry(): void {
    this.#report(
      'revocation_not_ours',
      'an entry of the log of revocations was not sealed with revocations.secret; ignored',
    );
  }

  reportReplayedEntry(): void {
    this.#report(
      'revocation_not_ours',
      'an entry of the log of revocations is in it twice; ignored: it was played back, or the Redis ' +
        'client sent it again after a failover',
    );
  }

  reportQuiet({ from, to }: Pick<QuietPeriod, 'from' | 'to'>): void {
    this.#report(
      'revocations_log_quiet',
      `the log of revocations has no entry between ${dateOf(from)} and ${dateOf(to)}: nothing vouches ` +
        'for tokens from before. Either all processes were down or could not write, or entries were deleted',
    );
  }

  /**
   * Reports a moment in the future, once a minute. It counts as it is: the clock of this process
   * may be the one that is wrong, and then revocations from before that moment may be unknown.
   *
   * @param newestAt when the newest entry was written
   */
  reportClock(completeSince: number, newestAt: number): void {
    const now = Date.now();
    const isReported = performance.now() - this.#clockReportedAt < QUIET_TIME;
    if (isReported || Math.max(completeSince, newestAt) <= now + CLOCK_DIFFERENCE) {
      return;
    }
    this.#clockReportedAt = performance.now();
    const wrong =
      'the clock of this process is behind, or that of a process that wrote into the log was ahead';
    const [newest, until] = [newestAt, completeSince].map((at) => Math.ceil((at - now) / 1000));
    this.#report(
      'revocations_clock_wrong',
      completeSince > now + CLOCK_DIFFERENCE
        ? `nothing vouches for tokens that are issued in the next ${until} s: ${wrong}`
        : `the newest entry of the log of revocations is dated ${newest} s in the future: ${wrong}`,
    );
  }
}

function dateOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
