import { hash, randomUUID } from 'node:crypto';
import { type ProofName, ProofTable } from './proof-table.js';

/** A proof that is used up: its key, its `jti`, and until when it would be accepted. */
export interface UsedProof {
  /** The thumbprint of its key. */
  readonly jkt: string;
  readonly jti: string;
  /** Seconds since the epoch. */
  readonly acceptedUntil: number;
}

/**
 * What a used proof is known by in all processes. With the key in it, no client can use up the `jti` of
 * another.
 */
export function proofIdOf({ jkt, jti }: UsedProof): string {
  return hash('sha256', `${jkt} ${jti}`, 'base64url');
}

/**
 * How a proof was taken. `too-many` is the fault of its key. `full` is that of all keys: they have
 * used more than half of the memory, and the rest is too little for one more proof of this key.
 */
export type TakeOutcome = 'fresh' | 'replayed' | 'too-old' | 'too-many' | 'full';

/** Proofs that this process remembers at most: 34 MB, or 202 MB if each has another key. */
const MAX_PROOFS = 1_000_000;
/**
 * One key may use up to an eighth of the places that are free. A key that is alone gets a ninth of all
 * places: the free ones become fewer while it takes them. For proofs that are accepted for 90 seconds, that
 * is about 1,100 requests a second by one key. All keys together fill the memory with 9,900 requests a
 * second; with 3,200 or 1,600 if nonces count for 300 or 600 seconds. A proof is remembered for up to 11
 * seconds after it is no longer accepted.
 */
const SHARE_OF_KEY = 8;

/** Seconds. Proofs that end within one span are forgotten together. */
const SPAN = 10;

/** Milliseconds. */
const FORGET_EVERY = 1_000;

/** A key of which proofs are remembered. */
interface UsedKey {
  readonly jkt: string;
  /** How many proofs. */
  count: number;
}

interface Span {
  /** How many proofs of each key end within it. */
  readonly counts: Map<UsedKey, number>;
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
  /** A secret of this process alone, so that no client can choose a name. */
  readonly #secret = randomUUID();
  readonly #names = new ProofTable();
  /** By the number of the span in which its proofs end. */
  readonly #spans = new Map<number, Span>();
  readonly #keys = new Map<string, UsedKey>();
  #count = 0;
  /** When to look next for proofs to forget, by the monotonic clock: milliseconds. */
  #forgetAt = 0;
  /** Proofs that end before this span may have been forgotten, and no further one is accepted. */
  #firstKept = 1;

  constructor(maxProofs = MAX_PROOFS) {
    this.#maxProofs = maxProofs;
  }

  /** How many proofs are remembered. */
  get size(): number {
    return this.#count;
  }

  /** How many keys have proofs that are remembered. */
  get keyCount(): number {
    return this.#keys.size;
  }

  /** Uses a proof up. Returns `fresh` for the first call with its key and `jti`, and for no other. */
  take({ jkt, jti, acceptedUntil }: UsedProof): TakeOutcome {
    this.#forget();
    const name = this.#nameOf(jkt, jti);
    // A further proof with the same `jti` can have another `iat`, and so another span.
    if (this.#names.has(name)) {
      return 'replayed';
    }
    const number = Math.floor(acceptedUntil / SPAN);
    if (number < this.#firstKept) {
      return 'too-old';
    }
    const left = this.#maxProofs - this.#count;
    const key = this.#keys.get(jkt) ?? { jkt, count: 0 };
    if (left <= 0 || key.count * SHARE_OF_KEY >= left) {
      return left * 2 < this.#maxProofs ? 'full' : 'too-many';
    }
    this.#names.add(name, number);
    this.#keys.set(jkt, key);
    key.count += 1;
    this.#count += 1;
    const span = this.#spans.get(number) ?? this.#createSpan(number);
    span.counts.set(key, (span.counts.get(key) ?? 0) + 1);
    const keptUntil = performance.now() + acceptedUntil * 1000 - Date.now();
    span.keptUntil = Math.max(span.keptUntil, keptUntil);
    return 'fresh';
  }

  /** That of two proofs is the same only if key and `jti` are: a hash of 96 bits with a secret. */
  #nameOf(jkt: string, jti: string): ProofName {
    const bytes = hash('sha256', `${this.#secret} ${jkt} ${jti}`, 'binary');
    return [wordOf(bytes, 0), wordOf(bytes, 4), wordOf(bytes, 8)];
  }

  #createSpan(number: number): Span {
    const span: Span = { counts: new Map(), keptUntil: 0 };
    this.#spans.set(number, span);
    return span;
  }

  #forget(): void {
    const now = performance.now();
    if (now < this.#forgetAt) {
      return;
    }
    this.#forgetAt = now + FORGET_EVERY;
    const current = Math.floor(Date.now() / 1000 / SPAN);
    const ended: number[] = [];
    for (const [number, span] of this.#spans) {
      if (number < current && span.keptUntil < now) {
        ended.push(number);
        this.#spans.delete(number);
        this.#firstKept = Math.max(this.#firstKept, number + 1);
        this.#release(span);
      }
    }
    this.#names.removeSpans(ended);
  }

  #release({ counts }: Span): void {
    for (const [key, count] of counts) {
      this.#count -= count;
      key.count -= count;
      if (key.count === 0) {
        this.#keys.delete(key.jkt);
      }
    }
  }
}

/** Four bytes of a binary text, as a number of 32 bits without sign. */
function wordOf(bytes: string, at: number): number {
  const low = bytes.charCodeAt(at) | (bytes.charCodeAt(at + 1) << 8);
  return (low | (bytes.charCodeAt(at + 2) << 16) | (bytes.charCodeAt(at + 3) << 24)) >>> 0;
}
