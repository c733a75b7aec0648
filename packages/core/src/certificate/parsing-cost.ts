// The libraries make several objects of each element and one of each arc of an object identifier,
// compute with all bytes of a boolean, and look for DER in octet and bit strings: one certificate
// could stop the process for seconds. So they are given single names and extensions, whose elements
// are few, of known types, and no longer than these types need to be.

import { isConstructed, splitDer } from './der-elements.js';

/**
 * Elements of all parts together. Two names and three extensions have a hundred or so; 100
 * alternative names are 100 more.
 */
const MAX_ELEMENTS = 300;

/** Names and extensions need fewer than ten. */
const MAX_DEPTH = 16;

/** Bytes. Object identifiers in certificates have fewer than twenty. */
const MAX_OBJECT_IDENTIFIER = 64;

/** Bytes of all object identifiers of all parts together. Certificates have a few hundred. */
const MAX_OBJECT_IDENTIFIERS = 2_048;

/** Bytes. Names and URIs have a few hundred at most. */
const MAX_TEXT = 4_096;

const SEQUENCE = 0x30;
const SET = 0x31;
const CONTEXT_SPECIFIC = 0x80;
const OBJECT_IDENTIFIER = 0x06;
/** The object identifier among the alternative names (RFC 5280 §4.2.1.6). */
const REGISTERED_ID = 0x88;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;

/**
 * How many bytes the content of each type may have. A type that is not here is in no name and no
 * extension that rules read. UniversalString is missing on purpose: the library that reads names
 * keeps half of each character, so that another name could read like the one that a rule demands.
 */
const maxContent: ReadonlyMap<number, number> = new Map([
  [0x01, 1], // BOOLEAN
  [0x02, 32], // INTEGER
  [BIT_STRING, 128],
  [OCTET_STRING, 128],
  [0x05, 0], // NULL
  [OBJECT_IDENTIFIER, MAX_OBJECT_IDENTIFIER],
  [0x0a, 32], // ENUMERATED
  [0x0c, MAX_TEXT], // UTF8String
  [0x12, MAX_TEXT], // NumericString
  [0x13, MAX_TEXT], // PrintableString
  [0x14, MAX_TEXT], // TeletexString
  [0x16, MAX_TEXT], // IA5String
  [0x17, 32], // UTCTime
  [0x18, 32], // GeneralizedTime
  [0x1a, MAX_TEXT], // VisibleString
  [0x1b, MAX_TEXT], // GeneralString
  [0x1e, MAX_TEXT], // BMPString
  [REGISTERED_ID, MAX_OBJECT_IDENTIFIER],
]);

/** What a library would have to read. */
export interface ParsingCost {
  readonly elements: number;
  /** Bytes of object identifiers. */
  readonly identifiers: number;
  /** Why the bytes must not be parsed, whatever else is; `undefined` if they may be. */
  readonly why: string | undefined;
}

/**
 * Counts what a name or the value of an extension holds, by tags and lengths alone. What the
 * content means is for the libraries to read.
 */
export function measureParsingCost(der: Uint8Array): ParsingCost {
  const open: { readonly bytes: Uint8Array; readonly depth: number }[] = [{ bytes: der, depth: 1 }];
  let elements = 0;
  let identifiers = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const members = splitDer(next.bytes);
    if (members === undefined) {
      return { elements, identifiers, why: 'it is no DER' };
    }
    if (next.depth > MAX_DEPTH && members.length > 0) {
      return { elements, identifiers, why: `its elements are nested more than ${MAX_DEPTH} deep` };
    }
    for (const { tag, content } of members) {
      elements += 1;
      if (isKnownConstructed(tag)) {
        open.push({ bytes: content, depth: next.depth + 1 });
        continue;
      }
      const why = explainTooLong(tag, content.length);
      if (why !== undefined) {
        return { elements, identifiers, why };
      }
      identifiers += tag === OBJECT_IDENTIFIER || tag === REGISTERED_ID ? content.length : 0;
      // A library may read the content as elements, and an element has two bytes at least.
      elements += tag === BIT_STRING || tag === OCTET_STRING ? content.length >> 1 : 0;
    }
  }
  return { elements, identifiers, why: undefined };
}

/** Says why parts cost too much together, or returns `undefined` if they do not. */
export function explainTooCostly(parts: readonly ParsingCost[]): string | undefined {
  const sum = (count: (part: ParsingCost) => number) => parts.reduce((all, part) => all + count(part), 0);
  if (sum(({ elements }) => elements) > MAX_ELEMENTS) {
    return `its names and extensions have more than ${MAX_ELEMENTS} elements`;
  }
  return sum(({ identifiers }) => identifiers) > MAX_OBJECT_IDENTIFIERS
    ? `its object identifiers have more than ${MAX_OBJECT_IDENTIFIERS} bytes`
    : undefined;
}

function explainTooLong(tag: number, length: number): string | undefined {
  const max = maxContentOf(tag);
  const type = `0x${tag.toString(16).padStart(2, '0')}`;
  if (max === undefined) {
    return `an element has the type ${type}, which none needs`;
  }
  return length > max ? `an element of the type ${type} has more than ${max} bytes` : undefined;
}

function isContextSpecific(tag: number): boolean {
  return (tag & 0xc0) === CONTEXT_SPECIFIC;
}

function isKnownConstructed(tag: number): boolean {
  return tag === SEQUENCE || tag === SET || (isContextSpecific(tag) && isConstructed(tag));
}

/**
 * A context-specific element is a text or an address, except for the one that `maxContent` names.
 */
function maxContentOf(tag: number): number | undefined {
  const isText = isContextSpecific(tag) && !isConstructed(tag);
  return maxContent.get(tag) ?? (isText ? MAX_TEXT : undefined);
}
