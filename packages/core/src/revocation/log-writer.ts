import { randomUUID } from 'node:crypto';
import { TellableError } from '../errors.js';
import type { Attestation } from './entry-history.js';
import { type LogEntry, textOfEntry } from './log-entry.js';
import type { LogSeals } from './log-seals.js';
import type { OwnUnreadNotices } from './own-unread-notices.js';
import type { KnownNotice, RevocationNotice } from './revocations.js';
import type { TimeLimitedLog } from './time-limited-log.js';
import { type WaitingCall, WaitingRevocations } from './waiting-revocations.js';

/** What an entry says of the process that writes it. */
export type WriterFacts = Pick<LogEntry, 'lastRead' | 'version' | 'syncedSince' | 'attested'>;

export interface LogWriterParts {
  readonly log: TimeLimitedLog;
  readonly seals: LogSeals;
  /** Milliseconds for which the log keeps an entry. */
  readonly keepFor: number;
  /** Called when an entry is written, which may be later than it was asked for. */
  readonly facts: (kind: Attestation['kind'] | undefined) => WriterFacts;
  /** Whether an entry was read before the log has confirmed it. */
  readonly hasRead: (writer: string, number: number) => boolean;
  /** Remembers what this process writes. */
  readonly ownUnread: OwnUnreadNotices;
  /**
   * Called when a revocation is rejected because too many wait: with its issuer, or with an empty text if it
   * is for the tokens of all issuers.
   */
  readonly onFull: (issuer: string) => void;
}

/** An entry that waits until those before it are written. */
interface WaitingEntry {
  readonly known: KnownNotice | undefined;
  readonly kind?: Attestation['kind'] | undefined;
  /** How many calls of `revoke()` it is of, if it revokes. */
  readonly calls: number;
  /** Undefined for what is written whether or not a call waits for it. */
  readonly givenUp?: readonly AbortSignal[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** By what name it was written, and when the log confirmed it, by the monotonic clock. */
interface UnreadEntry {
  readonly writer: string;
  readonly confirmedAt: number;
}

/** Numbers the entries of this process, and writes one after the other. */
export class LogWriter {
  readonly #parts: LogWriterParts;
  /** What this process writes by itself. It goes first: reading waits for some of it. */
  readonly #first: WaitingEntry[] = [];
  readonly #revoked: WaitingRevocations;
  #isWriting = false;
  #id: string = randomUUID();
  #count = 0;
  /** Of the last entry that this process wrote. */
  #lastPosition: string | undefined;
  #lastConfirmedAt = Number.NEGATIVE_INFINITY;
  /** Where this process wrote what it has not read yet. */
  readonly #unread = new Map<string, UnreadEntry>();

  constructor(parts: LogWriterParts) {
    this.#parts = parts;
    this.#revoked = new WaitingRevocations(parts.onFull);
  }

  /** Names the writer in its entries. */
  get id(): string {
    return this.#id;
  }

  /**
   * Writes an entry that this process writes by itself, ahead of all waiting revocations. Rejects if the
   * entry may not be in the log.
   */
  write(known: KnownNotice | undefined, kind: Attestation['kind'] | undefined): Promise<void> {
    const waiting = known && this.#revoked.takeSame(known);
    return new Promise((resolve, reject) => {
      const calls = waiting?.calls ?? [];
      this.#first.push({
        known: waiting?.known ?? known,
        kind,
        calls: Math.max(1, calls.length),
        ...settling([{ resolve, reject }, ...calls]),
      });
      this.#writeWaiting();
    });
  }

  /**
   * Writes what is revoked just now. Rejects if the entry may not be in the log, and if too many
   * wait. An entry that is given up before it is begun is not written.
   */
  publish(notice: RevocationNotice, givenUp: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#revoked.add({ notice, knownSince: performance.now() }, { givenUp, resolve, reject });
      this.#writeWaiting();
    });
  }

  /** When the log last confirmed an entry of this process, by the monotonic clock. */
  get lastConfirmedAt(): number {
    return this.#lastConfirmedAt;
  }

  /** Whether an entry that the log confirmed has not been read. */
  get hasUnread(): boolean {
    return this.#unread.size > 0;
  }

  /** An entry of this writer was read at this position. Returns whether this process wrote it. */
  markRead(position: string, writer: string): boolean {
    if (this.#unread.get(position)?.writer !== writer) {
      return writer === this.#id;
    }
    return this.#unread.delete(position);
  }

  /** Whether this process has read on to this position without reading an entry that it wrote. */
  hasMissed(position: string | undefined): boolean {
    return [...this.#unread.keys()].some((unread) => unread <= (position ?? ''));
  }

  /**
   * Whether this process has not read an entry that the log confirmed before this moment of the
   * monotonic clock.
   */
  lacksConfirmedBefore(moment: number): boolean {
    return [...this.#unread.values()].some(({ confirmedAt }) => confirmedAt < moment);
  }

  /** Becomes another writer: numbers that were lost must not look like a gap for ever. */
  startAgain(): void {
    this.#unread.clear();
    this.#becomeAnother();
    this.#lastPosition = undefined;
  }

  /** Entries are written one after the other, as they are numbered. */
  #writeWaiting(): void {
    if (this.#isWriting) {
      return;
    }
    const next = this.#first.shift() ?? this.#takeRevoked();
    if (next === undefined) {
      return;
    }
    this.#isWriting = true;
    void this.#writeNext(next)
      .then(next.resolve, next.reject)
      .finally(() => {
        this.#isWriting = false;
        this.#writeWaiting();
      });
  }

  #takeRevoked(): WaitingEntry | undefined {
    const taken = this.#revoked.take();
    return (
      taken && {
        known: taken.known,
        calls: taken.calls.length,
        givenUp: taken.calls.map(({ givenUp }) => givenUp),
        ...settling(taken.calls),
      }
    );
  }

  async #writeNext({ known, kind, calls, givenUp }: WaitingEntry): Promise<void> {
    // Before it is numbered: a number that is not in the log looks like a gap.
    if (givenUp?.every(({ aborted }) => aborted) === true) {
      throw new TellableError('given up before it was written');
    }
    const { log, seals, keepFor, facts, hasRead } = this.#parts;
    if (known !== undefined) {
      this.#parts.ownUnread.add(known);
    }
    this.#count += 1;
    const written: LogEntry = {
      writer: this.#id,
      number: this.#count,
      at: Date.now(),
      lastOwn: this.#lastPosition,
      notice: known?.notice,
      // What is written late or again still counts from the moment at which it was revoked.
      noticeAge: known === undefined ? 0 : Math.max(0, Math.floor(performance.now() - known.knownSince)),
      noticeCalls: calls,
      ...facts(kind),
    };
    try {
      const position = await log.append(seals.sealEntry(textOfEntry(written)), keepFor);
      this.#lastConfirmedAt = performance.now();
      if (this.#id === written.writer) {
        this.#lastPosition = position;
      }
      if (!hasRead(written.writer, written.number)) {
        this.#unread.set(position, { writer: written.writer, confirmedAt: this.#lastConfirmedAt });
      }
    } catch (error) {
      // The entry may or may not be in the log. If it is not, other processes would take its number for a
      // gap.
      this.#becomeAnother();
      throw error;
    }
  }

  #becomeAnother(): void {
    this.#id = randomUUID();
    this.#count = 0;
  }
}

/** Returns the functions that settle all given calls. */
function settling(
  calls: readonly Pick<WaitingCall, 'resolve' | 'reject'>[],
): Pick<WaitingEntry, 'resolve' | 'reject'> {
  return {
    resolve: () => {
      for (const { resolve } of calls) {
        resolve();
      }
    },
    reject: (error) => {
      for (const { reject } of calls) {
        reject(error);
      }
    },
  };
}
