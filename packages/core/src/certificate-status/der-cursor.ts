/** The most bytes that a length takes here: four hold any length that a list may have. */
const MAX_LENGTH_BYTES = 4;

/**
 * Steps through elements of DER without making an object of each: a revocation list has a hundred
 * thousand. Reads tags of one byte, and definite lengths (X.690 §8.1, §10.1).
 */
export class DerCursor {
  /** The tag of the element that the last `next()` found. */
  tag = 0;
  /** Where this element begins, where its content begins, and where it ends. */
  at = 0;
  start = 0;
  end = 0;
  readonly bytes: Uint8Array;
  readonly #limit: number;
  #next: number;

  constructor(bytes: Uint8Array, from = 0, limit = bytes.length) {
    this.bytes = bytes;
    this.#limit = limit;
    this.#next = from;
  }

  /** Whether the elements fill the bytes exactly, and all were found. */
  get isAtEnd(): boolean {
    return this.#next === this.#limit;
  }

  /** Finds the next element. Returns `false` at the end and for what is no DER. */
  next(): boolean {
    const at = this.#next;
    const { bytes } = this;
    if (at + 2 > this.#limit) {
      return false;
    }
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1] ?? 0x80;
    const lengthBytes = first < 0x80 ? 0 : first - 0x80;
    const start = at + 2 + lengthBytes;
    if ((tag & 0x1f) === 0x1f || first === 0x80 || lengthBytes > MAX_LENGTH_BYTES || start > this.#limit) {
      return false;
    }
    let length = lengthBytes === 0 ? first : 0;
    for (let index = at + 2; index < start; index += 1) {
      length = length * 256 + (bytes[index] ?? 0);
    }
    const end = start + length;
    if (end > this.#limit) {
      return false;
    }
    this.tag = tag;
    this.at = at;
    this.start = start;
    this.end = end;
    this.#next = end;
    return true;
  }

  /** Finds the next element. Returns `false` unless it has this tag. */
  nextIs(tag: number): boolean {
    return this.next() && this.tag === tag;
  }

  /** A view of the content of the element. */
  content(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }

  /** A view of tag, length and content of the element. */
  whole(): Uint8Array {
    return this.bytes.subarray(this.at, this.end);
  }
}
