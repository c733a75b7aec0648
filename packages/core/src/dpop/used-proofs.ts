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
 * What a used proof is known by in all processes. With the key in it, no client can use up the `jti` of
 * another.
 */
export function proofIdOf({ jkt, jti }: UsedProof): string {
  return hash('sha256', `${jkt} ${jti}`, 'base64url');
}

/** How a proof was taken. */
export type Taken = 'fresh' | 'replayed' | 'too-old' | 'too-many' | 'full';

/** Proofs that this process remembers at most: about 200 MB. */
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

/**
 * The names of all proofs are in so many sets, those of one key in one: the process stands still
 * while a set grows, for half a second where it has a million.
 */
const SETS = 64;

/** Characters. Of a longer `jti` the hash is remembered, which has as many. */
const MAX_JTI_LENGTH = 43;

/** A key of which proofs are remembered. */
interface UsedKey {
  readonly jkt: string;
  /** What the names of its proofs begin with. No other key has had it. */
  readonly number: string;
  /** Where its proofs are remembered, by their names. */
  readonly names: Set<string>;
  /** How many of them are its own. */
  count: number;
}

interface Span {
  readonly names: string[];
  /** The key of each proof, in the order of `names`. */
  readonly keys: UsedKey[];
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
  readonly #sets = Array.from({ length: SETS }, () => new Set<string>());
  /** By the number of the span in which its proofs end. */
  readonly #spans = new Map<number, Span>();
  readonly #keys = new Map<string, UsedKey>();
  /** How many keys have had a number. */
  #numbers = 0;
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

  /** Uses a proof up. Returns `fresh` for the first call with its key and `jti`, and for no other. */
  take({ jkt, jti, acceptedUntil }: UsedProof): Taken {
    this.#forget();
    const key = this.#keys.get(jkt) ?? this.#createKey(jkt);
    const name = nameOf(key, jti);
    // A further proof with the same `jti` can have another `iat`, and so another span.
    if (key.names.has(name)) {
      return 'replayed';
    }
    const number = Math.floor(acceptedUntil / SPAN);
    if (number < this.#firstKept) {
      return 'too-old';
    }
    const left = this.#maxProofs - this.#count;
    if (left <= 0) {
      return 'full';
    }
    if (key.count * SHARE_OF_KEY >= left) {
      return 'too-many';
    }
    if (key.count === 0) {
      this.#keys.set(jkt, key);
    }
    key.count += 1;
    this.#count += 1;
    key.names.add(name);
    const span = this.#spans.get(number) ?? this.#createSpan(number);
    span.names.push(name);
    span.keys.push(key);
    const keptUntil = performance.now() + acceptedUntil * 1000 - Date.now();
    span.keptUntil = Math.max(span.keptUntil, keptUntil);
    return 'fresh';
  }

  /** It is kept from its first proof on. */
  #createKey(jkt: string): UsedKey {
    this.#numbers += 1;
    const names = this.#sets[this.#numbers % SETS] as Set<string>;
    return { jkt, number: String(this.#numbers), names, count: 0 };
  }

  #createSpan(number: number): Span {
    const span: Span = { names: [], keys: [], keptUntil: 0 };
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
    for (const [number, span] of this.#spans) {
      if (number < current && span.keptUntil < now) {
        this.#spans.delete(number);
        this.#firstKept = Math.max(this.#firstKept, number + 1);
        this.#count -= span.names.length;
        for (const [index, key] of span.keys.entries()) {
          key.names.delete(span.names[index] as string);
          key.count -= 1;
          if (key.count === 0) {
            this.#keys.delete(key.jkt);
          }
        }
      }
    }
  }
}

/** It never looks like a number: V8 hashes such a text so that a client could make many alike. */
function nameOf({ number }: UsedKey, jti: string): string {
  return jti.length > MAX_JTI_LENGTH ? `${number}#${hash('sha256', jti, 'base64url')}` : `${number} ${jti}`;
}
