import { RecentMap } from '../shared/recent-map.js';
import { EntryHistory } from './entry-history.js';
import type { LogEntry } from './log-entry.js';

/**
 * Entries that are remembered, to find out whether what an entry refers to, or another process has
 * read, was read here.
 */
const MAX_ENTRIES = 100_000;
const MAX_WRITERS = 10_000;

/**
 * `follows`: no entry is missing before it. `gap`: an entry is missing. `replayed`: this entry was
 * read before.
 */
export type EntryOrder = 'follows' | 'gap' | 'replayed';

/** The entries that this process has read since it began to read the log from its beginning. */
export class EntrySequence {
  /** What this process compares with what other processes have read. */
  readonly entries = new EntryHistory(MAX_ENTRIES);
  /** The last number of each writer. */
  readonly #numbers = new RecentMap<string, number>(MAX_WRITERS);
  #firstPosition: string | undefined;
  #lastPosition: string | undefined;

  /** The position of the last entry that a process of the fleet wrote. */
  get lastPosition(): string | undefined {
    return this.#lastPosition;
  }

  /** Whether an entry of this writer with this number, or a later one, was read. */
  hasRead(writer: string, number: number): boolean {
    return (this.#numbers.get(writer) ?? 0) >= number;
  }

  /** Remembers an entry of the fleet, unless it is replayed, and checks its order. */
  add(position: string, { writer, number, at, lastRead, lastOwn }: LogEntry): EntryOrder {
    const last = this.#numbers.get(writer);
    // A forged entry says nothing of where the log begins.
    const isFirst = this.#firstPosition === undefined;
    this.#firstPosition ??= position;
    if (last !== undefined && number <= last) {
      return 'replayed';
    }
    this.#numbers.set(writer, number);
    // An entry that was put in the place of another has its own number: a reference to the other
    // one finds it missing.
    this.entries.add(position, writer, number, at);
    this.#lastPosition = position;
    // An entry that was read and forgotten since counts as not read.
    const hasLastRead =
      lastRead === undefined || lastRead < this.#firstPosition || this.entries.has(lastRead);
    const isNext = last === undefined ? this.#isFirstOfWriter(number, lastOwn) : number === last + 1;
    return isFirst || (hasLastRead && isNext) ? 'follows' : 'gap';
  }

  clear(): void {
    this.#firstPosition = undefined;
    this.#lastPosition = undefined;
    this.#numbers.clear();
    this.entries.clear();
  }

  /**
   * Whether the first entry that was read of a writer has no missing entry before it: it is the first one of
   * the writer, or all earlier ones were trimmed.
   */
  #isFirstOfWriter(number: number, lastOwn: string | undefined): boolean {
    if (lastOwn === undefined) {
      return number === 1;
    }
    const isTrimmed = lastOwn < (this.#firstPosition ?? '');
    return isTrimmed || (number === 1 && this.entries.has(lastOwn));
  }
}
