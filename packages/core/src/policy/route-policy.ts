import type { Authorization } from '../authorization.js';
import type { ClientCertificate } from '../certificate/client-certificate.js';
import { createMismatch } from '../shared/option-errors.js';

/** A request that `mtlsBound()` accepted, as a route policy sees it. */
export interface PolicyContext {
  readonly authorization: Authorization;
  /**
   * Seconds by which the clocks of authorization server and resource server may differ: the option
   * `clockTolerance`.
   */
  readonly clockTolerance: number;
  /**
   * Asks the authorization server about the token, whatever is cached. What it says now replaces
   * `req.auth` or `ctx.state.auth` for what stands behind the policy. Rejects with
   * `RequestRefused`. A policy awaits it.
   */
  readonly introspect: () => Promise<void>;
  /**
   * Lets this object for the client's certificate, which the policy has verified, count behind the policy
   * in place of the one of the request.
   */
  readonly useCertificate?: (verified: ClientCertificate) => void;
}

/**
 * What a route demands of requests that `mtlsBound()` accepted. Returns `undefined`, or a promise
 * of `undefined`, to accept a request. Throws, or rejects with, `RequestRefused` to refuse it. Any
 * other value, `false` and `true` included, refuses it with 503, as does a promise that does not
 * settle within 60 seconds. A token that is revoked or expires before the promise settles is refused
 * with 401, and with 503 if a revocation may have been missed meanwhile.
 * `Granted` is what the types may rely on behind it.
 */
export interface RoutePolicy<Granted extends Authorization = Authorization> {
  (request: PolicyContext): void | Promise<void>;
  /** For the types alone; never there. */
  readonly '~granted'?: Granted;
}

/**
 * Makes a policy of a check that decides at once. Mounted without `guard()`, the policy says so and
 * refuses.
 */
export function createRoutePolicy<Granted extends Authorization>(
  check: (authorization: Authorization, clockTolerance: number, request: PolicyContext) => void,
): RoutePolicy<Granted> {
  return (request) => check(requirePolicyContext(request).authorization, request.clockTolerance, request);
}

/**
 * The token must be active at this very moment: the authorization server is asked on each request
 * (RFC 7662). For routes where a revocation must count at once, and for JWT access tokens where it
 * is not seen otherwise.
 */
export const activeTokenPolicy: RoutePolicy = (request) => requirePolicyContext(request).introspect();

function requirePolicyContext(request: PolicyContext): PolicyContext {
  // This shows only that `guard()` called the policy: the resource server checks that the request was
  // accepted.
  if (typeof request.authorization !== 'object') {
    throw createMismatch('guard()', 'guard(policy) among the handlers', 'the policy');
  }
  return request;
}
