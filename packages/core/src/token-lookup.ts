import type { TokenOfRequest } from './authorization.js';
import { type FloodGuard, UNIDENTIFIED } from './authorization-server/flood-guard.js';
import { markAsAskingAboutActiveToken, type RequesterFacts } from './authorization-server/requester.js';
import type { TokenCache } from './cache/token-cache.js';
import type { UsableAnswer, UsableClaims } from './revocation/usability.js';
import type { CountingKeys } from './shared/counting-keys.js';
import { interactionOf } from './shared/interaction-id.js';
import type { TokenAnswer } from './token/token-claims.js';

/** A token to look up, the server that knows it, and the client that sent it. */
export interface PresentedToken extends TokenOfRequest {
  /** `x5t#S256` of the client's certificate. */
  readonly thumbprint: string | undefined;
}

/** Finds out what a token is: by the cache, then by the authorization server. */
export interface TokenLookup {
  /**
   * Returns the cached answer, or `undefined` if the authorization server must be asked. May begin to
   * refresh the answer in the background.
   *
   * @param now milliseconds since the epoch
   */
  useCached(presented: PresentedToken, now: number): TokenAnswer | undefined;
  /**
   * Reads what the token is, which may ask the authorization server. The flood guard counts the
   * reading for the client that sent the token.
   *
   * @param how `unless-cached` returns a cached answer, or else joins the reading of this token that is
   * under way or begins one. `afresh` uses no cached answer, and only a reading that begins after this call.
   * Both take one of the client's places in the flood guard. `unless-cached` also takes one reading of the
   * client's allowance, unless an expired answer could still be used (`staleIfError`).
   */
  read(presented: PresentedToken, how: 'unless-cached' | 'afresh'): Promise<UsableAnswer>;
}

/**
 * Joins the cache and the flood guard.
 *
 * @param refuseWhenClosed throws once the resource server is closed; a request may have waited
 * for a place until then
 */
export function createTokenLookup(
  cache: TokenCache,
  floodGuard: FloodGuard<UsableClaims> | undefined,
  refuseWhenClosed: () => void,
): TokenLookup {
  const countingKeysOf = ({ req, thumbprint }: PresentedToken): CountingKeys =>
    floodGuard?.countingKeysOf(req, thumbprint) ?? [];

  /** Failures of the authorization server count for the client whose question met them. */
  function requesterOf({ req, thumbprint }: PresentedToken, counted: CountingKeys): RequesterFacts {
    const uncounted = thumbprint === undefined ? UNIDENTIFIED : [thumbprint];
    const countingKeys = Object.freeze(counted.length === 0 ? uncounted : counted);
    // A token source of the user's own gets it.
    return Object.freeze({ interactionId: interactionOf(req), countingKeys });
  }

  const requesterFor = (presented: PresentedToken): RequesterFacts =>
    requesterOf(presented, countingKeysOf(presented));

  return {
    useCached: (presented, now) =>
      cache.useCached(presented.token, presented.server, presented, requesterFor, presented.hash, now),

    async read(presented, how) {
      const { token, hash, server } = presented;
      const countingKeys = countingKeysOf(presented);
      const requester = requesterOf(presented, countingKeys);
      const isKnown = how === 'unless-cached' && cache.hasUsableStale(hash, server);
      if (isKnown) {
        markAsAskingAboutActiveToken(requester);
      }
      const ask = async () => {
        refuseWhenClosed();
        if (how === 'afresh') {
          return cache.readAfresh(token, server, requester);
        }
        // Another request may have asked meanwhile.
        return (
          cache.findCached(token, server, hash, requester) ??
          cache.readThrough(token, server, requester, hash)
        );
      };
      if (floodGuard === undefined || countingKeys.length === 0) {
        return ask();
      }
      // For each server a client has an allowance and places of its own: trouble of one server must not
      // refuse its tokens of another.
      const accounts = countingKeys.map((key) => `${server.id} ${key}`);
      return how === 'afresh'
        ? floodGuard.limitAfresh(accounts, token, ask)
        : floodGuard.limit(
            accounts,
            token,
            { ask, findWithoutAsking: () => cache.findWithoutAsking(token, server) },
            isKnown ? 'known' : 'unknown',
          );
    },
  };
}
