// Which claims of a server or of a token source are taken, and which are refused rather than guessed at.
import { runInNewContext } from 'node:vm';
import { readTokenClaims, type TokenClaims } from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import { parseTokenAnswer } from '../../../packages/core/src/token/token-claims.js';

const issuer = 'https://as.example.com';
const read = (claims: Record<string, unknown>) => readTokenClaims(claims, issuer) as TokenClaims;

describe('readTokenClaims()', () => {
  it('returns each claim as a member, all frozen', () => {
    const claims = {
      ...{ sub: 'user-1', client_id: 'client-1', scope: ' a  b ', aud: 'x', token_type: 'Bearer' },
      ...{ exp: 3, nbf: 1, iat: 2, cnf: { jkt: 'key' }, role: { deep: ['a'] } },
    };
    const token = read(claims);
    expect({ ...token }).toEqual({
      ...{ subject: 'user-1', clientId: 'client-1', scopes: ['a', 'b'], issuer, audience: ['x'] },
      ...{ tokenType: 'Bearer', expiresAt: 3, notBefore: 1, issuedAt: 2 },
      ...{ confirmation: { jkt: 'key' }, claims },
    });
    const parts = [token, token.scopes, token.claims, (token.claims.role as { deep: unknown }).deep];
    expect(parts.map((part) => Object.isFrozen(part))).toEqual([true, true, true, true]);
  });

  it.each([
    ...['sub', 'client_id', 'scope', 'iss', 'token_type', 'jti', 'sid'].flatMap((name) =>
      [1, ['a'], {}].map((value) => [name, value, 'a string'] as const),
    ),
    ...[1, {}, [1], ['a', 1], [undefined]].map(
      (value) => ['aud', value, 'a string or a list of strings'] as const,
    ),
    ...['exp', 'nbf', 'iat'].flatMap((name) =>
      ['1', -1, 8_640_000_000_001, Number.POSITIVE_INFINITY, Number.NaN].map(
        (value) => [name, value, 'a number of seconds since 1970'] as const,
      ),
    ),
  ])('refuses %s: %j', (name, value, accepted) => {
    expect(readTokenClaims({ [name]: value }, issuer)).toBe(
      `token_claims_malformed: ${name} is not ${accepted}`,
    );
  });

  it.each(['sub', 'client_id', 'scope', 'aud', 'exp', 'cnf'])('takes %s: null for absent', (name) => {
    const { claims: _, ...members } = read({ [name]: null });
    const { claims: __, ...absent } = read({});
    expect(members).toEqual(absent);
  });

  it('takes times from 0 up to the last that a Date can hold', () => {
    expect(read({ iat: 0, exp: 8_640_000_000_000 })).toMatchObject({
      issuedAt: 0,
      expiresAt: 8_640_000_000_000,
    });
  });

  it('takes a list of audiences as it is, also an empty one', () => {
    expect([read({ aud: ['x', 'y'] }).audience, read({ aud: [] }).audience]).toEqual([['x', 'y'], []]);
  });

  it('takes claims that are frozen already', () => {
    expect(read(Object.freeze({ sub: 'user-1', client_id: 'client-1' }))).toMatchObject({
      subject: 'user-1',
      clientId: 'client-1',
    });
  });

  it('freezes no claims that it refuses', () => {
    const claims = { sub: 1 };
    read(claims);
    expect(Object.isFrozen(claims)).toBe(false);
  });

  it('takes no claim from a prototype', () => {
    expect(read(Object.create({ sub: 'admin' })).subject).toBeUndefined();
  });
});

describe('parseTokenAnswer()', () => {
  const answer = { ...read({ sub: 'user-1', scope: 'a', aud: ['x'], exp: 3, role: { deep: ['a'] } }) };

  it('returns a rejection, and what readTokenClaims() returned, as they are', () => {
    const token = read({ sub: 'user-1' });
    expect(parseTokenAnswer(token)).toBe(token);
    expect(parseTokenAnswer('token_inactive: why')).toBe('token_inactive: why');
  });

  it('returns a frozen copy that the source can not change any more', () => {
    const scopes = ['a'];
    const claims = { role: { deep: ['a'] } };
    const given = { ...answer, scopes, claims, audience: ['x'], confirmation: { jkt: 'key' } };
    const parsed = parseTokenAnswer(given) as TokenClaims;
    scopes.push('admin');
    claims.role.deep.push('admin');
    expect(parsed).toMatchObject({ scopes: ['a'], claims: { role: { deep: ['a'] } } });
    const parts = [parsed, parsed.scopes, parsed.audience, parsed.confirmation, parsed.claims.role];
    expect(parts.map((part) => Object.isFrozen(part))).toEqual([true, true, true, true, true]);
  });

  it.each([undefined, null, 1, true, 'other', 'token_inactive_not'])('throws for %j', (given) => {
    expect(() => parseTokenAnswer(given)).toThrow(/neither TokenClaims nor a rejection/);
  });

  it.each<[string, unknown]>([
    ...['subject', 'clientId', 'tokenType'].map((name): [string, unknown] => [name, 1]),
    ...['expiresAt', 'notBefore', 'issuedAt'].map((name): [string, unknown] => [name, '1']),
    ...[undefined, 'a', [1]].map((value): [string, unknown] => ['scopes', value]),
    ['issuer', undefined],
    ['audience', 'x'],
    ['audience', new Array(1)],
    ['claims', undefined],
    ['claims', []],
    ['claims', { at: new Date(0) }],
    ['claims', { call: () => undefined }],
    ['claims', { mark: Symbol('x') }],
    ['confirmation', new Map()],
    ['confirmation', () => undefined],
  ])('throws an error that names the member %s, and not its value', (name, value) => {
    // Only members that no claim names, so that none is missing.
    const given = { ...answer, claims: {}, [name]: value };
    expect(() => parseTokenAnswer(given)).toThrow(
      new TypeError(`the token source returned TokenClaims whose member ${name} has a wrong type`),
    );
  });

  it.each([
    ['sub', 'subject', 'a'],
    ['client_id', 'clientId', 'a'],
    ['aud', 'audience', 'a'],
    ['token_type', 'tokenType', 'a'],
    ['exp', 'expiresAt', 3],
    ['nbf', 'notBefore', 3],
    ['iat', 'issuedAt', 3],
    ['cnf', 'confirmation', {}],
  ])('throws if the claim %s is there and the member %s is not', (claim, member, value) => {
    const given = { ...answer, claims: { [claim]: value }, [member]: undefined };
    expect(() => parseTokenAnswer(given)).toThrow(
      `the token source returned TokenClaims without the member for the claim ${claim}`,
    );
    expect(parseTokenAnswer({ ...answer, claims: { [claim]: null }, [member]: undefined })).toBeTypeOf(
      'object',
    );
  });

  it.each(['jti', 'sid'])('rejects a token whose claim %s is not a string', (name) => {
    expect(parseTokenAnswer({ ...answer, claims: { [name]: 1 } })).toBe(
      `token_claims_malformed: ${name} is not a string`,
    );
  });

  it('refuses claims that nest deeper than 64 levels', () => {
    const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
    // The object of the claims is the first level.
    expect(parseTokenAnswer({ ...answer, claims: { deep: nested(63) } })).toBeTypeOf('object');
    expect(parseTokenAnswer({ ...answer, claims: { deep: nested(64) } })).toBe(
      'token_claims_malformed: the claims nest deeper than 64 levels',
    );
  });

  it('takes claims of another realm, and a claim that is named __proto__', () => {
    const claims = runInNewContext('JSON.parse(\'{"__proto__":{"a":1},"list":[{"b":2}]}\')');
    const parsed = parseTokenAnswer({ ...answer, claims }) as TokenClaims;
    expect(Object.entries(parsed.claims)).toEqual([
      ['__proto__', { a: 1 }],
      ['list', [{ b: 2 }]],
    ]);
    expect(Object.getPrototypeOf(parsed.claims)).toBe(Object.prototype);
  });

  it('copies an object that two members share once, and one without a prototype', () => {
    const shared = Object.assign(Object.create(null), { a: 1 });
    const { claims } = parseTokenAnswer({ ...answer, claims: { one: shared, other: shared } }) as TokenClaims;
    expect(claims).toEqual({ one: { a: 1 }, other: { a: 1 } });
    expect(claims.one).toBe(claims.other);
  });
});
