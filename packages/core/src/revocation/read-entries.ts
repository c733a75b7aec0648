import { createHash } from 'node:crypto';

/** How many entries are hashed at once. */
const CHUNK = 1_000;

/** What a process says of the entries that it has read, so that others find out whether they read the same ones. */
export interface Attestation {
  /** `knock` by a process that starts and asks what the others have read, `answer` to it, and `beat` as a sign of life. */
  readonly as: 'knock' | 'answer' | 'beat';
  /** The first and the last entry that it is about; undefined where the process has read none. */
  readonly from: string | undefined;
  readonly upTo: string | undefined;
  /** Whether the log had no entry before `from`. */
  readonly isFromFirst: boolean;
  /** The SHA-256 of the positions and the seals of these entries. */
  readonly digest: string;
}

/**
 * The entries that a process has read in the log: where each stood, and what it was. An attacker who
 * can write to the store chooses the positions. The attacker may take an entry away, move it, or put
 * another in its place. By an attestation two processes find out whether they have read the same ones.
 */
export class HeardEntries {
  readonly #max: number;
  // Arrays of their own, as there are many entries: an object for each would take twice the memory.
  #positions: string[] = [];
  #seals: string[] = [];
  #times: number[] = [];
  #hasForgotten = false;

  /** Remembers the last `max` entries or more, at most twice as many. */
  constructor(max: number) {
    this.#max = max;
  }

  /** The oldest position that is remembered; undefined while each one is. */
  get oldest(): string | undefined {
    return this.#hasForgotten ? this.#positions[0] : undefined;
  }

  /**
   * Remembers what stands at a position; positions come in their order. `at` is when the entry was written, in milliseconds since the
   * epoch, or `undefined` for what this process can't open or does not believe. Another process may be able to, so it is compared as well.
   */
  add(position: string, sealed: string, at?: number): void {
    if (this.#positions.length >= 2 * this.#max) {
      this.#positions = this.#positions.slice(this.#max);
      this.#seals = this.#seals.slice(this.#max);
      this.#times = this.#times.slice(this.#max);
      this.#hasForgotten = true;
    }
    this.#positions.push(position);
    // The end of the tag by which the entry is sealed. The engine copies a text as short as this, and does not keep the whole entry.
    this.#seals.push(sealed.slice(-12));
    this.#times.push(at ?? Number.NaN);
  }

  /** Whether an entry that this process believes stands at a position. */
  has(position: string): boolean {
    const newest = this.#positions.length - 1;
    const index = this.#positions[newest] === position ? newest : this.#indexOf(position);
    return this.#positions[index] === position && !Number.isNaN(this.#times[index]);
  }

  clear(): void {
    this.#positions = [];
    this.#seals = [];
    this.#times = [];
    this.#hasForgotten = false;
  }

  /** Says what was read of the log from its first entry on. */
  attestAll(as: Attestation['as']): Attestation {
    return this.#attest(as, 0, !this.#hasForgotten);
  }

  /** Says what was read after the position `after`, and since the moment `youngSince`: what is older may be gone from the log. */
  attestSince(as: Attestation['as'], youngSince: number, after = ''): Attestation {
    const firstYoung = this.#times.findIndex((at) => at > youngSince);
    const from = firstYoung < 0 ? this.#positions.length : firstYoung;
    return this.#attest(as, Math.max(from, this.#indexOf(after)), false);
  }

  /**
   * Whether this process has read the entries that another one attests. An entry that was written after `youngSince` is not gone from
   * the log, so that each process must have read it. What this process has forgotten it does not compare: it then agrees with a knock
   * and a sign of life, which another process may compare as well, and not with an answer.
   */
  agrees({ as, from, upTo, isFromFirst, digest }: Attestation, youngSince: number): boolean {
    if (from === undefined || upTo === undefined) {
      return true;
    }
    if (from < (this.oldest ?? '')) {
      return as !== 'answer';
    }
    const first = this.#indexOf(from);
    const lacksYoung = isFromFirst && this.#times.slice(0, first).some((at) => at > youngSince);
    return !lacksYoung && this.#digest(first, this.#indexOf(upTo)) === digest;
  }

  /** When the newest of the entries was written that come before a position and after `youngSince`; 0 if there is none. */
  newestBefore(position: string, youngSince: number): number {
    const young = this.#times.slice(0, this.#indexOf(position)).filter((at) => at > youngSince);
    return young.reduce((newest, at) => Math.max(newest, at), 0);
  }

  #attest(as: Attestation['as'], first: number, isFromFirst: boolean): Attestation {
    const last = this.#positions.length - 1;
    const [from, upTo] = [this.#positions[first], this.#positions[last]];
    return from === undefined
      ? { as, from: undefined, upTo: undefined, isFromFirst, digest: '' }
      : { as, from, upTo, isFromFirst, digest: this.#digest(first, last) };
  }

  #digest(first: number, last: number): string {
    const hash = createHash('sha256');
    for (let from = first; from <= last; from += CHUNK) {
      const to = Math.min(from + CHUNK, last + 1);
      hash.update([...this.#positions.slice(from, to), ...this.#seals.slice(from, to), ''].join('\n'));
    }
    return hash.digest('base64url');
  }

  /** The index of the first entry that does not come before the position. */
  #indexOf(position: string): number {
    let [low, high] = [0, this.#positions.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#positions[middle] ?? '') < position) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
