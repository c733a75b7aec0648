import { describe, expect, it } from 'vitest';
import { RequestRefused } from '../../../packages/core/src/errors.js';
import { type ClaimRules, checkClaims } from '../../../packages/core/src/token/claims-check.js';
import { readTokenClaims, type TokenClaims } from '../../../packages/core/src/token/token-claims.js';

// RFC 7662 §2.2.
const issuer = 'https://server.example.com/';
const aud = 'https://protected.example.net/resource';
const now = 1_419_354_000;
const token = {
  client_id: 'l238j323ds-23ij4',
  scope: 'read write dolphin',
  sub: 'Z5O3upPC88QrAjx00dis',
  aud,
  iss: issuer,
  exp: 1_419_356_238,
  iat: 1_419_350_238,
};

/** How the token fares with these claims changed, of a server that is the rules' own unless another is named. */
function outcome(changed: object, rules: Partial<ClaimRules> = {}, vouchedFor = issuer): string {
  const claims = readTokenClaims({ ...token, ...changed }, vouchedFor) as TokenClaims;
  try {
    checkClaims(claims, { issuer, audience: [aud], clockTolerance: 10, ...rules }, now, false);
    return 'passes';
  } catch (error) {
    expect(error).toBeInstanceOf(RequestRefused);
    const { status, error: code, message } = error as RequestRefused;
    expect(`${status} ${code}`).toBe('401 invalid_token');
    return message;
  }
}

it('the token of the RFC passes', () => {
  expect(outcome({})).toBe('passes');
});

it.each([
  [{}, 'token_expired'],
  [{ exp: undefined }, 'token_not_yet_valid'],
])('with %j it does not pass while the clock of this process gives no number', (changed, code) => {
  const claims = readTokenClaims({ ...token, ...changed }, issuer) as TokenClaims;
  const rules = { issuer, audience: [aud], clockTolerance: 10 };
  expect(() => checkClaims(claims, rules, Number.NaN, false)).toThrow(code);
});

describe('its time, by a clock that may be 10 seconds off', () => {
  it.each([
    ['exp 9 seconds ago', { exp: now - 9 }, 'passes'],
    ['exp 10 seconds ago', { exp: now - 10 }, 'token_expired: exp was 10 s ago'],
    ['exp 1 hour ago', { exp: now - 3_600 }, 'token_expired: exp was 3600 s ago'],
    ['no exp', { exp: undefined }, 'passes'],
    ['nbf in 10 seconds', { nbf: now + 10 }, 'passes'],
    [
      'nbf in 11 seconds',
      { nbf: now + 11 },
      'token_not_yet_valid: nbf is 11 s ahead; clockTolerance is 10 s',
    ],
    ['iat in 10 seconds', { iat: now + 10 }, 'passes'],
    [
      'iat in 11 seconds',
      { iat: now + 11 },
      'token_not_yet_valid: iat is 11 s ahead; clockTolerance is 10 s',
    ],
    ['neither nbf nor iat', { nbf: undefined, iat: undefined }, 'passes'],
    [
      'nbf ahead, iat past',
      { nbf: now + 11, iat: now - 1 },
      'token_not_yet_valid: nbf is 11 s ahead; clockTolerance is 10 s',
    ],
    [
      'iat ahead, nbf past',
      { iat: now + 11, nbf: now - 1 },
      'token_not_yet_valid: iat is 11 s ahead; clockTolerance is 10 s',
    ],
  ])('%s', (_title, changed, expected) => {
    expect(outcome(changed)).toBe(expected);
  });

  it.each([
    ['RFC 7519 §4.1.4: exp now: on it, a token has expired', { exp: now }, 'token_expired: exp was 0 s ago'],
    ['exp in a second', { exp: now + 1 }, 'passes'],
    ['RFC 7519 §4.1.5: nbf now: on it, a token is valid', { nbf: now }, 'passes'],
    ['nbf in a second', { nbf: now + 1 }, 'token_not_yet_valid: nbf is 1 s ahead; clockTolerance is 0 s'],
  ])('without tolerance: %s', (_title, changed, expected) => {
    expect(outcome(changed, { clockTolerance: 0 })).toBe(expected);
  });
});

describe('its issuer', () => {
  const wrong = (found: string) =>
    `token_wrong_issuer: expected iss https://server.example.com/, got ${found}`;

  it.each([
    ['no iss, and the right server vouches for it', { iss: undefined }, issuer, 'passes'],
    [
      'no iss, and another server vouches for it',
      { iss: undefined },
      'https://other.example.com/',
      wrong('none'),
    ],
    [
      'the right iss, and another server vouches for it',
      {},
      'https://other.example.com/',
      wrong('"https://server.example.com/"'),
    ],
    [
      'another iss from the right server',
      { iss: 'https://other.example.com/' },
      issuer,
      wrong('"https://other.example.com/"'),
    ],
    [
      'RFC 8414 §3.3: no slash at the end',
      { iss: 'https://server.example.com' },
      issuer,
      wrong('"https://server.example.com"'),
    ],
    [
      'RFC 8414 §3.3: upper case',
      { iss: 'https://SERVER.example.com/' },
      issuer,
      wrong('"https://SERVER.example.com/"'),
    ],
    ['an empty iss', { iss: '' }, issuer, wrong('""')],
  ])('%s', (_title, changed, vouchedFor, expected) => {
    expect(outcome(changed, {}, vouchedFor)).toBe(expected);
  });
});

describe('its audience', () => {
  const both = [aud, 'urn:accounts'];
  const expected = 'token_wrong_audience: expected aud https://protected.example.net/resource';
  const wrong = (found: string) => `${expected}, got ${found}`;

  it.each<[string, unknown, ClaimRules['audience'], string]>([
    ['one of several is this API', ['urn:other', aud], [aud], 'passes'],
    ['another API', 'urn:other', [aud], wrong('"urn:other"')],
    ['several, none of them this API', ['urn:other', 'urn:more'], [aud], wrong('"urn:other", "urn:more"')],
    ['none', undefined, [aud], wrong('none')],
    ['null', null, [aud], wrong('none')],
    ['five others', ['a', 'b', 'c', 'd', 'e'], [aud], wrong('"a", "b", "c" and 2 more')],
    ['an empty list', [], [aud], wrong('an empty list')],
    ['upper case', aud.toUpperCase(), [aud], wrong(`"${aud.toUpperCase()}"`)],
    [
      'a part of the identifier',
      'https://protected.example.net',
      [aud],
      wrong('"https://protected.example.net"'),
    ],
    ['the second name of this API', 'urn:accounts', both, 'passes'],
    ['neither name of this API', 'urn:other', both, `${expected} or urn:accounts, got "urn:other"`],
    ['another API, where the server checks', 'urn:other', 'server-enforced', 'passes'],
    ['none, where the server checks', undefined, 'server-enforced', 'passes'],
  ])('%s', (_title, given, audience, expected) => {
    expect(outcome({ aud: given }, { audience })).toBe(expected);
  });
});

it.each([
  [undefined, 'passes'],
  ['Bearer', 'passes'],
  ['bearer', 'passes'],
  ['BEARER', 'passes'],
  // What Duende's introspection answers.
  ['access_token', 'passes'],
  ['urn:ietf:params:oauth:token-type:access_token', 'passes'],
  [
    'urn:ietf:params:oauth:token-type:refresh_token',
    'token_wrong_type: expected token_type Bearer, got "urn:ietf:params:oauth:token-type:refresh_token"',
  ],
  ['mtls_pop', 'token_wrong_type: expected token_type Bearer, got "mtls_pop"'],
  ['refresh_token', 'token_wrong_type: expected token_type Bearer, got "refresh_token"'],
  ['DPoP', 'token_wrong_type: expected token_type Bearer, got "DPoP"'],
  ['', 'token_wrong_type: expected token_type Bearer, got ""'],
])('token_type %j: %s', (token_type, expected) => {
  expect(outcome({ token_type })).toBe(expected);
});
