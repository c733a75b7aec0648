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

/** Proofs that this process remembers at most: about 100 MB. */
const MAX_PROOFS = 1_000_000;
/**
 * One key may have an eighth of what is left. Alone it gets a ninth of all: a thousand requests a
 * second of proofs that are accepted for 90 seconds. To fill the memory takes about a hundred keys
 * and ten thousand requests a second, which is more than a process can verify.
 */
const SHARE_OF_KEY = 8;

/** Seconds. Proofs that end within one span are forgotten together. */
const SPAN = 10;

/** Milliseconds. */
const FORGET_EVERY = 1_000;

interface Span {
  readonly ids: Set<string>;
  readonly countOfKey: Map<string, number>;
  /** When none of its proofs would be accepted any more, by the monotonic clock: milliseconds. */
  keptUntil: number;
}

/**
 * Remembers in memory which proofs were used, until none of them would be accepted again. A proof is
 * forgotten only when the clock of the machine and the monotonic clock both say so, and what would
 * be older than a forgotten one is refused: a clock that is set back accepts no proof twice.
 */
export class UsedProofs {
  readonly #maxProofs: number;
  /** By the number of the span in which its proofs end. */
  readonly #spans = new Map<number, Span>();
  readonly #countOfKey = new Map<string, number>();
  #count = 0;
  /** When to look next for proofs to forget, by the monotonic clock: milliseconds. */
  #forgetAt = 0;
  /** Proofs that end before this span may have been forgotten. */
  #firstKept = 0;

  constructor(maxProofs = MAX_PROOFS) {
    this.#maxProofs = maxProofs;
  }

  /** How many proofs are remembered. */
  get size(): number {
    return this.#count;
  }

  /** Uses a proof up. Returns `fresh` for the first call with its id, and for no other. */
  take(proof: UsedProof, id = proofIdOf(proof)): Taken {
    this.#forget();
    const number = Math.floor(proof.acceptedUntil / SPAN);
    // A further proof with the same `jti` can have another `iat`, and so another span.
    for (const { ids } of this.#spans.values()) {
      if (ids.has(id)) {
        return 'replayed';
      }
    }
    if (number < this.#firstKept) {
      return 'too-old';
    }
    const left = this.#maxProofs - this.#count;
    if (left <= 0) {
      return 'full';
    }
    const ofKey = this.#countOfKey.get(proof.jkt) ?? 0;
    if (ofKey * SHARE_OF_KEY >= left) {
      return 'too-many';
    }
    this.#add(this.#spans.get(number) ?? this.#createSpan(number), proof, id);
    return 'fresh';
  }

  #createSpan(number: number): Span {
    const span: Span = { ids: new Set(), countOfKey: new Map(), keptUntil: 0 };
    this.#spans.set(number, span);
    return span;
  }

  #add(span: Span, { jkt, acceptedUntil }: UsedProof, id: string): void {
    span.ids.add(id);
    span.countOfKey.set(jkt, (span.countOfKey.get(jkt) ?? 0) + 1);
    span.keptUntil = Math.max(span.keptUntil, performance.now() + acceptedUntil * 1000 - Date.now());
    this.#countOfKey.set(jkt, (this.#countOfKey.get(jkt) ?? 0) + 1);
    this.#count += 1;
  }

  #forget(): void {
    const now = performance.now();
    if (now < this.#forgetAt) {
      return;
    }
    this.#forgetAt = now + FORGET_EVERY;
    const current = Math.floor(Date.now() / 1000 / SPAN);
    for (const [number, span] of this.#spans) {
      if (number < current && span.keptUntil < now) {
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
