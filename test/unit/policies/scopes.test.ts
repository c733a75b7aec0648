import { describe, expect, it } from 'vitest';
import { ConfigurationError, RequestRefused } from '../../../packages/core/src/errors.js';
import type { PolicyContext } from '../../../packages/core/src/policy/route-policy.js';
import { anyScopePolicy, scopesPolicy } from '../../../packages/core/src/policy/scopes.js';

type Policy = ReturnType<typeof scopesPolicy>;

/** `undefined` if the policy accepts the scopes, else what the refusal says and to whom. */
function refusalOf(policy: Policy, scopes: readonly string[]) {
  try {
    policy({ clockTolerance: 30, authorization: { scopes } } as unknown as PolicyContext);
    return undefined;
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(RequestRefused);
    const { status, error, scope, detail } = thrown as RequestRefused;
    return { status, error, scope, detail };
  }
}

const insufficient = (scope: string, detail: string) => ({
  status: 403,
  error: 'insufficient_scope',
  scope,
  detail,
});

it.each<[string, string[], string[], string | undefined]>([
  ['all of them and more', ['a', 'b'], ['c', 'b', 'a'], undefined],
  ['one of two', ['a', 'b'], ['a'], 'the token lacks b'],
  ['none of two', ['a', 'b'], ['c'], 'the token lacks a b'],
  ['none at all', ['a'], [], 'the token lacks a'],
  ['the scope in another case', ['Read'], ['read'], 'the token lacks Read'],
  ['a scope that begins with the required one', ['read'], ['read:all'], 'the token lacks read'],
])('scopesPolicy() requires each scope: a token with %s', (_title, required, given, detail) => {
  expect(refusalOf(scopesPolicy(required), given)).toEqual(
    detail === undefined ? undefined : insufficient(required.join(' '), detail),
  );
});

it.each<[string, string[], string[], string | undefined]>([
  ['the second of two', ['a', 'b'], ['b'], undefined],
  ['both', ['a', 'b'], ['a', 'b'], undefined],
  ['another', ['a', 'b'], ['c'], 'the token has none of a b'],
  ['none at all', ['a'], [], 'the token has none of a'],
  ['the scope in another case', ['Read'], ['read'], 'the token has none of Read'],
])('anyScopePolicy() requires one scope: a token with %s', (_title, required, given, detail) => {
  expect(refusalOf(anyScopePolicy(required), given)).toEqual(
    detail === undefined ? undefined : insufficient(required.join(' '), detail),
  );
});

it('a list that the caller changes later changes no policy', () => {
  const required = ['a'];
  const policy = scopesPolicy(required);
  required.pop();
  expect(refusalOf(policy, [])).toEqual(insufficient('a', 'the token lacks a'));
});

describe.each([
  ['scopesPolicy()', scopesPolicy],
  ['anyScopePolicy()', anyScopePolicy],
] as const)('%s at start-up', (name, make) => {
  const aScope = 'expected one or more scopes, each a text of printable ASCII without blanks, " and \\';
  it.each<[string, unknown, string]>([
    ['no scope', [], 'expected one or more scopes, got none'],
    ['no list', 'read', 'expected one or more scopes, got none'],
    ['two scopes in one text', ['a b'], `${aScope}, got a string of 3 characters`],
    ['a blank before a scope', [' a'], `${aScope}, got a string of 2 characters`],
    ['a quote behind a good one', ['a', 'b"'], `${aScope}, got a string of 2 characters`],
    ['a backslash', ['\\'], `${aScope}, got a string of 1 characters`],
    ['a number', [7], `${aScope}, got a number`],
    ['a list in the list', [['a']], `${aScope}, got a list`],
  ])('refuses %s', (_title, scopes, message) => {
    expect(() => make(scopes as never)).toThrow(new ConfigurationError(name, message));
  });
});
