import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { TokenClaims } from '../token-claims.js';

/** What is to be forgotten: one token, or every token of a subject, of a client, or bound to a certificate. */
export type Revocation =
  | { readonly token: string }
  /** SHA-256 of the token, base64url. */
  | { readonly tokenHash: string }
  /** `sub` */
  | { readonly subject: string }
  /** `client_id` */
  | { readonly clientId: string }
  /** `cnf["x5t#S256"]` */
  | { readonly thumbprint: string };

export const revocationKinds = ['token', 'tokenHash', 'subject', 'clientId', 'thumbprint'] as const;

/** What is known of a token, and since when. */
export interface Known {
  readonly tokenHash: string;
  readonly token: TokenClaims;
  /**
   * Milliseconds since the epoch. When the authorization server was asked; or, for a token that speaks for itself, when it
   * was issued.
   */
  readonly asOf: number;
  /** Whether it was the server that was asked. */
  readonly wasAsked: boolean;
}

// More than any flood of revocations that a fleet should see; the oldest goes first.
const MAX_RECORDS = 100_000;

/** Seconds by which the clocks of a fleet may differ. */
const CLOCK_DIFFERENCE = 5;

/**
 * What was revoked since when. A token that was revoked by itself is refused, for it can't be issued again. Where all of a
 * subject, a client or a certificate were revoked, what is known from before is not used any more: an opaque token is asked
 * about anew, one that speaks for itself is refused. Nothing of it outlives the process.
 */
export class Revocations {
  readonly #at: LRUCache<string, number>;
  readonly #maxAgeWhileLost: number;
  #isLost = false;
  /** Milliseconds since the epoch: a revocation may have been missed before. */
  #epoch = 0;

  /** Times in seconds. */
  constructor({ maxAge, maxAgeWhileLost }: { readonly maxAge: number; readonly maxAgeWhileLost: number }) {
    this.#at = new LRUCache({ max: MAX_RECORDS, ttl: maxAge * 1000, perf: { now: () => Date.now() } });
    this.#maxAgeWhileLost = maxAgeWhileLost;
  }

  /** From now on; `at` is the moment in milliseconds since the epoch. */
  add(revocation: Revocation, at: number): void {
    const key = recordKey(revocation);
    this.#at.set(key, Math.max(at, this.#at.get(key) ?? 0));
  }

  /** Revocations may be missed from now on: what is known serves for a short time only. */
  lost(): void {
    this.#isLost = true;
  }

  /** They are heard of again. What is known from before `since`, in milliseconds since the epoch, does not serve any more. */
  restored(since: number): void {
    this.#isLost = false;
    this.#epoch = Math.max(this.#epoch, since);
  }

  /** Whether what is known must not be used. */
  isOutdated(known: Known, now: number): boolean {
    if (known.wasAsked) {
      const oldest = this.#isLost ? now - this.#maxAgeWhileLost * 1000 : this.#epoch;
      if (known.asOf < oldest) {
        return true;
      }
    }
    return this.isRevoked(known);
  }

  /** Whether this very token was revoked, whatever is known of it. */
  isTokenRevoked(tokenHash: string): boolean {
    return this.#at.size > 0 && this.#at.has(`token:${tokenHash}`);
  }

  /** Whether what is known is older than a revocation. */
  isRevoked(known: Known): boolean {
    return this.#at.size > 0 && known.asOf <= this.#revokedAt(known);
  }

  /** `isOutdated` for what another process knows, whose clock may be ahead of ours. */
  isOutdatedElsewhere(known: Known, now: number): boolean {
    return (
      this.isOutdated({ ...known, asOf: known.asOf - CLOCK_DIFFERENCE * 1000 }, now) ||
      this.#revokedAt(known) > 0
    );
  }

  /** Zero when it was not. */
  #revokedAt({ tokenHash, token }: Known): number {
    if (this.isTokenRevoked(tokenHash)) {
      return Number.POSITIVE_INFINITY;
    }
    return Math.max(
      this.#at.get(`subject:${token.subject}`) ?? 0,
      this.#at.get(`clientId:${token.clientId}`) ?? 0,
      this.#at.get(`thumbprint:${thumbprintIn(token.confirmation)}`) ?? 0,
    );
  }
}

/** Throws `TypeError` for anything else. */
export function checkedRevocation(given: unknown): Revocation {
  const entries = typeof given === 'object' && given !== null ? Object.entries(given) : [];
  const [[kind = '', value] = []] = entries;
  const isKnown = revocationKinds.some((name) => name === kind);
  if (entries.length !== 1 || !isKnown || typeof value !== 'string' || value === '') {
    throw new TypeError(
      `revoke() takes one of { ${revocationKinds.join(' }, { ')} }, with a non-empty string`,
    );
  }
  return given as Revocation;
}

/** A revocation as it is written down and sent on: never with the token itself. */
export function withoutToken(revocation: Revocation): Exclude<Revocation, { token: string }> {
  return 'token' in revocation ? { tokenHash: hashOf(revocation.token) } : revocation;
}

/** What a token is known by here: its SHA-256. */
export function hashOf(token: string): string {
  return hash('sha256', token, 'base64url');
}

function recordKey(revocation: Revocation): string {
  const [[kind = '', value = ''] = []] = Object.entries(withoutToken(revocation));
  return `${kind === 'tokenHash' ? 'token' : kind}:${value}`;
}

function thumbprintIn(confirmation: unknown): unknown {
  return typeof confirmation === 'object' && confirmation !== null && 'x5t#S256' in confirmation
    ? confirmation['x5t#S256']
    : undefined;
}
