import { randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import type { BoundedLog } from './bounded-log.js';
import { type LogEntry, textOfEntry } from './log-entry.js';
import type { LogSeals } from './log-seals.js';
import type { Attestation } from './read-entries.js';
import type { RevocationNotice } from './revocations.js';

/** What an entry says of the process that writes it. */
export type WriterFacts = Pick<LogEntry, 'previous' | 'version' | 'syncedSince' | 'attested'>;

export interface WriterRules {
  readonly log: BoundedLog;
  readonly seals: LogSeals;
  /** Milliseconds for which the log keeps an entry. */
  readonly keepFor: number;
  /** Called when an entry is written, which may be later than it was asked for. */
  readonly facts: (as: Attestation['as'] | undefined) => WriterFacts;
  /** Whether an entry was read before the log has confirmed it. */
  readonly hasRead: (writer: string, number: number) => boolean;
}

/** By what name it was written, and when the log confirmed it, by the monotonic clock. */
interface UnreadEntry {
  readonly writer: string;
  readonly confirmedAt: number;
}

/** Numbers the entries of this process, and writes one after the other. */
export class LogWriter {
  readonly #rules: WriterRules;
  /** Entries are written one after the other, as they are numbered. */
  readonly #inOrder = pLimit(1);
  #id: string = randomUUID();
  #count = 0;
  /** Of the last entry that this process wrote. */
  #lastPosition: string | undefined;
  #lastConfirmedAt = Number.NEGATIVE_INFINITY;
  /** Where this process wrote what it has not read yet. */
  readonly #unread = new Map<string, UnreadEntry>();

  constructor(rules: WriterRules) {
    this.#rules = rules;
  }

  /** Names the writer in its entries. */
  get id(): string {
    return this.#id;
  }

  /** Rejects if the entry may not be in the log. */
  write(notice: RevocationNotice | undefined, as: Attestation['as'] | undefined): Promise<void> {
    return this.#inOrder(() => this.#writeNext(notice, as));
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

  async #writeNext(notice: RevocationNotice | undefined, as: Attestation['as'] | undefined): Promise<void> {
    const { log, seals, keepFor, facts, hasRead } = this.#rules;
    this.#count += 1;
    const written: LogEntry = {
      writer: this.#id,
      number: this.#count,
      at: Date.now(),
      own: this.#lastPosition,
      notice,
      ...facts(as),
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
      // It may have been written or not, so that the number would look like a gap to others.
      this.#becomeAnother();
      throw error;
    }
  }

  #becomeAnother(): void {
    this.#id = randomUUID();
    this.#count = 0;
  }
}
