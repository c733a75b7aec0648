import { ConfigurationError, RequestRefused } from '../errors.js';
import { described } from '../shared/option-rules.js';
import { type RoutePolicy, routePolicy } from './route-policy.js';

// RFC 6749 §3.3, `scope-token`.
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/**
 * The token must grant every one of the scopes; they are compared case-sensitively (RFC 6749 §3.3). Throws
 * `ConfigurationError` for none, or for what is no scope.
 */
export function scopesPolicy(scopes: readonly unknown[]): RoutePolicy {
  const required = parseScopes('requireScopes()', scopes);
  return routePolicy((authorization) => {
    if (!required.every((name) => authorization.scopes.includes(name))) {
      const missing = required.filter((name) => !authorization.scopes.includes(name));
      const detail = `the token lacks ${missing.join(' ')}`;
      throw new RequestRefused('scope_insufficient', { scope: required.join(' '), detail });
    }
  });
}

/** The same for one of the scopes; the challenge names them all. */
export function anyScopePolicy(scopes: readonly unknown[]): RoutePolicy {
  const accepted = parseScopes('requireAnyScope()', scopes);
  return routePolicy((authorization) => {
    if (!accepted.some((name) => authorization.scopes.includes(name))) {
      const scope = accepted.join(' ');
      throw new RequestRefused('scope_insufficient', { scope, detail: `the token has none of ${scope}` });
    }
  });
}

function parseScopes(guard: string, scopes: unknown): readonly string[] {
  if (!Array.isArray(scopes) || scopes.length === 0) {
    throw new ConfigurationError(guard, 'no scope was given; accepted is one or more');
  }
  for (const scope of scopes) {
    if (typeof scope !== 'string' || !scopeToken.test(scope)) {
      throw new ConfigurationError(
        guard,
        `${described(scope)} was given; accepted are one or more scopes, each a text of printable ASCII without blanks, " and \\`,
      );
    }
  }
  return Object.freeze(scopes.map(String));
}
