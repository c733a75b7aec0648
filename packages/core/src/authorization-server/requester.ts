/**
 * What is known of the request and of the client for which an authorization server is asked. A token source
 * passes it on with the requests that it sends, and to the sources that it calls.
 */
export interface RequesterFacts {
  /** `x-fapi-interaction-id` of the request; undefined where it has none. */
  readonly interactionId: string | undefined;
  /**
   * What the client is counted by: the thumbprint of its certificate, its address. Failures of the
   * authorization server count for that client first.
   */
  readonly countingKeys: readonly string[];
}

/** The requesters of questions about known tokens. */
const askingAboutActiveTokens = new WeakSet<RequesterFacts>();

/**
 * Marks a requester: it asks about a token of which the authorization server said that it is
 * active. A copy of the requester is not marked.
 */
export function markAsAskingAboutActiveToken(requester: RequesterFacts): void {
  askingAboutActiveTokens.add(requester);
}

/** Returns whether `markAsAskingAboutActiveToken()` marked this very object. */
export function isAskingAboutActiveToken(requester: RequesterFacts): boolean {
  return askingAboutActiveTokens.has(requester);
}
