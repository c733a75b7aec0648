import { type DerElement, splitDer } from './der-elements.js';

type TagName =
  | 'boolean'
  | 'integer'
  | 'bitString'
  | 'octetString'
  | 'objectIdentifier'
  | 'enumerated'
  | 'utcTime'
  | 'generalizedTime'
  | 'sequence'
  | 'set';

/** The tags of what certificates, revocation lists and OCSP answers consist of. */
export const tags: Readonly<Record<TagName, number>> = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  enumerated: 0x0a,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
};

/** The elements within an element of the expected tag; `undefined` for an element of another tag. */
export function membersOf(
  element: DerElement | undefined,
  expectedTag: number,
): readonly DerElement[] | undefined {
  return element?.tag === expectedTag ? splitDer(element.content) : undefined;
}

/** Returns the only item of a list; `undefined` if it has none or several. */
export function onlyItem<T>(list: readonly T[] | undefined): T | undefined {
  return list?.length === 1 ? list[0] : undefined;
}

/** The one element that fills the bytes; `undefined` if none does. */
export function onlyElement(bytes: Uint8Array | undefined): DerElement | undefined {
  return onlyItem(bytes && splitDer(bytes));
}

/** The elements within a sequence that fills the bytes; `undefined` if none does. */
export function sequenceOf(bytes: Uint8Array | undefined): readonly DerElement[] | undefined {
  return membersOf(onlyElement(bytes), tags.sequence);
}

/** Bytes. Object identifiers in use have fewer than twenty. */
const MAX_IDENTIFIER = 64;

/** The content of an object identifier, in hex. `undefined` for another element. */
export function identifierOf(element: DerElement | undefined): string | undefined {
  const length = element?.content.length ?? 0;
  return element?.tag === tags.objectIdentifier && length > 0 && length <= MAX_IDENTIFIER
    ? Buffer.from(element.content).toString('hex')
    : undefined;
}

/** Whether two byte strings are the same. */
export function isSameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

/** An extension of a list or of an answer. */
export interface Extension {
  /** The content of its object identifier, in hex. */
  readonly id: string;
  readonly isCritical: boolean;
  /** The DER within its octet string. */
  readonly value: Uint8Array;
}

/**
 * Reads the DER of `Extensions` (RFC 5280 §4.1). `undefined` for what is none, and if an extension
 * is there twice.
 */
export function readExtensions(der: Uint8Array): readonly Extension[] | undefined {
  const listed = sequenceOf(der);
  const read = listed?.map(readExtension);
  if (read === undefined || !read.every((extension) => extension !== undefined)) {
    return undefined;
  }
  return new Set(read.map(({ id }) => id)).size === read.length ? read : undefined;
}

function readExtension(element: DerElement): Extension | undefined {
  const members = membersOf(element, tags.sequence);
  const id = identifierOf(members?.[0]);
  const value = members?.at(-1);
  const critical = members?.length === 3 ? members[1] : undefined;
  if (
    members === undefined ||
    id === undefined ||
    value?.tag !== tags.octetString ||
    (members.length === 3
      ? critical?.tag !== tags.boolean || critical.content.length !== 1
      : members.length !== 2)
  ) {
    return undefined;
  }
  return { id, isCritical: critical !== undefined && critical.content[0] !== 0, value: value.content };
}

/**
 * Reads a time (RFC 5280 §4.1.2.5) in milliseconds since the epoch. `undefined` for what is none.
 */
export function readTime(tag: number, content: Uint8Array): number | undefined {
  const text = Buffer.from(content).toString('latin1');
  const isShort = tag === tags.utcTime;
  if (!isShort && tag !== tags.generalizedTime) {
    return undefined;
  }
  const form = isShort
    ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
    : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
  const parts = form.exec(text)?.slice(1).map(Number);
  if (parts === undefined) {
    return undefined;
  }
  const [written = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts;
  const year = isShort ? written + (written < 50 ? 2000 : 1900) : written;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const isRead =
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    minute < 60;
  return isRead && second < 60 ? date.getTime() : undefined;
}

/** Returns a serial number without needless leading bytes, so that equal numbers have equal bytes. */
export function comparableSerial(content: Uint8Array): Uint8Array {
  let start = 0;
  while (start < content.length - 1 && isRedundant(content[start] ?? 0, content[start + 1] ?? 0)) {
    start += 1;
  }
  return content.subarray(start);
}

/** Whether the first byte repeats the sign of the next one alone (X.690 §8.3.2). */
function isRedundant(byte: number, next: number): boolean {
  return (byte === 0x00 && next < 0x80) || (byte === 0xff && next >= 0x80);
}
