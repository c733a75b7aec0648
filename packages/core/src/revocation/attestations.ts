import { randomUUID } from 'node:crypto';
import { CLOCK_DIFFERENCE } from '../shared/clock-difference.js';
import { type Attestation, attestNothing, type Comparison, type EntryHistory } from './entry-history.js';

/** By how many milliseconds processes may differ in what they take for young. */
const YOUNG_MARGIN = 2 * CLOCK_DIFFERENCE;
/**
 * Milliseconds for which what a process attests begins with the same entry, so that it goes on with
 * the digest of before. The log keeps what is older for two minutes.
 */
const YOUNG_STEP = 30_000;

export interface AttestationParts {
  readonly entries: EntryHistory;
  /**
   * Milliseconds after which an entry may be gone from the log by its age. The log keeps it two minutes
   * longer. Equal in all processes.
   */
  readonly maxAgeMs: number;
  /** Since when this process knows all revocations, in milliseconds since the epoch. */
  readonly completeSince: () => number;
}

/** What this process attests of the log, and what it believes of the attestations of others. */
export class Attestations {
  readonly #parts: AttestationParts;
  /**
   * The name of this process in its attestations. It changes when a process that has joined reads the log
   * from the beginning again. It does not change when the id of its writer does.
   */
  #id: string = randomUUID();
  /**
   * The first entry of its own that this process has read since it began to read the log from its
   * beginning. A process that has read this entry too attests the log as it was since then; what
   * was attested before may be about another log.
   */
  #firstOwnPosition: string | undefined;
  /** The last entry of which the log has an attestation by this process. */
  #attestedUpTo: string | undefined;
  /**
   * When the log was last attested, by this process or by another one that had read the same, by
   * the monotonic clock.
   */
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(parts: AttestationParts) {
    this.#parts = parts;
  }

  /** Entries that were written after this moment are too young to be gone from the log. */
  get youngSince(): number {
    return Date.now() - this.#parts.maxAgeMs;
  }

  /** Milliseconds since the log was last attested. */
  get age(): number {
    return performance.now() - this.#lastAt;
  }

  isOwn({ by }: Attestation): boolean {
    return by === this.#id;
  }

  /** What an entry of this process attests. */
  attest(kind: Attestation['kind']): Attestation {
    if (kind === 'ping') {
      // A process that starts has not read the log to its end.
      return attestNothing(kind, this.#id);
    }
    return this.#parts.entries.attest({
      kind,
      by: this.#id,
      // More than another process compares, whose clock may be behind.
      youngSince: Math.floor((this.youngSince - YOUNG_MARGIN) / YOUNG_STEP) * YOUNG_STEP,
      completeSince: this.#parts.completeSince(),
      from: kind === 'heartbeat' ? this.#attestedUpTo : undefined,
    });
  }

  /** This process has read an entry of its own. */
  markOwnRead(position: string): void {
    this.#firstOwnPosition ??= position;
  }

  /**
   * This process has read what it attested. What it has only written does not count: the log may
   * not have it.
   */
  markOwnAttestationRead({ upTo = '' }: Attestation): void {
    this.#attestedUpTo = upTo;
    this.#lastAt = performance.now();
  }

  /** Another process has read the same entries. */
  markAgreed(): void {
    this.#lastAt = performance.now();
  }

  /** Returns `unrelated` if the attestation may be about another log, so that it proves nothing. */
  compare(attested: Attestation): Comparison | 'unrelated' {
    const { upTo = '' } = attested;
    return this.#firstOwnPosition === undefined || upTo < this.#firstOwnPosition
      ? 'unrelated'
      : this.#parts.entries.compare(attested, this.youngSince);
  }

  /** Whether an attestation is about all entries since the first one of this process. */
  coversOwn({ from = '' }: Attestation): boolean {
    return from <= (this.#firstOwnPosition ?? '');
  }

  /**
   * Since when both processes know of each entry, in milliseconds since the epoch, if they have
   * read the same ones. 0 where what was not compared may be gone from the log by its age.
   */
  comparedSince(attested: Attestation): number {
    return this.#parts.entries.comparedSince(attested, this.youngSince);
  }

  /**
   * The log is read from its beginning again.
   *
   * @param isAnother whether this process takes another name. A process that has joined takes one. A process
   * that still starts keeps its name, by which it recognizes its `join` entry
   */
  startAgain(isAnother: boolean): void {
    this.#attestedUpTo = undefined;
    this.#firstOwnPosition = undefined;
    if (isAnother) {
      this.#id = randomUUID();
    }
  }
}
