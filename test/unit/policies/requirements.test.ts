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

describe('authentication', () => {
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
    ['acr alone is required', { acrValues }, { acr: 'myACR' }, 'passes'],
    ['acr alone is required, another is there', { acrValues }, { acr: 'other' }, weak],
    ['acr alone is required, none is there', { acrValues }, { auth_time: now }, weak],
    ['the second of two', { acrValues: ['myACR', 'better'] }, { acr: 'better' }, 'passes'],
    ['maxAge alone, reached', { maxAge: 300 }, { auth_time: now - 300 }, 'passes'],
    ['maxAge alone, passed by a second', { maxAge: 300 }, { auth_time: now - 301 }, old],
    ['maxAge 0, at this moment', { maxAge: 0 }, { auth_time: now }, 'passes'],
    ['maxAge 0, a second ago', { maxAge: 0 }, { auth_time: now - 1 }, old],
    ['both', { acrValues, maxAge: 300 }, { acr: 'myACR', auth_time: now }, 'passes'],
    ['both, and it is long ago', { acrValues, maxAge: 300 }, { acr: 'myACR', auth_time: now - 301 }, old],
    ['maxAge alone, auth_time as text', { maxAge: 300 }, { auth_time: `${now}` }, old],
    ['both, and it is weak', { acrValues, maxAge: 300 }, { acr: 'other', auth_time: now }, weak],
    ['maxAge, auth_time ahead within the tolerance', { maxAge: 300 }, { auth_time: now + 30 }, 'passes'],
    ['maxAge 0, auth_time ahead within the tolerance', { maxAge: 0 }, { auth_time: now + 30 }, 'passes'],
    ['maxAge, auth_time ahead by a second more', { maxAge: 300 }, { auth_time: now + 31 }, old],
    ['maxAge, auth_time ahead by a year', { maxAge: 300 }, { auth_time: now + 31_536_000 }, old],
    ['maxAge, auth_time in milliseconds', { maxAge: 300 }, { auth_time: now * 1000 }, old],
    ['maxAge, auth_time 1e300', { maxAge: 300 }, { auth_time: 1e300 }, old],
    ['maxAge, auth_time Infinity', { maxAge: 300 }, { auth_time: Number.POSITIVE_INFINITY }, old],
    ['maxAge, auth_time -Infinity', { maxAge: 300 }, { auth_time: Number.NEGATIVE_INFINITY }, old],
    ['maxAge, auth_time NaN', { maxAge: 300 }, { auth_time: Number.NaN }, old],
    ['maxAge, auth_time null', { maxAge: 300 }, { auth_time: null }, old],
    ['maxAge, auth_time in a list', { maxAge: 300 }, { auth_time: [now] }, old],
    ['maxAge, auth_time not there', { maxAge: 300 }, {}, old],
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
  ])('RFC 9470 §3: who does not meet %j is told what would do', (requirement, expected) => {
    expect(refusalOf(authenticationPolicy(requirement), {})).toMatchObject({ status: 401, ...expected });
  });

  const list = 'accepted is a list of values of printable ASCII without blanks, " and \\';

  it.each([
    ['no value', [], `a list was given; ${list}`],
    ['a text', 'myACR', `a string of 5 characters was given; ${list}`],
    ['a number', 7, `a number was given; ${list}`],
    ['one with a blank beside a good one', ['myACR', 'a b'], `a list was given; ${list}`],
    ['one with a quote', ['a"b'], `a list was given; ${list}`],
    ['an empty one', [''], `a list was given; ${list}`],
  ])('acrValues: %s is refused at start-up', (_title, given, message) => {
    expect(() => authenticationPolicy({ acrValues: given as never })).toThrow(
      new ConfigurationError('authenticationPolicy().acrValues', message),
    );
  });

  it('no requirement at all is refused at start-up', () => {
    expect(() => authenticationPolicy({})).toThrow(
      new ConfigurationError(
        'authenticationPolicy()',
        'nothing was given; accepted is acrValues, maxAge or both',
      ),
    );
  });
});

describe('authorization details', () => {
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
    ['the type alone', { type }, [detail], 'passes'],
    ['the type alone, another is there', { type }, [{ ...detail, type: 'payment' }], refused('this')],
    ['every action', { type, actions: ['write', 'read'] }, [detail], 'passes'],
    ['one action of two', { type, actions: ['read', 'delete'] }, [detail], refused('read, delete')],
    ['actions that are no list', { type, actions: ['read'] }, [{ type, actions: 'read' }], refused('read')],
    ['one location of two', { type, locations: [elsewhere, detail.locations[0] ?? ''] }, [detail], 'passes'],
    ['no location of two', { type, locations: [elsewhere, 'https://x.example'] }, [detail], refused('this')],
    ['nothing that could be one before it', { type }, [undefined, null, 7, type, detail], 'passes'],
    ['nothing that could be one', { type }, [undefined, null, 7, type], refused('this')],
    ['no list', { type }, detail, refused('this')],
  ])('%s', (_title, requirement, details, expected) => {
    expect(outcome(authorizationDetailsPolicy(requirement), { authorization_details: details })).toBe(
      expected,
    );
  });
});

it.each([[undefined], [''], [7]])('a detail of the type %j is refused at start-up', (type) => {
  expect(() => authorizationDetailsPolicy({ type: type as never })).toThrow(
    /^authorizationDetailsPolicy\(\)\.type: (nothing|""|a number) was given; accepted is a non-empty string without blanks or line ends around it$/,
  );
});

describe('claims', () => {
  const refused = 'claims_insufficient: the claim tenant is not as required';

  it.each<[string, ClaimRequirements[string], unknown, string]>([
    ['a text', 'x', 'x', 'passes'],
    ['a text, another is there', 'x', 'X', refused],
    ['a number', 1, 1, 'passes'],
    ['a number, the same as text is there', 1, '1', refused],
    ['true', true, true, 'passes'],
    ['true, the text is there', true, 'true', refused],
    ['false, nothing is there', false, undefined, refused],
    ['one of several texts', ['x', 'y'], 'y', 'passes'],
    ['none of several texts', ['x', 'y'], 'z', refused],
    ['one of texts and numbers', ['x', 7], 7, 'passes'],
    ['one of several, in a list', ['x', 'y'], ['a', 'y'], 'passes'],
    ['one of several, in an empty list', ['x', 'y'], [], refused],
    ['what a function says', (value) => value === 7, 7, 'passes'],
    ['what a function says of another value', (value) => value === 7, 8, refused],
    ['what is true only in JavaScript', (() => 'yes') as never, 7, refused],
  ])('%s', (_title, rule, tenant, expected) => {
    expect(outcome(claimsPolicy({ tenant: rule }), { tenant })).toBe(expected);
  });

  it('the first claim that does not fit is named', () => {
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
      new ConfigurationError(
        'claimsPolicy()',
        'accepted is an object from claims to a value, a list of values or a function',
      ),
    );
  });
});

describe('activeTokenPolicy', () => {
  it('is what the authorization server says at this moment', async () => {
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
