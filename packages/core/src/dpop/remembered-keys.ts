import { LRUCache } from 'lru-cache';
import type { ProofKey } from './proof-key.js';

const MAX_KEYS = 10_000;
/** Characters. The header of a proof by an RSA key of 8,192 bits has 2,000. */
const MAX_HEADER_LENGTH = 3_000;

/**
 * Remembers the keys of clients by the headers of their proofs: a client sends the same header with
 * each. Of one key only the latest header is remembered, so that a client that changes its header
 * displaces no other.
 */
export class RememberedKeys {
  readonly #byHeader: LRUCache<string, ProofKey>;
  readonly #headerOf = new Map<string, string>();

  constructor(max = MAX_KEYS) {
    this.#byHeader = new LRUCache<string, ProofKey>({
      max,
      dispose: ({ jkt }) => this.#headerOf.delete(jkt),
    });
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#byHeader.size;
  }

  find(header: string): ProofKey | undefined {
    return this.#byHeader.get(header);
  }

  /**
   * Remembers the key of a proof whose signature was right: made-up proofs displace none.
   *
   * @param header in base64url
   */
  add(header: string, key: ProofKey): void {
    const earlier = this.#headerOf.get(key.jkt);
    if (earlier === header || header.length > MAX_HEADER_LENGTH) {
      return;
    }
    this.#byHeader.delete(earlier ?? header);
    // A copy: V8 keeps the whole proof alive for a piece of it.
    const copy = Buffer.from(header, 'latin1').toString('latin1');
    this.#byHeader.set(copy, key);
    this.#headerOf.set(key.jkt, copy);
  }
}
