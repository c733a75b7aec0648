import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { acceptedForm, couldMatch, revocationKinds } from '../revocation-forms.js';
import type { TokenClaims } from '../token-claims.js';

/** What limits a revocation to one issuer. */
export interface OfOneIssuer {
  /** The configured issuer whose tokens are revoked. Default: those of every configured issuer. */
  readonly issuer?: string;
}

/**
 * What `revoke()` revokes: one token, or every token of a subject, of a client, or bound to a certificate. `issuer` limits
 * it to the tokens of one authorization server: `sub` and `client_id` are unique within one issuer alone (RFC 7519 §4.1.2).
 * Without `issuer` it holds for the tokens of every configured issuer.
 */
export type Revocation =
  | { readonly token: string }
  /** SHA-256 of the token, base64url. */
  | { readonly tokenHash: string }
  /** `sub` */
  | ({ readonly subject: string } & OfOneIssuer)
  /** `client_id` */
  | ({ readonly clientId: string } & OfOneIssuer)
  /** `cnf["x5t#S256"]` */
  | ({ readonly thumbprint: string } & OfOneIssuer);

/** One token has one issuer, which its text already determines. */
const issuerScopedKinds: readonly string[] = ['subject', 'clientId', 'thumbprint'];

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
  /** Whether another process asked, and this one read the answer from the shared cache. */
  readonly isShared: boolean;
}

/** When something was revoked, in milliseconds since the epoch. */
interface Moment {
  /** By the clock of the process that revoked: what an issued-at time is compared with. */
  readonly revokedAt: number;
  /** By our own clock, when this process heard of it: what our own questions are dated by. */
  readonly heardAt: number;
}

// More than any flood of revocations that a fleet should see; the oldest goes first.
const MAX_RECORDS = 100_000;

/** Characters of a name that a record keeps as it is. */
const MAX_PLAIN_LENGTH = 64;

/** Seconds by which the clocks of a fleet may differ. */
const CLOCK_DIFFERENCE = 5;

/**
 * What was revoked since when. A token that was revoked by itself is refused, for it can't be issued again. Where all of a
 * subject, a client or a certificate were revoked, what is known from before is not used any more: an opaque token is asked
 * about anew, one that speaks for itself is refused. Nothing of it outlives the process.
 */
export class Revocations {
  readonly #at: LRUCache<string, Moment>;
  readonly #maxAgeWhileLost: number;
  #isLost = false;
  /** Milliseconds since the epoch: a revocation may have been missed before. */
  #epoch = 0;
  /** Milliseconds since the epoch: when this process first heard revocations. Its own answers from before do not serve. */
  #joinedAt = 0;

  /** Times in seconds. */
  constructor({ maxAge, maxAgeWhileLost }: { readonly maxAge: number; readonly maxAgeWhileLost: number }) {
    this.#at = new LRUCache({ max: MAX_RECORDS, ttl: maxAge * 1000, perf: { now: () => Date.now() } });
    this.#maxAgeWhileLost = maxAgeWhileLost;
  }

  /**
   * Records a revocation. Both moments are in milliseconds since the epoch.
   *
   * @param revokedAt by the clock of the process that revoked
   * @param heardAt by our own clock
   */
  add(revocation: Revocation, revokedAt: number, heardAt = revokedAt): void {
    const key = recordKey(revocation);
    const known = this.#at.get(key);
    this.#at.set(key, {
      revokedAt: Math.max(revokedAt, known?.revokedAt ?? 0),
      heardAt: Math.max(heardAt, known?.heardAt ?? 0),
    });
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

  /**
   * Revocations are heard for the first time. This process may have missed one while it served without the channel, so its
   * own answers from before do not serve any more. Shared answers serve unless they are older than `lastRevocation`.
   *
   * @param lastRevocation milliseconds since the epoch; 0 where nothing was revoked
   */
  joined(lastRevocation: number): void {
    this.#joinedAt = Date.now();
    this.restored(lastRevocation);
  }

  /** Whether what is known must not be used. */
  isOutdated(known: Known, now: number): boolean {
    if (known.wasAsked) {
      const heardSince = known.isShared ? this.#epoch : Math.max(this.#epoch, this.#joinedAt);
      const oldest = this.#isLost ? now - this.#maxAgeWhileLost * 1000 : heardSince;
      if (known.asOf < oldest) {
        return true;
      }
    }
    return this.isRevoked(known);
  }

  /** Whether this very token was revoked, whatever is known of it. */
  isTokenRevoked(tokenHash: string): boolean {
    return this.#at.size > 0 && this.#at.has(`token ${tokenHash}`);
  }

  /** Whether what is known is older than a revocation that concerns it. */
  isRevoked(known: Known): boolean {
    return this.#at.size > 0 && this.#recordsOf(known).some((record) => isOlder(known, record));
  }

  /** `isOutdated` for what another process knows, whose clock may be ahead of ours. */
  isOutdatedElsewhere(known: Known, now: number): boolean {
    return (
      this.isOutdated({ ...known, asOf: known.asOf - CLOCK_DIFFERENCE * 1000 }, now) ||
      (this.#at.size > 0 && this.#recordsOf(known).length > 0)
    );
  }

  /** The revocations that concern a token. What a token does not say is looked up under no name. */
  #recordsOf({ tokenHash, token }: Known): readonly Moment[] {
    const ofToken = this.#at.get(`token ${tokenHash}`);
    if (ofToken !== undefined) {
      return [{ revokedAt: Number.POSITIVE_INFINITY, heardAt: Number.POSITIVE_INFINITY }];
    }
    const names: readonly (readonly [string, unknown])[] = [
      ['subject', token.subject],
      ['clientId', token.clientId],
      ['thumbprint', thumbprintIn(token.confirmation)],
    ];
    return names
      .filter((named): named is readonly [string, string] => typeof named[1] === 'string')
      .flatMap(([kind, value]) => [
        this.#at.get(keyOf(kind, value)),
        this.#at.get(keyOf(kind, value, token.issuer)),
      ])
      .filter((record) => record !== undefined);
  }
}

/** An answer is dated by our own clock, an issued-at time by the clock of the authorization server. */
function isOlder({ asOf, wasAsked }: Known, { revokedAt, heardAt }: Moment): boolean {
  return asOf <= (wasAsked ? heardAt : Math.max(revokedAt, heardAt));
}

/** Throws `TypeError` for what is no revocation, and for one that could concern no token of these issuers. */
export function checkedRevocation(given: unknown, issuers: readonly string[]): Revocation {
  const { issuer, ...named } = (typeof given === 'object' && given !== null ? given : {}) as {
    issuer?: unknown;
  };
  const entries = Object.entries(named);
  const [[kind = '', value] = []] = entries;
  const isKnown = revocationKinds.some((name) => name === kind);
  if (entries.length !== 1 || !isKnown || typeof value !== 'string' || value === '') {
    throw new TypeError(
      `revoke() takes one of { ${revocationKinds.join(' }, { ')} }, with a non-empty string`,
    );
  }
  if (!couldMatch(kind, value)) {
    throw new TypeError(`revoke(): ${kind} ${acceptedForm(kind)}`);
  }
  if (issuer !== undefined && !(issuerScopedKinds.includes(kind) && issuers.includes(issuer as string))) {
    throw new TypeError(
      `revoke() takes issuer next to ${issuerScopedKinds.join(', ')} alone; it must be one of the configured issuers`,
    );
  }
  return given as Revocation;
}

/** A revocation as it is written down and sent on: never with the token itself. */
export function withoutToken(revocation: Revocation): Exclude<Revocation, { token: string }> {
  return 'token' in revocation ? { tokenHash: hashOf(revocation.token) } : revocation;
}

/** Whether a revocation names one token, which has one issuer. */
export function isOfOneToken(revocation: Revocation): boolean {
  return 'token' in revocation || 'tokenHash' in revocation;
}

/** What a token is known by here: its SHA-256. */
export function hashOf(token: string): string {
  return hash('sha256', token, 'base64url');
}

function recordKey(revocation: Revocation): string {
  const { issuer, ...named } = withoutToken(revocation) as { issuer?: string };
  const [[kind = '', value = ''] = []] = Object.entries(named) as [string, string][];
  return kind === 'tokenHash' ? `token ${value}` : keyOf(kind, value, issuer);
}

/** An issuer and a kind have no blanks, so no two triples give one key. */
function keyOf(kind: string, value: string, issuer = ''): string {
  // So many records must not take the more memory, the longer the names are that a client chose.
  return `${kind} ${issuer} ${value.length > MAX_PLAIN_LENGTH ? hashOf(value) : value}`;
}

function thumbprintIn(confirmation: unknown): unknown {
  return typeof confirmation === 'object' && confirmation !== null && 'x5t#S256' in confirmation
    ? confirmation['x5t#S256']
    : undefined;
}
