import { hash } from 'node:crypto';

/** A proof that is used up: its key, its `jti`, and until when it would be accepted. */
export interface UsedProof {
  /** The thumbprint of its key. */
  readonly jkt: string;
  readonly jti: string;
  /** Seconds since the epoch. */
  readonly acceptedUntil: number;
}

/**
 * What a proof is known by, once used. With the key in it, no client can use up the `jti` of
 * another.
 */
export function proofIdOf({ jkt, jti }: UsedProof): string {
  return hash('sha256', `${jkt} ${jti}`, 'base64url');
}

/** How a proof was taken. */
export type Taken = 'fresh' | 'replayed' | 'too-old' | 'too-many' | 'full';

/** Proofs that this process has accepted. */
const MAX_PROOFS = 1_000_000;
/** Proofs of one key: a client that sends a thousand requests a second stays below it. */
export const MAX_PROOFS_OF_KEY = 100_000;

/** Seconds. Proofs that end within one span are forgotten together. */
const SPAN = 10;

interface Span {
  readonly ids: Set<string>;
  readonly countOfKey: Map<string, number>;
  /** The last moment at which a proof was added, by the monotonic clock: milliseconds. */
  addedAt: number;
}

/**
 * Remembers in memory which proofs were used, until none of them would be accepted again. A proof is
 * forgotten only when the clock of the machine and the monotonic clock both say so, and what would
 * be older than a forgotten one is refused: a clock that is set back accepts no proof twice.
 */
export class UsedProofs {
  readonly #lifetime: number;
  readonly #maxProofs: number;
  readonly #maxOfKey: number;
  /** By the number of the span in which its proofs end. */
  readonly #spans = new Map<number, Span>();
  readonly #countOfKey = new Map<string, number>();
  #count = 0;
  /** Proofs that end before this span may have been forgotten. */
  #firstKept = 0;

  /**
   * @param lifetime seconds for which a proof may be accepted after it was used
   */
  constructor(lifetime: number, maxProofs = MAX_PROOFS, maxOfKey = MAX_PROOFS_OF_KEY) {
    this.#lifetime = lifetime;
    this.#maxProofs = maxProofs;
    this.#maxOfKey = maxOfKey;
  }

  /** How many proofs are remembered. */
  get size(): number {
    return this.#count;
  }

  /** Uses a proof up. Returns `fresh` for the first call with its id, and for no other. */
  take(proof: UsedProof, id = proofIdOf(proof)): Taken {
    this.#forget();
    const number = Math.floor(proof.acceptedUntil / SPAN);
    const span = this.#spans.get(number);
    if (span?.ids.has(id) === true) {
      return 'replayed';
    }
    if (number < this.#firstKept) {
      return 'too-old';
    }
    const ofKey = this.#countOfKey.get(proof.jkt) ?? 0;
    if (ofKey >= this.#maxOfKey) {
      return 'too-many';
    }
    if (this.#count >= this.#maxProofs) {
      return 'full';
    }
    this.#add(span ?? this.#createSpan(number), proof.jkt, id);
    return 'fresh';
  }

  #createSpan(number: number): Span {
    const span: Span = { ids: new Set(), countOfKey: new Map(), addedAt: 0 };
    this.#spans.set(number, span);
    return span;
  }

  #add(span: Span, jkt: string, id: string): void {
    span.ids.add(id);
    span.countOfKey.set(jkt, (span.countOfKey.get(jkt) ?? 0) + 1);
    span.addedAt = performance.now();
    this.#countOfKey.set(jkt, (this.#countOfKey.get(jkt) ?? 0) + 1);
    this.#count += 1;
  }

  #forget(): void {
    const current = Math.floor(Date.now() / 1000 / SPAN);
    const addedBefore = performance.now() - this.#lifetime * 1000;
    for (const [number, span] of this.#spans) {
      if (number < current && span.addedAt < addedBefore) {
        this.#spans.delete(number);
        this.#firstKept = Math.max(this.#firstKept, number + 1);
        this.#count -= span.ids.size;
        for (const [jkt, count] of span.countOfKey) {
          const left = (this.#countOfKey.get(jkt) ?? 0) - count;
          if (left > 0) {
            this.#countOfKey.set(jkt, left);
          } else {
            this.#countOfKey.delete(jkt);
          }
        }
      }
    }
  }
}
