import { LRUCache } from 'lru-cache';
import { RequestRefused } from '../errors.js';
import { publishCache } from '../observe/events.js';
import { readTokenClaims, type TokenAnswer, type TokenClaims, type TokenDefect } from '../token-claims.js';
import { allSettled } from '../unwaited.js';
import { hashOf, type Known, type Revocations } from './revocations.js';
import type { SharedCache } from './shared-cache.js';

/** How long answers about tokens are kept. Times in seconds. */
export interface TokenCacheRules {
  /** How long an active token's claims serve; 0 keeps none. Never beyond the token's `exp` (RFC 7662 §4). */
  readonly maxAge: number;
  /** How many active tokens are kept; the one used longest ago goes first. */
  readonly maxEntries: number;
  /** How many bytes they may take, by our estimate. */
  readonly maxSize: number;
  /** How long a token that is not active is refused without asking again; 0 asks each time. */
  readonly inactiveMaxAge: number;
  /** How long before its end an answer in use is asked for anew, while it serves on; 0 never does. */
  readonly refreshAhead: number;
  /** How long an answer serves beyond `maxAge` while the authorization server can't be asked. */
  readonly staleIfError: number;
}

/** Whom a token is asked of. */
export interface Asked {
  /** Tells the answers of one from those of another; empty where there is but one. */
  readonly id: string;
  /** The same across processes, and apart from those who would get another answer: other resource servers. */
  readonly sharedId: string;
  readonly read: (token: string) => Promise<TokenAnswer>;
  /** Whether `read` may ask the authorization server, rather than read what the token says of itself. */
  readonly isServer: boolean;
  /** Whether these claims are the authorization server's answer, rather than what the token says of itself. */
  readonly wasAsked: (answer: TokenClaims) => boolean;
}

/** Times in milliseconds since the epoch. */
interface Entry extends Known {
  readonly freshUntil: number;
}

interface Inactive {
  readonly defect: TokenDefect;
  readonly until: number;
}

// Their own small region: a flood of bad tokens displaces other bad tokens, never a good one.
const INACTIVE_MAX_ENTRIES = 1_000;

/** The share of an answer's life by which it may end earlier, so that what was learnt together is not forgotten together. */
const JITTER = 0.1;

/**
 * Remembers what the authorization server said of a token, never a verdict on a request. Keyed by a hash: whoever
 * sees the cache's keys learns no token (RFC 9700 §4.9.3). Troubles are not remembered.
 *
 * By the wall clock, by which tokens expire too: a monotonic one stands still while a machine is suspended, and a revoked
 * token would outlive the night.
 */
export class TokenCache {
  readonly #rules: TokenCacheRules;
  readonly #revocations: Revocations;
  readonly #shared: SharedCache | undefined;
  readonly #active: LRUCache<string, Entry>;
  readonly #inactive: LRUCache<string, Inactive>;
  readonly #flights = new Map<string, Promise<TokenAnswer>>();
  #isSettling = false;

  constructor(rules: TokenCacheRules, revocations: Revocations, shared?: SharedCache) {
    this.#rules = rules;
    this.#revocations = revocations;
    this.#shared = shared;
    this.#active = new LRUCache<string, Entry>({
      max: rules.maxEntries,
      maxSize: rules.maxSize,
      sizeCalculation: sizeOf,
    });
    this.#inactive = new LRUCache({ max: INACTIVE_MAX_ENTRIES });
  }

  /** The answer to who may be answered at once; undefined when somebody has to be asked. */
  known(token: string, asked: Asked): TokenAnswer | undefined {
    const tokenHash = hashOf(token);
    const key = tokenHash + asked.id;
    if (this.#revocations.isTokenRevoked(tokenHash)) {
      return 'token_inactive';
    }
    const now = Date.now();
    const entry = this.#active.get(key);
    if (entry !== undefined && now < entry.freshUntil && !this.#revocations.isOutdated(entry, now)) {
      if (now >= this.#refreshFrom(entry) && !this.#isSettling) {
        this.#learn(key, tokenHash, token, asked).catch(() => undefined);
      }
      return entry.token;
    }
    const inactive = this.#inactive.get(key);
    return inactive !== undefined && now < inactive.until ? inactive.defect : undefined;
  }

  /** Asks; who asks for the same token meanwhile shares the answer. */
  learn(token: string, asked: Asked): Promise<TokenAnswer> {
    const tokenHash = hashOf(token);
    return this.#learn(tokenHash + asked.id, tokenHash, token, asked);
  }

  /**
   * Returns what this process or, by the shared cache, another one knows. The authorization server is not asked, because of
   * `trouble`: an answer that is too old serves if it may substitute for that.
   */
  async recall(token: string, asked: Asked, trouble: RequestRefused): Promise<TokenAnswer | undefined> {
    const known = this.known(token, asked);
    if (known !== undefined) {
      return known;
    }
    const tokenHash = hashOf(token);
    const key = tokenHash + asked.id;
    const shared = this.#sharedFor(key, asked);
    const found =
      shared && (await this.#look(shared, `${tokenHash} ${asked.sharedId}`, key, tokenHash, false));
    return found ?? this.#substitute(key, trouble);
  }

  /** Asks whatever is known. That the token is good is not remembered, that it is not is. */
  confirm(token: string, asked: Asked): Promise<TokenAnswer> {
    const key = hashOf(token) + asked.id;
    return this.#fly(`${key} now`, async () => {
      const answer = await asked.read(token);
      if (typeof answer === 'string') {
        this.#keepDefect(key, answer);
      }
      return answer;
    });
  }

  /** Nothing is asked for anew ahead of its time from now on. Resolves when nobody is asked about anything any more. */
  async settled(): Promise<void> {
    this.#isSettling = true;
    await allSettled(this.#flights.values());
  }

  #learn(key: string, tokenHash: string, token: string, asked: Asked): Promise<TokenAnswer> {
    return this.#fly(key, async () => {
      try {
        return await this.#fromSharedOr(key, tokenHash, asked, () => this.#ask(key, tokenHash, token, asked));
      } catch (trouble) {
        const stale = this.#substitute(key, trouble);
        if (stale === undefined) {
          throw trouble;
        }
        return stale;
      }
    });
  }

  #fly(name: string, ask: () => Promise<TokenAnswer>): Promise<TokenAnswer> {
    const flight = this.#flights.get(name) ?? ask().finally(() => this.#flights.delete(name));
    this.#flights.set(name, flight);
    return flight;
  }

  async #fromSharedOr(
    key: string,
    tokenHash: string,
    asked: Asked,
    ask: () => Promise<TokenAnswer>,
  ): Promise<TokenAnswer> {
    const shared = this.#sharedFor(key, asked);
    if (shared === undefined) {
      return ask();
    }
    const name = `${tokenHash} ${asked.sharedId}`;
    const look = (isWaiting: boolean) => this.#look(shared, name, key, tokenHash, isWaiting);
    return (await look(false)) ?? shared.askOnce(name, () => look(true), ask);
  }

  /** The tier where another process's answer may be; `undefined` if there is none that is worth a look. */
  #sharedFor(key: string, asked: Asked): SharedCache | undefined {
    const previous = this.#active.peek(key);
    const isRevoked = previous !== undefined && this.#revocations.isRevoked(previous);
    // A signature check costs less than to fetch another process's; and no other process knows better what was revoked.
    return asked.isServer && !isRevoked ? this.#shared : undefined;
  }

  async #look(
    shared: SharedCache,
    name: string,
    key: string,
    tokenHash: string,
    isWaiting: boolean,
  ): Promise<TokenAnswer | undefined> {
    const answer = await shared.get(name);
    if (answer !== undefined && 'defect' in answer) {
      // Other processes learn of it only while they wait: a token that is not active now may be so later.
      const isAnswer = isWaiting && shared.isForWaiting(answer, Date.now());
      return isAnswer ? this.#keepDefect(key, answer.defect) : undefined;
    }
    const token = answer && readTokenClaims(answer.claims, answer.issuer);
    if (answer === undefined || token === undefined || typeof token === 'string') {
      return undefined;
    }
    // A refresh is for a newer answer than the one that is known; the store may hold that very one.
    if (answer.asOf <= (this.#active.peek(key)?.asOf ?? Number.NEGATIVE_INFINITY)) {
      return undefined;
    }
    const known = { tokenHash, token, asOf: answer.asOf, wasAsked: true, isShared: true };
    const now = Date.now();
    const entry = this.#entry(known);
    if (now >= entry.freshUntil || this.#revocations.isOutdatedElsewhere(known, now)) {
      return undefined;
    }
    this.#active.set(key, entry);
    publishCache('shared_hit');
    return token;
  }

  async #ask(key: string, tokenHash: string, token: string, asked: Asked): Promise<TokenAnswer> {
    const known = await this.#knownNow(tokenHash, token, asked);
    if (typeof known === 'string') {
      if (asked.isServer && this.#rules.inactiveMaxAge > 0) {
        const defect = { defect: known, asOf: Date.now() };
        await this.#shared?.putForWaiting(`${tokenHash} ${asked.sharedId}`, defect);
      }
      return this.#keepDefect(key, known);
    }
    const entry = this.#entry(known);
    const seconds = (entry.freshUntil - Date.now()) / 1000;
    if (seconds > 0) {
      this.#active.set(key, entry);
      if (known.wasAsked) {
        const { claims, issuer } = known.token;
        // Whoever claimed the question lets it go only when the others find the answer.
        await this.#shared?.put(
          `${tokenHash} ${asked.sharedId}`,
          { claims, issuer, asOf: known.asOf },
          seconds,
        );
      }
    } else {
      this.#active.delete(key);
    }
    return known.token;
  }

  /** An answer that was on its way when the token was revoked says nothing: the server is asked again. */
  async #knownNow(tokenHash: string, token: string, asked: Asked): Promise<Known | TokenDefect> {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const askedAt = Date.now();
      const answer = await asked.read(token);
      if (typeof answer === 'string') {
        return answer;
      }
      const wasAsked = asked.wasAsked(answer);
      const asOf = wasAsked ? askedAt : (answer.issuedAt ?? 0) * 1000;
      const known = { tokenHash, token: answer, asOf, wasAsked, isShared: false };
      if (!this.#revocations.isRevoked(known)) {
        return known;
      }
    }
    return 'token_inactive';
  }

  #entry(known: Known): Entry {
    const maxAge = this.#rules.maxAge * 1000;
    // Another process's clock may be ahead of ours: nothing serves the longer for it.
    const from = known.wasAsked ? Math.min(known.asOf, Date.now()) : Date.now();
    const freshUntil = Math.min(from + maxAge * (1 - Math.random() * JITTER), expiryOf(known));
    return { ...known, freshUntil };
  }

  #refreshFrom({ freshUntil }: Entry): number {
    const { refreshAhead } = this.#rules;
    return refreshAhead > 0 ? freshUntil - refreshAhead * 1000 : Number.POSITIVE_INFINITY;
  }

  #usableUntil(entry: Entry): number {
    return Math.min(entry.freshUntil + this.#rules.staleIfError * 1000, expiryOf(entry));
  }

  #substitute(key: string, trouble: unknown): TokenAnswer | undefined {
    const stale = this.#active.peek(key);
    if (stale === undefined || !this.#maySubstitute(stale, trouble)) {
      return undefined;
    }
    publishCache('stale');
    return stale.token;
  }

  /** Only where the user chose availability, only while the server can't be asked, and never beyond `exp`. */
  #maySubstitute(stale: Entry, trouble: unknown): boolean {
    const now = Date.now();
    const isPassing =
      trouble instanceof RequestRefused && trouble.status === 503 && trouble.retryAfter !== undefined;
    return isPassing && now < this.#usableUntil(stale) && !this.#revocations.isOutdated(stale, now);
  }

  #keepDefect(key: string, defect: TokenDefect): TokenDefect {
    this.#active.delete(key);
    this.#inactive.set(key, { defect, until: Date.now() + this.#rules.inactiveMaxAge * 1000 });
    return defect;
  }
}

/** Milliseconds since the epoch. */
function expiryOf({ token }: Known): number {
  return (token.expiresAt ?? Number.POSITIVE_INFINITY) * 1000;
}

/** Bytes, roughly: what an entry takes besides its claims, and what their text takes as objects. */
const ENTRY_SIZE = 450;
const SIZE_PER_CHARACTER = 3;

/** What a token takes in the cache, for `maxSize`. */
export function sizeOf({ token }: Pick<Entry, 'token'>): number {
  return ENTRY_SIZE + textLengthOf(token.claims) * SIZE_PER_CHARACTER;
}

/** The length of a value as JSON, but for escapes. Does not recurse: claims may nest deeper than the stack. */
function textLengthOf(value: unknown): number {
  const open = [value];
  let length = 0;
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) {
      length += typeof next === 'string' ? next.length + 2 : String(next).length;
      continue;
    }
    const isList = Array.isArray(next);
    const members = Object.entries(next);
    length += 2 + Math.max(0, members.length - 1);
    for (const [name, member] of members) {
      length += isList ? 0 : name.length + 3;
      open.push(member);
    }
  }
  return length;
}
