import { ConfigurationError, psd2RolePolicy, scopesPolicy } from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import type { RequestRefused } from '../../../packages/core/src/errors.js';
import { createGuards, type GuardType } from '../../../packages/core/src/policy/guards.js';
import { activeTokenPolicy, type RoutePolicy } from '../../../packages/core/src/policy/route-policy.js';

interface PolicyItself extends GuardType {
  readonly guard: RoutePolicy;
}
/** Guards that are the policies themselves. */
const guards = createGuards<PolicyItself>((policy) => policy);
vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);

function codeOf(policy: RoutePolicy): string {
  try {
    policy({
      clockTolerance: 30,
      introspect: async () => undefined,
      authorization: { scopes: [], claims: {}, certificate: undefined } as never,
    });
    return 'accepted';
  } catch (thrown) {
    return (thrown as RequestRefused).code;
  }
}

it.each<[string, RoutePolicy, string]>([
  ['requireScopes()', guards.requireScopes('read'), 'scope_insufficient'],
  ['requireAnyScope()', guards.requireAnyScope('read', 'write'), 'scope_insufficient'],
  ['requireClaims()', guards.requireClaims({ tenant: 'red' }), 'claims_insufficient'],
  ['requireAuthentication()', guards.requireAuthentication({ maxAge: 60 }), 'authentication_insufficient'],
  [
    'requireAuthorizationDetails()',
    guards.requireAuthorizationDetails({ type: 'payment' }),
    'authorization_details_insufficient',
  ],
  ['requireCertificate()', guards.requireCertificate({ requireVerified: true }), 'certificate_missing'],
])('%s refuses a request that does not meet it', (_name, policy, code) => {
  expect(codeOf(policy)).toBe(code);
});

it.each<[string, RoutePolicy]>([
  ['requireCertificateSubject()', guards.requireCertificateSubject({ CN: 'cn' })],
  ['requirePsd2Role()', guards.requirePsd2Role('PSP_AI')],
])('%s refuses a request without a certificate', async (_name, policy) => {
  const authorization = { scopes: [], claims: { cn: 'x' }, certificate: undefined } as never;
  const request = { clockTolerance: 30, introspect: async () => undefined, authorization };
  await expect((async () => policy(request))()).rejects.toMatchObject({ code: 'certificate_refused' });
});

it('guard() and requireActive() hand on the policy that they check', () => {
  const policy = () => undefined;
  expect(guards.guard(policy)).toBe(policy);
  expect(guards.requireActive()).toBe(activeTokenPolicy);
});

it('TypeScript refuses an argument that a function would ignore, as the function does', () => {
  const calls: (() => unknown)[] = [
    // @ts-expect-error a second role
    () => psd2RolePolicy('PSP_AI', 'PSP_PI'),
    // @ts-expect-error what errors would name
    () => scopesPolicy(['read'], 'requireScopes()'),
    // @ts-expect-error a second role
    () => guards.requirePsd2Role('PSP_AI', 'PSP_PI'),
    // @ts-expect-error options
    () => guards.requireActive({ maxAge: 5 }),
    // @ts-expect-error a second object
    () => guards.requireClaims({ a: 1 }, { b: 2 }),
  ];
  for (const call of calls) {
    expect(call).toThrow(ConfigurationError);
  }
});

it.each([[undefined], [null], [{}], ['read']])('guard() refuses %j, which is no policy', (given) => {
  expect(() => guards.guard(given as never)).toThrow(/^guard\(\): expected a route policy, a function, got /);
});

describe.each(Object.entries(guards) as [string, (given: unknown) => unknown][])('%s()', (name, make) => {
  const request = { rawHeaders: [] };
  it.each<[string, unknown]>([
    ['a request of Express', request],
    ['a context of Koa', { req: request }],
  ])('among the handlers, without being called, refuses %s, and names itself', (_title, given) => {
    expect(() => make(given)).toThrow(
      `${name}(): expected ${name}() among the handlers, got the function, which was not called`,
    );
  });
});

it('a policy that is mounted without guard() says so', () => {
  expect(() => guards.requireScopes('read')({ rawHeaders: [] } as never)).toThrow(
    'guard(): expected guard(policy) among the handlers, got the policy',
  );
});
