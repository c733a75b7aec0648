import { describe, expect, it } from 'vitest';
import { InternCache } from '../../../packages/core/src/token/intern-cache.js';
import { readTokenClaims, type TokenClaims } from '../../../packages/core/src/token/token-claims.js';

/** A text of its own, as JSON.parse makes one. */
const own = (text: string): string => Buffer.from(text).toString();

describe('InternCache', () => {
  it('makes of the same text the same value', () => {
    const { of } = new InternCache((text) => [text]);
    expect(of(own('openid'))).toBe(of(own('openid')));
    expect(of('openid')).toEqual(['openid']);
    expect(of('profile')).toEqual(['profile']);
  });

  it('keeps texts of up to 512 characters', () => {
    const { of } = new InternCache((text) => [text]);
    const long = 'x'.repeat(513);
    expect(of(long)).toEqual([long]);
    expect(of(long)).not.toBe(of(long));
    const longest = long.slice(1);
    expect(of(longest)).toBe(of(longest));
  });

  it('is bounded: a value that was not used for long is made again', () => {
    const { of } = new InternCache((text) => [text]);
    const first = of('first');
    for (let i = 0; i < 2_000; i += 1) {
      of(String(i));
    }
    expect(of('first')).not.toBe(first);
    expect(of('first')).toEqual(['first']);
  });
});

it('tokens share the lists of scopes and audiences, which are frozen', () => {
  const claims = () => JSON.parse('{"active":true,"scope":"a b","aud":"https://api.example.com"}');
  const [one, other] = [claims(), claims()].map(
    (each) => readTokenClaims(each, 'https://as.example.com') as TokenClaims,
  ) as [TokenClaims, TokenClaims];
  expect(one.scopes).toBe(other.scopes);
  expect(one.audience).toBe(other.audience);
  expect(Object.isFrozen(one.scopes)).toBe(true);
  expect(Object.isFrozen(one.audience)).toBe(true);
  expect(one.scopes).toEqual(['a', 'b']);
  expect(one.audience).toEqual(['https://api.example.com']);
  expect(one.claims).toEqual(claims());
});
