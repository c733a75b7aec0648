/**
 * For whose sake an authorization server is asked. A token source passes it on with the requests
 * that it sends, and to the sources that it calls.
 */
export interface Requester {
  /** `x-fapi-interaction-id` of the request; undefined where it has none. */
  readonly interactionId: string | undefined;
  /**
   * Names of the client: its certificate, its address. Failures of the authorization server count
   * for that client first.
   */
  readonly source: readonly string[];
}
