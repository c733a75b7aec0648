import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { TokenAnswer, TokenClaims, TokenDefect } from '../token-claims.js';

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

/** Whom a token is asked of. */
export interface Asked {
  /** Tells the answers of one from those of another; empty where there is but one. */
  readonly id: string;
  readonly read: (token: string) => Promise<TokenAnswer>;
}

/**
 * Remembers what the authorization server said of a token, never a verdict on a request. Keyed by a hash: whoever
 * sees the cache's keys learns no token (RFC 9700 §4.9.3). Troubles are not remembered.
 */
export class TokenCache {
  readonly #rules: TokenCacheRules;
  readonly #active: LRUCache<string, TokenClaims>;
  readonly #inactive: LRUCache<string, TokenDefect>;
  readonly #flights = new Map<string, Promise<TokenAnswer>>();

  constructor(rules: TokenCacheRules) {
    this.#rules = rules;
    this.#active = new LRUCache({ max: rules.maxEntries, ...clock });
    this.#inactive = new LRUCache({ max: INACTIVE_MAX_ENTRIES, ...clock });
  }

  /** The answer at once when it is known, otherwise a promise shared by all who ask for the same token meanwhile. */
  get(token: string, asked: Asked): TokenAnswer | Promise<TokenAnswer> {
    const key = keyOf(token, asked);
    return this.#active.get(key) ?? this.#inactive.get(key) ?? this.#ask(key, token, asked);
  }

  /** Asks whatever is known. That the token is good is not remembered, that it is not is. */
  confirm(token: string, asked: Asked): Promise<TokenAnswer> {
    return this.#fly(`${keyOf(token, asked)} now`, async () => {
      const answer = await asked.read(token);
      if (typeof answer === 'string') {
        this.#keep(keyOf(token, asked), answer);
      }
      return answer;
    });
  }

  #ask(key: string, token: string, asked: Asked): Promise<TokenAnswer> {
    return this.#fly(key, async () => {
      const answer = await asked.read(token);
      this.#keep(key, answer);
      return answer;
    });
  }

  #fly(name: string, ask: () => Promise<TokenAnswer>): Promise<TokenAnswer> {
    const flight = this.#flights.get(name) ?? ask().finally(() => this.#flights.delete(name));
    this.#flights.set(name, flight);
    return flight;
  }

  #keep(key: string, answer: TokenAnswer): void {
    if (typeof answer === 'string') {
      this.#active.delete(key);
      keepFor(this.#rules.inactiveMaxAge, this.#inactive, key, answer);
      return;
    }
    const untilExpiry =
      answer.expiresAt === undefined ? Number.POSITIVE_INFINITY : answer.expiresAt - Date.now() / 1000;
    keepFor(Math.min(this.#rules.maxAge, untilExpiry), this.#active, key, answer);
  }
}

function keyOf(token: string, { id }: Asked): string {
  return createHash('sha256').update(token).digest('base64url') + id;
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
