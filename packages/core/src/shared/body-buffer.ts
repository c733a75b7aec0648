/** Bytes that each chunk costs in addition to its own: handling it takes time, however short it is. */
const CHUNK_COST = 256;

/** Extra bytes that a body may cost, so that a short body may come in small chunks. */
const SPARE = 65_536;

/** Why a body is not accepted. */
export type BodyFault = 'too_large' | 'too_many_chunks';

/** Returns the most that a body of up to `maxSize` bytes may cost, with its chunks or its framing. */
export function mostOnTheWire(maxSize: number): number {
  return 2 * maxSize + SPARE;
}

/**
 * Collects a body in one buffer. Each chunk is copied: a chunk of one byte, which is an object and holds the
 * memory that Node read it into, would take more than its byte.
 */
export class BodyBuffer {
  readonly #maxSize: number;
  #bytes: Buffer<ArrayBuffer> = Buffer.alloc(0);
  #size = 0;
  #chunks = 0;

  /** @param maxSize bytes */
  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  /** Adds a chunk. Returns the reason if the body is not accepted: from then on nothing is collected. */
  add(chunk: Uint8Array): BodyFault | undefined {
    const start = this.#size;
    this.#size += chunk.length;
    this.#chunks += 1;
    const fault = this.#fault();
    if (fault === undefined) {
      this.#grow(start);
      this.#bytes.set(chunk, start);
    } else {
      this.#bytes = Buffer.alloc(0);
    }
    return fault;
  }

  /** Returns the body, if all of its chunks were accepted. */
  toBuffer(): Buffer<ArrayBuffer> {
    return this.#bytes.length === this.#size ? this.#bytes : Buffer.from(this.#bytes.subarray(0, this.#size));
  }

  #fault(): BodyFault | undefined {
    if (this.#size > this.#maxSize) {
      return 'too_large';
    }
    const cost = this.#size + CHUNK_COST * this.#chunks;
    return cost > mostOnTheWire(this.#maxSize) ? 'too_many_chunks' : undefined;
  }

  /** Makes room for the last chunk. A body of one chunk gets no more than its bytes. */
  #grow(used: number): void {
    if (this.#size <= this.#bytes.length) {
      return;
    }
    const capacity = used === 0 ? this.#size : Math.max(this.#size, Math.min(2 * used, this.#maxSize));
    const grown = Buffer.allocUnsafe(capacity);
    this.#bytes.copy(grown, 0, 0, used);
    this.#bytes = grown;
  }
}
