import { type FloodGuard, NAMELESS, type Source } from './authorization-server/flood-guard.js';
import type { Requester } from './authorization-server/requester.js';
import type { TokenCache, TokenTarget } from './cache/token-cache.js';
import type { RequestRefused } from './errors.js';
import type { NodeRequest } from './request/node-request.js';
import { interactionOf } from './shared/interaction-id.js';
import type { TokenAnswer } from './token/token-claims.js';

/** A token of a request, and the client that sent it. */
export interface PresentedToken {
  readonly token: string;
  readonly target: TokenTarget;
  /** `x5t#S256` of the client's certificate. */
  readonly thumbprint: string | undefined;
  readonly req: NodeRequest;
}

/** Finds out what a token is: by the cache, then by the authorization server. */
export interface TokenLookup {
  /** Returns the cached answer, or `undefined` if the token must be asked about. */
  known(presented: PresentedToken): TokenAnswer | undefined;
  /**
   * Asks about a token that is not cached. The flood guard counts the question for the client that
   * sent the token.
   */
  learn(presented: PresentedToken): Promise<TokenAnswer>;
  /**
   * Asks about a token whatever is cached, by a question that begins now. It takes one of the
   * client's places.
   */
  confirm(presented: PresentedToken): Promise<TokenAnswer>;
}

/**
 * Joins the cache and the flood guard.
 *
 * @param refuseWhenClosed throws once the resource server is closed; a request may have waited for
 * its turn until then
 */
export function createTokenLookup(
  cache: TokenCache,
  floodGuard: FloodGuard | undefined,
  refuseWhenClosed: () => void,
): TokenLookup {
  const sourceOf = ({ req, thumbprint }: PresentedToken): Source =>
    floodGuard?.sourceOf(req, thumbprint) ?? [];

  /** Failures of the authorization server count for the client whose question met them. */
  function requesterOf({ req, thumbprint }: PresentedToken, counted: Source): Requester {
    const uncounted = thumbprint === undefined ? NAMELESS : [thumbprint];
    const source = Object.freeze(counted.length === 0 ? uncounted : counted);
    // A token source of the user's own gets it.
    return Object.freeze({ interactionId: interactionOf(req), source });
  }

  return {
    known: (presented) =>
      cache.known(presented.token, presented.target, () => requesterOf(presented, sourceOf(presented))),

    async learn(presented) {
      const { token, target } = presented;
      const source = sourceOf(presented);
      const requester = requesterOf(presented, source);
      const ask = async () => {
        refuseWhenClosed();
        // Another request may have asked meanwhile.
        return cache.known(token, target, () => requester) ?? cache.learn(token, target, requester);
      };
      const recall = (refusal: RequestRefused) => cache.recall(token, target, refusal);
      return floodGuard === undefined || source.length === 0
        ? ask()
        : floodGuard.learn(source, `${target.id} ${token}`, { ask, recall });
    },

    async confirm(presented) {
      const { token, target } = presented;
      const source = sourceOf(presented);
      const requester = requesterOf(presented, source);
      const ask = async () => {
        refuseWhenClosed();
        return cache.confirm(token, target, requester);
      };
      return floodGuard === undefined || source.length === 0
        ? ask()
        : floodGuard.confirm(source, `${target.id} ${token}`, ask);
    },
  };
}
