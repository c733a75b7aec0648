import { RequestRefused } from '../errors.js';
import { createMismatch, described } from '../shared/option-errors.js';
import { scopeToken } from '../shared/option-rules.js';
import { readMiddlewareArgument } from './middleware-call.js';
import { refuseUncalledMiddleware } from './middleware-not-called.js';
import { createRoutePolicy, type RoutePolicy } from './route-policy.js';

/**
 * Requires that the token grants each of the scopes. Scopes are compared case-sensitively (RFC 6749
 * §3.3). Throws `ConfigurationError` for an empty list and for a value that is no scope.
 */
export function scopesPolicy(scopes: readonly unknown[]): RoutePolicy;
export function scopesPolicy(...given: [scopes: readonly unknown[]]): RoutePolicy {
  return createScopesPolicy(
    'scopesPolicy()',
    readMiddlewareArgument('scopesPolicy()', given, 'one list of scopes'),
  );
}

/** Makes the policy of a function that errors name `calledAs`. */
export function createScopesPolicy(calledAs: string, scopes: readonly unknown[]): RoutePolicy {
  const required = parseScopes(calledAs, scopes);
  return createRoutePolicy((authorization) => {
    if (!required.every((name) => authorization.scopes.includes(name))) {
      const missing = required.filter((name) => !authorization.scopes.includes(name));
      const detail = `the token lacks ${missing.join(' ')}`;
      throw new RequestRefused('scope_insufficient', { scope: required.join(' '), detail });
    }
  });
}

/**
 * Requires that the token grants at least one of the scopes. The challenge names all of them (RFC
 * 6750 §3). Throws `ConfigurationError` for an empty list and for a value that is no scope.
 */
export function anyScopePolicy(scopes: readonly unknown[]): RoutePolicy;
export function anyScopePolicy(...given: [scopes: readonly unknown[]]): RoutePolicy {
  return createAnyScopePolicy(
    'anyScopePolicy()',
    readMiddlewareArgument('anyScopePolicy()', given, 'one list of scopes'),
  );
}

/** Makes the policy of a function that errors name `calledAs`. */
export function createAnyScopePolicy(calledAs: string, scopes: readonly unknown[]): RoutePolicy {
  const accepted = parseScopes(calledAs, scopes);
  return createRoutePolicy((authorization) => {
    if (!accepted.some((name) => authorization.scopes.includes(name))) {
      const scope = accepted.join(' ');
      throw new RequestRefused('scope_insufficient', { scope, detail: `the token has none of ${scope}` });
    }
  });
}

function parseScopes(calledAs: string, scopes: unknown): readonly string[] {
  refuseUncalledMiddleware(calledAs, Array.isArray(scopes) ? scopes[0] : undefined);
  if (!Array.isArray(scopes) || scopes.length === 0) {
    throw createMismatch(calledAs, 'one or more scopes', 'none');
  }
  for (const scope of scopes) {
    if (typeof scope !== 'string' || !scopeToken.test(scope)) {
      throw createMismatch(
        calledAs,
        'one or more scopes, each a text of printable ASCII without blanks, " and \\',
        described(scope),
      );
    }
  }
  return Object.freeze(scopes.map(String));
}
