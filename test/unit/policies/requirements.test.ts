import { afterAll, beforeAll, describe, expect, it, type MockInstance, vi } from 'vitest';
import { ConfigurationError, RequestRefused } from '../../../packages/core/src/errors.js';
import {
  type AuthenticationRequirement,
  authenticationPolicy,
} from '../../../packages/core/src/policy/authentication.js';
import {
  type AuthorizationDetailRequirement,
  authorizationDetailsPolicy,
} from '../../../packages/core/src/policy/authorization-details.js';
import { type ClaimRequirements, claimsPolicy } from '../../../packages/core/src/policy/claim-values.js';
import { activeTokenPolicy, type PolicyContext } from '../../../packages/core/src/policy/route-policy.js';

function refusalOf(policy: (request: PolicyContext) => unknown, claims: object): RequestRefused | undefined {
  try {
    policy({ clockTolerance: 30, authorization: { claims } } as unknown as PolicyContext);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(RequestRefused);
    return error as RequestRefused;
  }
}

const outcome = (...args: Parameters<typeof refusalOf>): string => refusalOf(...args)?.message ?? 'passes';

describe('authenticationPolicy()', () => {
  // RFC 9470 §4: what the client asks for, and the token it gets.
  const acrValues = ['myACR'];
  const now = 1_639_528_912;
  let clock: MockInstance;
  beforeAll(() => {
    clock = vi.spyOn(Date, 'now').mockReturnValue(now * 1000);
  });
  afterAll(() => clock.mockRestore());

  const weak = 'authentication_insufficient: acr is not one of those required';
  const old = 'authentication_insufficient: auth_time is not there, too long ago, or in the future';

  it.each<[string, AuthenticationRequirement, object, string]>([
    ['an accepted acr is enough', { acrValues }, { acr: 'myACR' }, 'passes'],
    ['another acr is not enough', { acrValues }, { acr: 'other' }, weak],
    ['a token without acr is not enough', { acrValues }, { auth_time: now }, weak],
    [
      'the second of two accepted acr is enough',
      { acrValues: ['myACR', 'better'] },
      { acr: 'better' },
      'passes',
    ],
    ['a login exactly maxAge ago is enough', { maxAge: 300 }, { auth_time: now - 300 }, 'passes'],
    ['a login one second longer ago is not enough', { maxAge: 300 }, { auth_time: now - 301 }, old],
    ['a login at this moment is enough for maxAge 0', { maxAge: 0 }, { auth_time: now }, 'passes'],
    ['a login one second ago is not enough for maxAge 0', { maxAge: 0 }, { auth_time: now - 1 }, old],
    [
      'an accepted acr and a recent login are enough',
      { acrValues, maxAge: 300 },
      { acr: 'myACR', auth_time: now },
      'passes',
    ],
    [
      'an accepted acr and an old login are not enough',
      { acrValues, maxAge: 300 },
      { acr: 'myACR', auth_time: now - 301 },
      old,
    ],
    ['an auth_time as text is not enough', { maxAge: 300 }, { auth_time: `${now}` }, old],
    [
      'another acr and a recent login are not enough',
      { acrValues, maxAge: 300 },
      { acr: 'other', auth_time: now },
      weak,
    ],
    [
      'an auth_time ahead within clockTolerance is enough',
      { maxAge: 300 },
      { auth_time: now + 30 },
      'passes',
    ],
    [
      'an auth_time ahead within clockTolerance is enough for maxAge 0',
      { maxAge: 0 },
      { auth_time: now + 30 },
      'passes',
    ],
    ['an auth_time one second further ahead is not enough', { maxAge: 300 }, { auth_time: now + 31 }, old],
    ['an auth_time ahead by a year is not enough', { maxAge: 300 }, { auth_time: now + 31_536_000 }, old],
    ['an auth_time in milliseconds is not enough', { maxAge: 300 }, { auth_time: now * 1000 }, old],
    ['an auth_time of 1e300 is not enough', { maxAge: 300 }, { auth_time: 1e300 }, old],
    ['an infinite auth_time is not enough', { maxAge: 300 }, { auth_time: Number.POSITIVE_INFINITY }, old],
    [
      'a negative infinite auth_time is not enough',
      { maxAge: 300 },
      { auth_time: Number.NEGATIVE_INFINITY },
      old,
    ],
    ['an auth_time that is no number is not enough', { maxAge: 300 }, { auth_time: Number.NaN }, old],
    ['an auth_time of null is not enough', { maxAge: 300 }, { auth_time: null }, old],
    ['an auth_time in a list is not enough', { maxAge: 300 }, { auth_time: [now] }, old],
    ['a token without auth_time is not enough', { maxAge: 300 }, {}, old],
  ])('%s', (_title, requirement, claims, expected) => {
    expect(outcome(authenticationPolicy(requirement), claims)).toBe(expected);
  });

  it.each<[AuthenticationRequirement, Pick<RequestRefused, 'acrValues' | 'maxAge'>]>([
    [{ acrValues: ['a', 'b'] }, { acrValues: 'a b', maxAge: undefined }],
    [{ maxAge: 5 }, { acrValues: undefined, maxAge: 5 }],
    [
      { acrValues, maxAge: 0 },
      { acrValues: 'myACR', maxAge: 0 },
    ],
  ])('RFC 9470 §3: the refusal of %j names what is required', (requirement, expected) => {
    expect(refusalOf(authenticationPolicy(requirement), {})).toMatchObject({ status: 401, ...expected });
  });

  const list = 'expected a list of values of printable ASCII without blanks, " and \\';

  it.each([
    ['no value', [], `${list}, got a list`],
    ['a text', 'myACR', `${list}, got a string of 5 characters`],
    ['a number', 7, `${list}, got a number`],
    ['one with a blank beside a good one', ['myACR', 'a b'], `${list}, got a list`],
    ['one with a quote', ['a"b'], `${list}, got a list`],
    ['an empty one', [''], `${list}, got a list`],
  ])('acrValues with %s is refused at start-up', (_title, given, message) => {
    expect(() => authenticationPolicy({ acrValues: given as never })).toThrow(
      new ConfigurationError('authenticationPolicy().acrValues', message),
    );
  });

  it('a policy without any requirement is refused at start-up', () => {
    expect(() => authenticationPolicy({})).toThrow(
      new ConfigurationError('authenticationPolicy()', 'expected acrValues, maxAge or both, got neither'),
    );
  });
});

describe('authorizationDetailsPolicy()', () => {
  // RFC 9396 §2.
  const detail = {
    type: 'customer_information',
    locations: ['https://example.com/customers'],
    actions: ['read', 'write'],
    datatypes: ['contacts', 'photos'],
  };
  const type = 'customer_information';
  const elsewhere = 'https://example.com/accounts';
  const refused = (what: string) =>
    `authorization_details_insufficient: none of type customer_information grants ${what}`;

  it.each<[string, AuthorizationDetailRequirement, unknown, string]>([
    ['the type is enough if nothing else is required', { type }, [detail], 'passes'],
    ['another type is not enough', { type }, [{ ...detail, type: 'payment' }], refused('this')],
    ['every action in any order is enough', { type, actions: ['write', 'read'] }, [detail], 'passes'],
    [
      'one action of two is not enough',
      { type, actions: ['read', 'delete'] },
      [detail],
      refused('read, delete'),
    ],
    [
      'actions that are no list are not enough',
      { type, actions: ['read'] },
      [{ type, actions: 'read' }],
      refused('read'),
    ],
    [
      'one location of two is enough',
      { type, locations: [elsewhere, detail.locations[0] ?? ''] },
      [detail],
      'passes',
    ],
    [
      'no location of two is not enough',
      { type, locations: [elsewhere, 'https://x.example'] },
      [detail],
      refused('this'),
    ],
    [
      'values of other types before the detail are ignored',
      { type },
      [undefined, null, 7, type, detail],
      'passes',
    ],
    ['values of other types are not enough', { type }, [undefined, null, 7, type], refused('this')],
    ['a detail that is in no list is not enough', { type }, detail, refused('this')],
  ])('%s', (_title, requirement, details, expected) => {
    expect(outcome(authorizationDetailsPolicy(requirement), { authorization_details: details })).toBe(
      expected,
    );
  });
});

it.each([[undefined], [''], [7]])('a required detail of the type %j is refused at start-up', (type) => {
  expect(() => authorizationDetailsPolicy({ type: type as never })).toThrow(
    /^authorizationDetailsPolicy\(\)\.type: expected a non-empty string without blanks or line ends around it, got (nothing|""|a number)$/,
  );
});

describe('claimsPolicy()', () => {
  const refused = 'claims_insufficient: the claim tenant is not as required';

  it.each<[string, ClaimRequirements[string], unknown, string]>([
    ['the required text is enough', 'x', 'x', 'passes'],
    ['the required number is enough', 1, 1, 'passes'],
    ['the required boolean is enough', true, true, 'passes'],
    ['one of several texts is enough', ['x', 'y'], 'y', 'passes'],
    ['none of several texts is not enough', ['x', 'y'], 'z', refused],
    ['one of texts and numbers is enough', ['x', 7], 7, 'passes'],
    ['a list with one of several values is enough', ['x', 'y'], ['a', 'y'], 'passes'],
    ['an empty list is not enough', ['x', 'y'], [], refused],
    ['a function that returns true accepts the value', (value) => value === 7, 7, 'passes'],
    ['a function that returns false refuses the value', (value) => value === 7, 8, refused],
    ['a function that returns a truthy text refuses the value', (() => 'yes') as never, 7, refused],
  ])('%s', (_title, rule, tenant, expected) => {
    expect(outcome(claimsPolicy({ tenant: rule }), { tenant })).toBe(expected);
  });

  it('a name that every object has is no claim', () => {
    const policy = claimsPolicy({ constructor: (value: unknown) => value !== undefined });
    expect(outcome(policy, {})).toBe('claims_insufficient: the claim constructor is not as required');
  });

  it('the refusal names the first claim that does not fit', () => {
    expect(outcome(claimsPolicy({ role: 'x', tenant: 'x', more: 'x' }), { role: 'x' })).toBe(refused);
  });

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['no claim', {}],
    ['a claim of nothing beside a good one', { role: 'x', tenant: undefined }],
    ['an empty list', { tenant: [] }],
    ['a list of objects', { tenant: [{}] }],
    ['a list with true in it', { tenant: ['x', true] }],
    ['an object', { tenant: {} }],
  ])('%s is refused at start-up', (_title, given) => {
    expect(() => claimsPolicy(given as never)).toThrow(
      /^claimsPolicy\(\): expected an object from claims to a value, a list of values or a function, got (undefined|null|an object)$/,
    );
  });
});

it('a function of claimsPolicy() that returns a promise accepts nothing, and the error says why', () => {
  const policy = claimsPolicy({ tenant: (async () => true) as never });
  const request = { clockTolerance: 30, authorization: { claims: { tenant: 'red' } } };
  expect(() => policy(request as never)).toThrow(
    'claimsPolicy(): a function returned a promise; it must return true or false',
  );
});

describe('activeTokenPolicy()', () => {
  it('accepts and refuses as the authorization server answers at this moment', async () => {
    const introspect = vi
      .fn()
      .mockResolvedValueOnce(undefined)
      .mockRejectedValue(new RequestRefused('token_inactive'));
    const request = { authorization: {}, introspect } as unknown as PolicyContext;
    await expect(activeTokenPolicy(request)).resolves.toBeUndefined();
    await expect(activeTokenPolicy(request)).rejects.toThrow('token_inactive');
    expect(introspect).toHaveBeenCalledTimes(2);
  });
});
