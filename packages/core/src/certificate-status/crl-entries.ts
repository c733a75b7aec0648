import { setImmediate as untilNextLoop } from 'node:timers/promises';
import { comparableSerial, tags } from '../certificate/der-members.js';
import { DerCursor } from './der-cursor.js';
import { serialHash } from './serial-hash.js';
import type { StatusReason } from './status-reason.js';

/** Bytes of the smallest entry: a sequence of a serial number of one byte and a UTCTime. */
const LEAST_ENTRY = 20;

/** Bytes. RFC 5280 §4.1.2.2 permits 20. */
const MAX_SERIAL = 64;

/** Extensions of one entry. RFC 5280 §5.3 defines four. */
const MAX_EXTENSIONS = 16;

/** Milliseconds for which the entries of a list are read before other work runs. */
const SLICE = 10;

/** The clock is read once per this many entries. */
const ENTRIES_PER_LOOK = 1_024;

/** The last byte of 2.5.29.x. */
const extension = {
  reason: 0x15,
  holdInstruction: 0x17,
  invalidityDate: 0x18,
  certificateIssuer: 0x1d,
} as const;

/**
 * The entries of a revocation list. The bytes of the list hold the serial numbers, and a hash table holds
 * where each entry begins. It has slots of four bytes, some of them free, instead of an object for each
 * entry.
 */
export class CrlEntries {
  readonly #bytes: Uint8Array;
  /** Where entries begin, plus one; 0 is a free slot. */
  readonly #slots: Uint32Array;
  #count = 0;

  private constructor(bytes: Uint8Array, length: number) {
    this.#bytes = bytes;
    const most = Math.floor(length / LEAST_ENTRY);
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, most * 1.25))));
  }

  /**
   * Reads the entries between two places in the bytes of a list. Resolves with the reason if the list must
   * not be used. Lets other work run meanwhile.
   */
  static async read(bytes: Uint8Array, from: number, to: number): Promise<CrlEntries | StatusReason> {
    const entries = new CrlEntries(bytes, to - from);
    const entry = new DerCursor(bytes, from, to);
    let since = performance.now();
    while (entry.next()) {
      const fault = entries.#add(entry);
      if (fault !== undefined) {
        return fault;
      }
      if (entries.#count % ENTRIES_PER_LOOK === 0 && performance.now() - since > SLICE) {
        await untilNextLoop();
        since = performance.now();
      }
    }
    return entry.isAtEnd ? entries : unreadable;
  }

  /** Entries in the list. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the table. */
  get tableSize(): number {
    return this.#slots.byteLength;
  }

  /**
   * The number of the reason (RFC 5280 §5.3.1) for which a certificate is revoked; `undefined` for
   * a certificate that is not listed.
   *
   * @param serial the content of its serial number
   */
  reasonOf(serial: Uint8Array): number | undefined {
    const slot = this.#slotOf(comparableSerial(serial));
    const place = slot === undefined ? 0 : (this.#slots[slot] ?? 0);
    return place === 0 ? undefined : this.#serialAt(place - 1).reason();
  }

  /**
   * The slot of the entry with a serial number, or else the free slot where it would be. `undefined` if
   * no slot is free.
   */
  #slotOf(wanted: Uint8Array): number | undefined {
    const { length } = this.#slots;
    const first = serialHash(wanted);
    // Each slot once: the loop ends also if the table were full.
    for (let passed = 0; passed < length; passed += 1) {
      const slot = (first + passed) & (length - 1);
      const place = this.#slots[slot] ?? 0;
      if (place === 0 || Buffer.compare(this.#serialAt(place - 1).serial, wanted) === 0) {
        return slot;
      }
    }
    return undefined;
  }

  #add(entry: DerCursor): StatusReason | undefined {
    const { bytes, at, start, end } = entry;
    const member = new DerCursor(bytes, start, end);
    if (entry.tag !== tags.sequence || !member.nextIs(tags.integer)) {
      return unreadable;
    }
    const serial = member.content();
    if (serial.length === 0 || serial.length > MAX_SERIAL) {
      return unreadable;
    }
    // A time that lacks something would make the entry smaller than `LEAST_ENTRY`.
    if (!member.next() || !isTime(member)) {
      return unreadable;
    }
    if (!member.isAtEnd) {
      const fault = member.nextIs(tags.sequence) && member.isAtEnd ? explainEntry(member) : unreadable;
      if (fault !== undefined) {
        return fault;
      }
    }
    // The first of the entries with one serial number counts. If each of them took a slot, adding one more
    // would have to pass all of their slots.
    const slot = this.#slotOf(comparableSerial(serial));
    if (slot === undefined) {
      return unreadable;
    }
    if (this.#slots[slot] === 0) {
      this.#slots[slot] = at + 1;
    }
    this.#count += 1;
    return undefined;
  }

  #serialAt(place: number): { serial: Uint8Array; reason: () => number } {
    const entry = new DerCursor(this.#bytes, place);
    entry.next();
    const member = new DerCursor(this.#bytes, entry.start, entry.end);
    member.next();
    return { serial: comparableSerial(member.content()), reason: () => reasonIn(member) };
  }
}

const unreadable: StatusReason = { code: 'unreadable', why: 'an entry of it can not be read' };

const tooManyExtensions: StatusReason = {
  code: 'too_large',
  why: `an entry of it has more than ${MAX_EXTENSIONS} extensions`,
};

/** Bytes of the two forms of a time, with seconds, in UTC (RFC 5280 §5.1.2.6). */
const timeLengths: ReadonlyMap<number, number> = new Map([
  [tags.utcTime, 13],
  [tags.generalizedTime, 15],
]);

const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const LETTER_Z = 0x5a;

/** Whether a cursor is at digits and a Z, as many as a time has. Whether there is such a day is not asked. */
function isTime({ bytes, tag, start, end }: DerCursor): boolean {
  if (end - start !== timeLengths.get(tag) || bytes[end - 1] !== LETTER_Z) {
    return false;
  }
  for (let at = start; at < end - 1; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte < DIGIT_0 || byte > DIGIT_9) {
      return false;
    }
  }
  return true;
}

/**
 * Why a list with such an entry must not be used (RFC 5280 §5.3), `undefined` if it may be. The
 * cursor is at the extensions of the entry.
 */
function explainEntry({ bytes, start, end }: DerCursor): StatusReason | undefined {
  const one = new DerCursor(bytes, start, end);
  for (let count = 1; one.next(); count += 1) {
    if (count > MAX_EXTENSIONS) {
      return tooManyExtensions;
    }
    const member = new DerCursor(bytes, one.start, one.end);
    if (one.tag !== tags.sequence || !member.nextIs(tags.objectIdentifier)) {
      return unreadable;
    }
    const last = entryExtension(member);
    if (last === extension.certificateIssuer) {
      return { code: 'form_not_supported', why: 'it is an indirect list, which is not supported' };
    }
    if (!member.next()) {
      return unreadable;
    }
    let isCritical = false;
    if (member.tag === tags.boolean) {
      isCritical = member.end !== member.start + 1 || bytes[member.start] !== 0;
      if (!member.next()) {
        return unreadable;
      }
    }
    if (member.tag !== tags.octetString || !member.isAtEnd) {
      return unreadable;
    }
    if (isCritical && last === undefined) {
      return { code: 'unreadable', why: 'an entry of it has a critical extension that is not known' };
    }
  }
  return one.isAtEnd ? undefined : unreadable;
}

/** The last byte of the object identifier that a cursor is at, if it is one of an entry's. */
function entryExtension({ bytes, start, end }: DerCursor): number | undefined {
  const last = bytes[end - 1] ?? 0;
  const isOfLists = end - start === 3 && bytes[start] === 0x55 && bytes[start + 1] === 0x1d;
  const isKnown =
    last === extension.reason ||
    last === extension.invalidityDate ||
    last === extension.holdInstruction ||
    last === extension.certificateIssuer;
  return isOfLists && isKnown ? last : undefined;
}

/** The reason of an entry; the cursor is at its serial number. 0, unspecified, for one without. */
function reasonIn(member: DerCursor): number {
  member.next();
  if (!member.next()) {
    return 0;
  }
  const one = new DerCursor(member.bytes, member.start, member.end);
  while (one.next()) {
    const part = new DerCursor(one.bytes, one.start, one.end);
    part.next();
    if (entryExtension(part) === extension.reason) {
      // Tag, length and value of an ENUMERATED are the end of the extension.
      return one.bytes[one.end - 1] ?? 0;
    }
  }
  return 0;
}
