import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { TokenAnswer, TokenClaims, TokenDefect, TokenReader } from '../token-claims.js';

/** How long answers about tokens are kept. Times in seconds. */
export interface TokenCacheRules {
  /** How long an active token's claims serve; 0 keeps none. Never beyond the token's `exp` (RFC 7662 §4). */
  readonly maxAge: number;
  /** How many active tokens are kept; the one used longest ago goes first. */
  readonly maxEntries: number;
  /** How long a token that is not active is refused without asking again; 0 asks each time. */
  readonly inactiveMaxAge: number;
}

// Their own small region: a flood of bad tokens displaces other bad tokens, never a good one.
const INACTIVE_MAX_ENTRIES = 1_000;

// The wall clock, by which tokens expire too: a monotonic one stands still while a machine is suspended, and a
// revoked token would outlive the night.
const clock = { perf: { now: () => Date.now() }, ttlResolution: 0 };

/**
 * Remembers what the authorization server said of a token, never a verdict on a request. Keyed by a hash: whoever
 * sees the cache's keys learns no token (RFC 9700 §4.9.3). Troubles are not remembered.
 */
export class TokenCache {
  readonly #rules: TokenCacheRules;
  readonly #read: TokenReader;
  readonly #active: LRUCache<string, TokenClaims>;
  readonly #inactive: LRUCache<string, TokenDefect>;
  readonly #flights = new Map<string, Promise<TokenAnswer>>();

  constructor(rules: TokenCacheRules, read: TokenReader) {
    this.#rules = rules;
    this.#read = read;
    this.#active = new LRUCache({ max: rules.maxEntries, ...clock });
    this.#inactive = new LRUCache({ max: INACTIVE_MAX_ENTRIES, ...clock });
  }

  /** The answer at once when it is known, otherwise a promise shared by all who ask for the same token meanwhile. */
  get(token: string): TokenAnswer | Promise<TokenAnswer> {
    const key = createHash('sha256').update(token).digest('base64url');
    return (
      this.#active.get(key) ?? this.#inactive.get(key) ?? this.#flights.get(key) ?? this.#fly(key, token)
    );
  }

  #fly(key: string, token: string): Promise<TokenAnswer> {
    const flight = this.#ask(key, token).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }

  async #ask(key: string, token: string): Promise<TokenAnswer> {
    const answer = await this.#read(token);
    this.#keep(key, answer);
    return answer;
  }

  #keep(key: string, answer: TokenAnswer): void {
    if (typeof answer === 'string') {
      keepFor(this.#rules.inactiveMaxAge, this.#inactive, key, answer);
      return;
    }
    const untilExpiry =
      answer.expiresAt === undefined ? Number.POSITIVE_INFINITY : answer.expiresAt - Date.now() / 1000;
    keepFor(Math.min(this.#rules.maxAge, untilExpiry), this.#active, key, answer);
  }
}

function keepFor<T extends object | string>(
  seconds: number,
  region: LRUCache<string, T>,
  key: string,
  value: T,
): void {
  // lru-cache takes a ttl of 0 for "for ever", and wants whole milliseconds.
  const ttl = Math.floor(seconds * 1000);
  if (ttl >= 1) {
    region.set(key, value, { ttl });
  }
}
