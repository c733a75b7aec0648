// Which texts are rejections of a token, and how the operator is told what a token holds.
import { describe, expect, it } from 'vitest';
import {
  createTokenRejection,
  describeClaim,
  describeWrongAudience,
  describeWrongIssuer,
  isTokenRejection,
  readTokenRejection,
  secondsAgo,
} from '../../../packages/core/src/token/token-rejection.js';

const codes = [
  ...['token_inactive', 'token_expired', 'token_not_yet_valid', 'token_wrong_audience', 'token_wrong_issuer'],
  ...['token_wrong_type', 'token_claims_malformed', 'jwt_malformed', 'jwt_not_decryptable'],
  ...['jwt_algorithm_not_accepted', 'jwt_type_not_accepted', 'jwt_key_unknown', 'jwt_signature_invalid'],
] as const;

describe('isTokenRejection()', () => {
  it.each(codes)('accepts %s, alone and with a detail of up to 500 characters in all', (code) => {
    const longest = `${code}: `.padEnd(500, 'x');
    expect([code, `${code}: why`, longest].map(isTokenRejection)).toEqual([true, true, true]);
    expect(isTokenRejection(`${longest}x`)).toBe(false);
  });

  it.each([
    ...['', 'token', 'token_inactive ', 'token_inactive:why', 'TOKEN_INACTIVE', 'why: token_inactive'],
    // These codes are refusals of a request, and no answer about a token.
    ...['certificate_missing', 'insufficient_scope: a', ': token_inactive', 'toString'],
    ...[undefined, null, 1, ['token_inactive'], { code: 'token_inactive' }],
  ])('accepts no other value, such as %j', (value) => {
    expect(isTokenRejection(value)).toBe(false);
  });
});

describe('readTokenRejection()', () => {
  it.each([
    ['token_inactive', { code: 'token_inactive' }],
    ['token_inactive: why', { code: 'token_inactive', detail: 'why' }],
    ['token_inactive: one: two', { code: 'token_inactive', detail: 'one: two' }],
  ] as const)('splits "%s" after its code', (rejection, expected) => {
    expect(readTokenRejection(rejection)).toEqual(expected);
    expect(Object.keys(readTokenRejection(rejection))).toEqual(Object.keys(expected));
  });

  it('returns the detail that createTokenRejection() was given, cut to 500 characters in all', () => {
    const { detail } = readTokenRejection(createTokenRejection('jwt_malformed', 'x'.repeat(1_000)));
    expect(detail).toBe('x'.repeat(500 - 'jwt_malformed: '.length));
  });
});

describe('describeClaim()', () => {
  it.each<[unknown, string]>([
    [undefined, 'none'],
    [null, 'none'],
    ['', '""'],
    ['a ~', '"a ~"'],
    ['a\nb\u007fé', '"a?b??"'],
    ['https://user:word@api.example.com/?key=1', '"https://[hidden]@api.example.com/?[hidden]"'],
    ['x'.repeat(100), `"${'x'.repeat(100)}"`],
    ['x'.repeat(101), `"${'x'.repeat(100)}..."`],
    [1, 'a number'],
    [false, 'a boolean'],
    [{ secret: 1 }, 'an object'],
    [[], 'an empty list'],
    [['a', null, {}], 'a list of "a", none, an object'],
    [['a', 'b', 'c', 'd'], 'a list of "a", "b", "c" and 1 more'],
    [['a'], 'a list of "a"'],
    [[['a'], []], 'a list of a list, a list'],
  ])('describes %j as %s', (value, expected) => {
    expect(describeClaim(value)).toBe(expected);
  });
});

it('the details of a wrong issuer and a wrong audience name what was expected and what was found', () => {
  expect(describeWrongIssuer('https://as.example.com', undefined)).toBe(
    'expected iss https://as.example.com, got none',
  );
  expect(describeWrongIssuer('https://as.example.com', ['https://as.example.com'])).toBe(
    'expected iss https://as.example.com, got a list of "https://as.example.com"',
  );
  expect(describeWrongAudience(['a', 'b'], ['c'])).toBe('expected aud a or b, got "c"');
});

it.each([
  [100, 40.4, '60 s ago'],
  [100, 100, '0 s ago'],
  [100, 160, '0 s ago'],
])('at %d seconds, the time %d is told as "%s"', (now, time, expected) => {
  expect(secondsAgo(now, time)).toBe(expected);
});
