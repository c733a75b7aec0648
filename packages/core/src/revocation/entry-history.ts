import { createHash, type Hash } from 'node:crypto';

/** How many entries are hashed at once. */
const CHUNK = 1_000;

/**
 * What a process says of the entries that it has read, so that another one finds out whether both
 * have read the same ones: each entry from `from` to `upTo`, and each that was written after
 * `since`.
 */
export interface Attestation {
  /**
   * `join` by a process that asks what the others have read, `answer` to it, and `heartbeat` from
   * time to time. `ping`, which attests nothing, asks whether any process runs.
   */
  readonly kind: 'ping' | 'join' | 'answer' | 'heartbeat';
  /** Names the process that has read them. */
  readonly by: string;
  /** The first and the last entry that it is about; undefined where the process has read none. */
  readonly from: string | undefined;
  readonly upTo: string | undefined;
  /**
   * Milliseconds since the epoch. The process may have forgotten entries that were written until then, or
   * does not know all earlier revocations.
   */
  readonly since: number;
  /** The SHA-256 of where each of these entries stands, and of which entry it is. */
  readonly digest: string;
}

/** Which entries a process attests. */
export interface AttestationRequest {
  readonly kind: Attestation['kind'];
  readonly by: string;
  /**
   * Entries that were written until this moment may be gone from the log because of their age. In
   * milliseconds since the epoch.
   */
  readonly youngSince: number;
  /** Revocations from before this moment may be unknown to the process, in milliseconds since the epoch. */
  readonly completeSince: number;
  /** Only from the entry at this position on, which is attested too. Default: from the first one on. */
  readonly from?: string | undefined;
}

/** Whole chunks that are hashed, of which the first one begins with the entry at the index `first`. */
interface HashedChunks {
  readonly first: number;
  count: number;
  readonly hash: Hash;
}

/** `unknown` where the two can not be compared. That is no agreement. */
export type Comparison = 'same' | 'other' | 'unknown';

/**
 * The entries that a process has read in the log, and believes. An attacker who can write to the
 * store chooses the positions. The attacker may take an entry away, move it, or put another in its
 * place. By an attestation two processes find out whether they have read the same ones. An entry is
 * known by its writer and its number, which only an entry of the fleet has: a writer gives each
 * number once. A forged or replayed entry has no place here, however much of it the log has.
 */
export class EntryHistory {
  readonly #max: number;
  // Arrays of their own, as there are many entries: an object for each would take twice the memory.
  #positions: string[] = [];
  #writers: string[] = [];
  #numbers: number[] = [];
  #times: number[] = [];
  /** One text for each writer: the text of each entry brings its own. */
  #names = new Map<string, string>();
  #hasForgotten = false;
  /** Entries that are written at once refer to the same one: it is searched for once. */
  #foundLast: string | undefined;
  /** When the newest of the forgotten entries was written, in milliseconds since the epoch. */
  #forgottenAt = 0;
  /** What was hashed last, to go on from there. */
  #hashed: HashedChunks | undefined;

  /**
   * Attests the last `max` entries at most. Remembers a tenth more at least, so that it can compare
   * what a process attests that has read a little less, and at most twice as many.
   */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Remembers which entry stands at a position; positions come in their order. `at` is when it was
   * written, in milliseconds since the epoch.
   */
  add(position: string, writer: string, number: number, at: number): void {
    if (this.#positions.length >= 2 * this.#max) {
      this.#forget(this.#positions.length - Math.ceil(1.1 * this.#max));
    }
    const name = this.#names.get(writer) ?? writer;
    this.#names.set(name, name);
    this.#positions.push(position);
    this.#writers.push(name);
    this.#numbers.push(number);
    this.#times.push(at);
  }

  /** Whether an entry is remembered at a position. */
  has(position: string): boolean {
    const newest = this.#positions.length - 1;
    if (position === this.#foundLast || this.#positions[newest] === position) {
      return true;
    }
    const isFound = this.#positions[this.#indexOf(position)] === position;
    if (isFound) {
      this.#foundLast = position;
    }
    return isFound;
  }

  clear(): void {
    this.#forget(this.#positions.length);
    this.#hasForgotten = false;
    this.#forgottenAt = 0;
  }

  attest({ kind, by, youngSince, completeSince, from: earliest = '' }: AttestationRequest): Attestation {
    const last = this.#positions.length - 1;
    const firstYoung = this.#times.findIndex((at) => at > youngSince);
    const first = Math.max(
      firstYoung < 0 ? last + 1 : firstYoung,
      last + 1 - this.#max,
      this.#indexOf(earliest),
    );
    const since = Math.max(completeSince, this.#forgottenAt, this.#newestOf(first));
    const [from, upTo] = [this.#positions[first], this.#positions[last]];
    return from === undefined
      ? { kind, by, from: undefined, upTo: undefined, since, digest: '' }
      : { kind, by, from, upTo, since, digest: this.#digest(first, last) };
  }

  /**
   * Whether this process has read the entries that another one attests, and no other. Each process
   * must have read what was written after `youngSince`: it is not gone from the log by its age.
   */
  compare({ from, upTo, since, digest }: Attestation, youngSince: number): Comparison {
    if (from === undefined || upTo === undefined) {
      return 'unknown';
    }
    if (this.#hasForgotten && from < (this.#positions[0] ?? '')) {
      return 'unknown';
    }
    const first = this.#indexOf(from);
    // The other process attests all that was written after `since`.
    const hasMore = this.#newestOf(first) > Math.max(since, youngSince);
    return hasMore || this.#digest(first, this.#indexOf(upTo)) !== digest ? 'other' : 'same';
  }

  /**
   * If `compare()` says `same`: the moment, in milliseconds since the epoch, from which on both processes
   * are known to have read the same entries. Either may have forgotten older ones, so those were not
   * compared. 0 if all that were not compared may be gone from the log by their age.
   */
  comparedSince({ since }: Attestation, youngSince: number): number {
    const moment = Math.max(since, this.#forgottenAt);
    return moment > youngSince ? moment : 0;
  }

  #forget(count: number): void {
    this.#hasForgotten = true;
    this.#foundLast = undefined;
    this.#hashed = undefined;
    this.#forgottenAt = Math.max(this.#forgottenAt, this.#newestOf(count));
    this.#positions = this.#positions.slice(count);
    this.#writers = this.#writers.slice(count);
    this.#numbers = this.#numbers.slice(count);
    this.#times = this.#times.slice(count);
    this.#names = new Map(this.#writers.map((writer) => [writer, writer]));
  }

  /** When the newest of the first `count` remembered entries was written; 0 if there is none. */
  #newestOf(count: number): number {
    return this.#times.slice(0, count).reduce((newest, at) => Math.max(newest, at), 0);
  }

  #digest(first: number, last: number): string {
    // A process that starts has each one that runs hash the same entries, and then some more. The
    // chunks that are hashed already are whole ones, and end before each of the next attestations.
    const whole = Math.max(0, Math.floor((last + 1 - first) / CHUNK) - 1);
    const known = this.#hashed?.first === first && this.#hashed.count <= whole ? this.#hashed : undefined;
    const hashed = known ?? { first, count: 0, hash: createHash('sha256') };
    for (; hashed.count < whole; hashed.count += 1) {
      this.#hashChunk(hashed.hash, first + hashed.count * CHUNK, last);
    }
    if (whole > 0) {
      this.#hashed = hashed;
    }
    const hash = hashed.hash.copy();
    for (let from = first + whole * CHUNK; from <= last; from += CHUNK) {
      this.#hashChunk(hash, from, last);
    }
    return hash.digest('base64url');
  }

  #hashChunk(hash: Hash, from: number, last: number): void {
    const to = Math.min(from + CHUNK, last + 1);
    // As JSON, so that no two series of entries have one text.
    const columns = [this.#positions, this.#writers, this.#numbers].map((column) => column.slice(from, to));
    hash.update(JSON.stringify(columns));
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

/** What a process says that has not read the log to its end. */
export function attestNothing(kind: Attestation['kind'], by: string): Attestation {
  return { kind, by, from: undefined, upTo: undefined, since: 0, digest: '' };
}
