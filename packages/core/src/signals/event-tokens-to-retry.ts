import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** Security Event Tokens that are remembered; the one that failed first is forgotten first. */
const MAX_FAILED = 10_000;

/**
 * Remembers Security Event Tokens that were verified and could not be acted on. A poll or the transmitter
 * tries them again, maybe after they have expired or their key is gone, so they are not verified again. Keeps
 * only their hashes.
 */
export class EventTokensToRetry {
  readonly #failed = new LRUCache<string, true>({ max: MAX_FAILED });

  add(jws: string): void {
    this.#failed.set(hashOf(jws), true);
  }

  has(jws: string): boolean {
    // Any client can send a push: a token is hashed only if some are remembered.
    return this.#failed.size > 0 && this.#failed.has(hashOf(jws));
  }

  delete(jws: string): void {
    if (this.#failed.size > 0) {
      this.#failed.delete(hashOf(jws));
    }
  }
}

function hashOf(jws: string): string {
  return createHash('sha256').update(jws).digest('base64url');
}
