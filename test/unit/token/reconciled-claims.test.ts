// What counts of a JWT and of the authorization server's answer about it: of two statements the stricter one.
import { readTokenClaims, type TokenClaims } from '@mtls-bound/core';
import { expect, it } from 'vitest';
import { reconcileClaims } from '../../../packages/core/src/token/reconciled-claims.js';

const issuer = 'https://as.example.com';

function claims(of: Record<string, unknown>, by = issuer): TokenClaims {
  const read = readTokenClaims(of, by);
  if (typeof read === 'string') {
    throw new Error(read);
  }
  return read;
}

const agreed = (token: Record<string, unknown>, answer: Record<string, unknown>) =>
  reconcileClaims(claims(token), claims(answer)) as TokenClaims;

it('an answer that refuses the token refuses it', () => {
  expect(reconcileClaims(claims({}), 'token_inactive')).toBe('token_inactive');
});

it.each<[string, object, object]>([
  ['sub', { sub: 'a' }, { sub: 'b' }],
  ['client_id', { client_id: 'a' }, { client_id: 'b' }],
  ['token_type', { token_type: 'Bearer' }, { token_type: 'DPoP' }],
  ['iss', { iss: issuer }, { iss: 'https://other.example.com' }],
  ['jti', { jti: 'a' }, { jti: 'b' }],
  ['sid', { sid: 'a' }, { sid: 'b' }],
])('an answer with another %s refuses the token, and one without it does not', (name, token, answer) => {
  expect(agreed({ ...token }, { ...answer })).toBe(
    `token_inactive: the authorization server answered with another ${name} than that of the token`,
  );
  for (const [one, other] of [
    [token, {}],
    [{}, answer],
    [token, token],
  ]) {
    expect(agreed({ ...one }, { ...other })).toBeTypeOf('object');
  }
});

it('an answer by another issuer refuses the token', () => {
  const other = claims({}, 'https://other.example.com');
  expect(reconcileClaims(claims({}), other)).toContain('another issuer');
});

it('the token type is compared without its case, and is that of the token', () => {
  expect(agreed({ token_type: 'bearer' }, { token_type: 'BEARER' }).tokenType).toBe('bearer');
  expect(agreed({}, { token_type: 'BEARER' }).tokenType).toBe('BEARER');
});

it('what one of the two leaves out the other says', () => {
  const one = { sub: 'user-1', client_id: 'client-1', scope: 'a b', exp: 200, nbf: 10, iat: 20, aud: ['x'] };
  const expected = {
    ...{ subject: 'user-1', clientId: 'client-1', scopes: ['a', 'b'], audience: ['x'], issuer },
    ...{ expiresAt: 200, notBefore: 10, issuedAt: 20 },
  };
  expect(agreed(one, {})).toMatchObject(expected);
  expect(agreed({}, one)).toMatchObject(expected);
  expect(agreed({}, {})).toMatchObject({ scopes: [], audience: undefined, expiresAt: undefined, claims: {} });
});

it('of two times the earlier end and the later beginning count', () => {
  const early = { exp: 100, nbf: 1, iat: 2 };
  const late = { exp: 200, nbf: 11, iat: 12 };
  const expected = { expiresAt: 100, notBefore: 11, issuedAt: 12, claims: { exp: 100, nbf: 11, iat: 12 } };
  expect(agreed(early, late)).toMatchObject(expected);
  expect(agreed(late, early)).toMatchObject(expected);
});

it.each([
  ['a b', 'b c', ['b'], 'b'],
  ['a', 'b', [], ''],
  ['a', '', [], ''],
  ['', 'a', [], ''],
])('the scopes "%s" and "%s" grant what both name', (token, answer, scopes, text) => {
  const both = agreed({ scope: token }, { scope: answer });
  expect(both.scopes).toEqual(scopes);
  expect(both.claims.scope).toBe(text);
  expect(Object.isFrozen(both.scopes)).toBe(true);
});

it('of two audiences those count that both name', () => {
  const both = agreed({ aud: ['x', 'y'] }, { aud: ['y', 'z'] });
  expect(both.audience).toEqual(['y']);
  expect(both.claims.aud).toEqual(['y']);
});

it('audiences of which none is in both refuse the token', () => {
  expect(agreed({ aud: ['x', 'y'] }, { aud: 'z' })).toBe(
    'token_wrong_audience: the token names "x", "y", the server\'s answer "z"',
  );
  expect(agreed({ aud: ['x'] }, { aud: [] })).toContain('token_wrong_audience');
});

it('an empty audience of the token stays empty', () => {
  expect(agreed({ aud: [] }, { aud: ['x'] }).audience).toEqual([]);
});

it('of other claims those of the server count, and those of the token that it leaves out', () => {
  const both = agreed({ role: 'admin', tenant: 'a' }, { role: 'reader', level: 1, active: true });
  expect(both.claims).toEqual({ role: 'reader', tenant: 'a', level: 1, active: true });
  expect(Object.isFrozen(both)).toBe(true);
  expect(Object.isFrozen(both.claims)).toBe(true);
});

it('a claim that is null in the answer leaves that of the token', () => {
  expect(agreed({ role: 'admin' }, { role: null }).claims).toEqual({ role: 'admin' });
});

const one = { 'x5t#S256': 'one' };
const other = { 'x5t#S256': 'other' };

it.each<[string, unknown, unknown, unknown]>([
  ['that of the token alone', one, undefined, one],
  ['that of the answer alone', undefined, other, other],
  ['the same one twice', one, one, one],
  ['two methods', one, { jkt: 'key' }, { ...one, jkt: 'key' }],
  ['two thumbprints that differ, which no certificate proves', one, other, { 'x5t#S256': ['one', 'other'] }],
  ['two keys that differ, which no proof proves', { jkt: 'a' }, { jkt: 'b' }, { jkt: ['a', 'b'] }],
  [
    'two methods that differ both',
    { ...one, jkt: 'a' },
    { ...other, jkt: 'b' },
    { 'x5t#S256': ['one', 'other'], jkt: ['a', 'b'] },
  ],
  [
    'a thumbprint that is null in the token, which is refused',
    { 'x5t#S256': null },
    other,
    { 'x5t#S256': null },
  ],
  ['a text in the token, which is refused', 'x', one, 'x'],
  ['a text in the answer, which is refused', one, 'x', 'x'],
  ['null in the answer, which is refused', one, null, null],
  ['a list in the token, which is refused', [], one, []],
])('the confirmation is %s', (_title, token, answer, expected) => {
  const base = claims({});
  const both = reconcileClaims(
    { ...base, confirmation: token },
    { ...base, confirmation: answer },
  ) as TokenClaims;
  expect(both.confirmation).toEqual(expected);
});

it('the claim cnf is the confirmation on which both agree', () => {
  expect(agreed({ cnf: one }, { cnf: other }).claims.cnf).toEqual({ 'x5t#S256': ['one', 'other'] });
});
