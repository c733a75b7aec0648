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
  /** Reads the token, and asks the authorization server for the sake of `requester`. */
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
