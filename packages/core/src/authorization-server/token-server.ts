import type { TokenAnswer, TokenClaims } from '../token/token-claims.js';
import type { RequesterFacts } from './requester.js';

/** The authorization server that a token is checked with. */
export interface TokenServer {
  /**
   * A part of the cache key, so that answers of different servers stay apart; empty if there is only one
   * server.
   */
  readonly id: string;
  /**
   * Equal in all processes that get the same answer, and in no others. Undefined where answers are
   * not shared.
   */
  readonly sharedId: string | undefined;
  /**
   * Reads the token, and asks the authorization server for the sake of `requester`. Rejects with
   * `TroubleInOrder` if several servers were asked.
   */
  readonly read: (token: string, requester?: RequesterFacts) => Promise<TokenAnswer>;
  /**
   * Whether `read` may ask the authorization server, rather than read what the token says of
   * itself.
   */
  readonly readIntrospects: boolean;
  /**
   * Whether these claims are the authorization server's answer, rather than what the token says of
   * itself.
   */
  readonly isIntrospected: (answer: TokenClaims) => boolean;
  /**
   * Whether the token speaks for itself although `read` introspects: then it is refused too if a
   * revocation concerns what it says of itself.
   */
  readonly countsOwnClaims?: boolean;
  /**
   * Asks the authorization server of these claims about a token that spoke for itself; undefined
   * where none can be asked.
   */
  readonly introspect?: (
    token: string,
    answer: TokenClaims,
    requester?: RequesterFacts,
  ) => Promise<TokenAnswer> | undefined;
}

/**
 * Thrown if several authorization servers were asked about a token, none knows it, and one or more of them
 * could not be asked. Each of the others answered that the token is not active.
 */
export class TroubleInOrder extends Error {
  override readonly name = 'TroubleInOrder';
  /** What was thrown for each issuer that could not be asked, in order. */
  readonly troubles: ReadonlyMap<string, unknown>;

  constructor(troubles: ReadonlyMap<string, unknown>) {
    super('an authorization server could not be asked');
    this.troubles = troubles;
  }

  /** Whether the server of this issuer could not be asked. */
  isTroubled(issuer: string): boolean {
    return this.troubles.has(issuer);
  }

  /** Returns what was thrown for this issuer, or else for the first one. */
  troubleOf(issuer: string | undefined): unknown {
    const [first] = this.troubles.values();
    return issuer !== undefined && this.isTroubled(issuer) ? this.troubles.get(issuer) : first;
  }
}
