import { createHash } from 'node:crypto';
import { GroupedLru } from '../shared/grouped-lru.js';
import type { QuotaOwner } from './status-source.js';

/** What all kept records may take together. */
interface Limits {
  readonly count: number;
  readonly bytes: number;
  /** Dropped records whose last attempt is remembered. Default: none. */
  readonly dropped?: number;
}

/** What is fetched again and again. */
interface FetchedRecord {
  /** When the last attempt to fetch it was over, on the clock of `performance.now()`. */
  readonly attemptedAt: number;
  close(): void;
}

/** What is remembered of a record that was dropped. */
interface Dropped {
  readonly owner: QuotaOwner;
  readonly attemptedAt: number;
}

interface Entry<T> {
  readonly key: string;
  /**
   * The authority whose quota the record counts for. The records of one authority count together, by its
   * name, and so do those of all authorities below one trust anchor, by the name of the anchor.
   */
  readonly owner: QuotaOwner;
  readonly record: T;
  /** In bytes. `undefined` until the first attempt to fetch it is over. */
  size: number | undefined;
}

type Measure = 'count' | 'bytes';

type Amount = Record<Measure, number>;

interface OfAuthority<T> extends Amount {
  readonly entries: Map<string, Entry<T>>;
}

interface OfAnchor<T> extends Amount {
  readonly authorities: Map<string, OfAuthority<T>>;
}

/**
 * Records of lists or of answers. Each authority that needs a list has a record of its own, which is fetched
 * within its own quota: a request for another authority may have to wait. If the records exceed a limit, one
 * is dropped: of the trust anchor with the most, of its authority with the most, the one that was not used
 * for longest. So certificates of one authority drop no record of another, whatever they name.
 *
 * A record is neither counted nor dropped during its first fetch. The limit of the requests that wait bounds
 * the number of such records.
 */
export class KeptRecords<T extends FetchedRecord> {
  readonly #limits: Limits;
  /** All records by their key, one of each owner. Also those in their first fetch. */
  readonly #entries = new Map<string, readonly Entry<T>[]>();
  readonly #total: Amount = { count: 0, bytes: 0 };
  /** Grouped like the records: what one authority drops does not remove what is remembered for another. */
  readonly #dropped: GroupedLru<Dropped>;
  /** In the order of their last use, as all maps below. */
  readonly #anchors = new Map<string, OfAnchor<T>>();

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#dropped = new GroupedLru(limits.dropped ?? 0, ({ owner }) => ({
      outer: owner.anchor,
      inner: owner.name,
    }));
  }

  /** Returns the record of one owner, which counts as a use of it. */
  get(key: string, owner: QuotaOwner): T | undefined {
    const entry = this.#entriesOf(key).find((one) => isOf(one, owner));
    return entry === undefined ? undefined : this.#use(entry);
  }

  /** Returns the records of all owners, which counts as a use of each. */
  ofAllOwners(key: string): readonly T[] {
    return this.#entriesOf(key).map((entry) => this.#use(entry));
  }

  /**
   * Returns when the last attempt for a dropped record of an owner ended; `undefined` if that is forgotten.
   */
  lastAttemptOfDropped(key: string, owner: QuotaOwner): number | undefined {
    return this.#dropped.get(hashOf(key, owner))?.attemptedAt;
  }

  /** Adds the record of one owner, which has none with this key. */
  add(key: string, owner: QuotaOwner, record: T): void {
    this.#entries.set(key, [...this.#entriesOf(key), { key, owner, record, size: undefined }]);
  }

  /** Notes the bytes that a record takes after an attempt to fetch it. Ignores a record that was dropped. */
  resize(key: string, record: T, size: number): void {
    const entry = this.#entriesOf(key).find((one) => one.record === record);
    if (entry === undefined) {
      return;
    }
    if (entry.size === undefined) {
      entry.size = size;
      this.#putLast(entry);
    } else {
      // A refresh in the background is no use: the record stays at its place.
      const { owner } = entry;
      const anchor = this.#anchors.get(owner.anchor);
      for (const amount of [this.#total, anchor, anchor?.authorities.get(owner.name)]) {
        if (amount !== undefined) {
          amount.bytes += size - entry.size;
        }
      }
      entry.size = size;
    }
    for (const measure of ['count', 'bytes'] as const) {
      let isOver = this.#total[measure] > this.#limits[measure];
      while (isOver) {
        isOver = this.#dropOne(measure) && this.#total[measure] > this.#limits[measure];
      }
    }
  }

  clear(): void {
    for (const { record } of [...this.#entries.values()].flat()) {
      record.close();
    }
    this.#entries.clear();
    this.#anchors.clear();
    this.#total.count = 0;
    this.#total.bytes = 0;
  }

  /** Drops one record. Returns whether there was one to drop. */
  #dropOne(measure: Measure): boolean {
    const anchor = largest(this.#anchors.values(), measure);
    const authority = largest(anchor?.authorities.values() ?? [], measure);
    for (const entry of authority?.entries.values() ?? []) {
      // To drop a record without bytes frees none.
      if (measure === 'count' || entry.size !== 0) {
        this.#takeOut(entry);
        this.#remove(entry);
        const { key, owner, record } = entry;
        this.#dropped.set(hashOf(key, owner), { owner, attemptedAt: record.attemptedAt });
        record.close();
        return true;
      }
    }
    return false;
  }

  #use(entry: Entry<T>): T {
    this.#takeOut(entry);
    this.#putLast(entry);
    return entry.record;
  }

  #entriesOf(key: string): readonly Entry<T>[] {
    return this.#entries.get(key) ?? [];
  }

  #remove(entry: Entry<T>): void {
    const others = this.#entriesOf(entry.key).filter((one) => one !== entry);
    if (others.length === 0) {
      this.#entries.delete(entry.key);
    } else {
      this.#entries.set(entry.key, others);
    }
  }

  #putLast(entry: Entry<T>): void {
    const { key, owner, size } = entry;
    if (size === undefined) {
      return;
    }
    const anchor = this.#anchors.get(owner.anchor) ?? { count: 0, bytes: 0, authorities: new Map() };
    const authority = anchor.authorities.get(owner.name) ?? { count: 0, bytes: 0, entries: new Map() };
    setLast(this.#anchors, owner.anchor, anchor);
    setLast(anchor.authorities, owner.name, authority);
    setLast(authority.entries, key, entry);
    for (const amount of [this.#total, anchor, authority]) {
      amount.count += 1;
      amount.bytes += size;
    }
  }

  #takeOut({ key, owner, size }: Entry<T>): void {
    const anchor = this.#anchors.get(owner.anchor);
    const authority = anchor?.authorities.get(owner.name);
    if (size === undefined || anchor === undefined || authority === undefined) {
      return;
    }
    for (const amount of [this.#total, anchor, authority]) {
      amount.count -= 1;
      amount.bytes -= size;
    }
    authority.entries.delete(key);
    if (authority.count === 0) {
      anchor.authorities.delete(owner.name);
    }
    if (anchor.count === 0) {
      this.#anchors.delete(owner.anchor);
    }
  }
}

function isOf({ owner }: { readonly owner: QuotaOwner }, { name, anchor }: QuotaOwner): boolean {
  return owner.name === name && owner.anchor === anchor;
}

/** A short name, as a key has a URI of any length. */
function hashOf(key: string, { name, anchor }: QuotaOwner): string {
  return createHash('sha256').update(`${anchor} ${name} ${key}`).digest('base64url');
}

/** Returns the one with the most; of several with as much, the one that was not used for longest. */
function largest<A extends Amount>(parts: Iterable<A>, measure: Measure): A | undefined {
  let most: A | undefined;
  for (const part of parts) {
    most = most === undefined || part[measure] > most[measure] ? part : most;
  }
  return most;
}

function setLast<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
}
