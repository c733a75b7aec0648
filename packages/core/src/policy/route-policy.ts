import type { Authorization } from '../authorization.js';

/** A request that was let in, as a route policy sees it. */
export interface LetIn {
  readonly authorization: Authorization;
  /** Has the authorization server itself asked about the token, whatever is remembered. Rejects with `RequestRefused`. */
  readonly introspect: () => Promise<void>;
}

/**
 * What a route demands of requests that were let in. Throws, or rejects with, `RequestRefused`. `Granted` is what the types may
 * rely on behind it.
 */
export interface RoutePolicy<Granted extends Authorization = Authorization> {
  (request: LetIn): void | Promise<void>;
  /** For the types alone; never there. */
  readonly '~granted'?: Granted;
}

/**
 * The token must be active at this very moment: the authorization server is asked on each request (RFC 7662). For routes
 * where a revocation must count at once, and for JWT access tokens where it is not seen otherwise.
 */
export const activeToken: RoutePolicy = ({ introspect }) => introspect();
