import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { SecurityEventToken } from './security-event-token.js';

/** Security Event Tokens that are remembered; the oldest is forgotten first. */
const MAX_HANDLED = 10_000;

/**
 * Acts once on each Security Event Token. A token with the same `jti`, events and subject shares
 * the outcome of the first; a failure is forgotten, so that the transmitter's next attempt is acted
 * on.
 */
export class HandledEventTokens {
  readonly #handled = new LRUCache<string, Promise<void>>({ max: MAX_HANDLED });

  /**
   * Returns whether the token was seen before, once it was acted on. Rejects with what `act`
   * rejects with.
   */
  async actOnce(token: SecurityEventToken, act: () => Promise<void>): Promise<boolean> {
    const { jti, events, subject } = token;
    const key = createHash('sha256')
      .update(JSON.stringify([jti, events, subject ?? null]))
      .digest('base64url');
    const before = this.#handled.get(key);
    if (before !== undefined) {
      await before;
      return true;
    }
    const acting = act();
    this.#handled.set(key, acting);
    try {
      await acting;
    } catch (error) {
      this.#handled.delete(key);
      throw error;
    }
    return false;
  }
}
