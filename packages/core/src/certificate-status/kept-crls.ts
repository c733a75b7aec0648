import type { CrlHead } from './crl.js';

/** Kept lists of one file at most, and how many times `maxSize` they take at most. */
const MAX_KEPT = 100;
const KEPT_OF_MAX_SIZE = 4;

/** The lists of one file. */
export interface ListsOfFile {
  /** The lists that can be read, with their places in the file, from 1. */
  readonly heads: ReadonlyMap<CrlHead, number>;
  /**
   * Lists that the file held before, kept while the file holds a list of the same issuer that can't be used,
   * or that no key has opened. A kept list is dropped when a newer list of the same kind and key was opened,
   * when all lists of its issuer in the file were opened, or when too many are kept.
   */
  readonly kept: readonly CrlHead[];
  /** The lists that can't be read. */
  readonly unusable: readonly {
    /** Its place in the file, from 1. */
    readonly number: number;
    /** The comparable name of its issuer. Without one it may be the successor of any list. */
    readonly name: string | undefined;
    readonly why: string;
  }[];
}

/** What is known of the lists of all files. */
export interface KnownLists {
  /** The comparable name of the issuer of a list. */
  nameOf(head: CrlHead): string | undefined;
  /** Whether a key has opened a list. */
  isOpened(head: CrlHead): boolean;
  /** Whether a key has opened a list, and it is not from the future. */
  canBeUsed(head: CrlHead): boolean;
}

/**
 * The kept lists of a file beyond the limits. First go further lists of an issuer, then those whose issuer
 * has a list in the file, then those that no key has opened, then those that expire first.
 *
 * An issuer keeps as many lists in any case as it has unusable lists in the file. Of lists that a key has
 * opened, also as many as it has lists in the file that no key has opened. Unusable lists whose issuer is not
 * known keep as many lists of any issuers.
 */
export function findKeptBeyondLimits(
  { heads, kept, unusable }: ListsOfFile,
  maxSize: number,
  { nameOf, isOpened, canBeUsed }: KnownLists,
): readonly CrlHead[] {
  const unusableOf = countEach(unusable.map(({ name }) => name));
  const inFileOf = countEach([...heads.keys()].map(nameOf));
  const unopenedOf = countEach([...heads.keys()].filter((head) => !canBeUsed(head)).map(nameOf));
  const places = new Map<string | undefined, number>();
  const inOrder = kept
    .map((head) => {
      const name = nameOf(head);
      return { head, name, hasListInFile: Number(inFileOf.has(name)), isOpen: Number(isOpened(head)) };
    })
    .toSorted(
      (one, other) =>
        one.hasListInFile - other.hasListInFile ||
        other.isOpen - one.isOpen ||
        other.head.nextUpdate - one.head.nextUpdate,
    )
    .map((one) => {
      const place = places.get(one.name) ?? 0;
      places.set(one.name, place + 1);
      return { ...one, place };
    })
    .toSorted((one, other) => one.place - other.place);
  let size = 0;
  return inOrder
    .filter(({ head, name, isOpen, place }, index) => {
      size += head.der.length;
      const isBeyond = index >= MAX_KEPT || size > KEPT_OF_MAX_SIZE * maxSize;
      const ofIssuer = (unusableOf.get(name) ?? 0) + isOpen * (unopenedOf.get(name) ?? 0);
      return isBeyond && place >= ofIssuer && index >= (unusableOf.get(undefined) ?? 0);
    })
    .map(({ head }) => head);
}

function countEach(names: readonly (string | undefined)[]): ReadonlyMap<string | undefined, number> {
  const counts = new Map<string | undefined, number>();
  for (const name of names) {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
