// A process that has too many revocations forgets the oldest. What it forgot before its time never becomes an acceptance.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type {
  DatedToken,
  Revocations,
  RevocationsRules,
} from '../../../packages/core/src/revocation/revocations.js';
import { readTokenClaims, type TokenClaims } from '../../../packages/core/src/token/token-claims.js';
import { noticeOf, remembered } from '../../support/revocations.js';

const now = 1_800_000_000_000;
const red = 'https://red.example.com';
const blue = 'https://blue.example.com';

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(now);
});
afterEach(() => {
  vi.useRealTimers();
});

const report = vi.fn();
beforeEach(() => report.mockReset());

const small = (changes: Partial<RevocationsRules> = {}): Revocations =>
  remembered({ maxRevocations: 100, report, ...changes });

/** Revokes the tokens of so many subjects, of one issuer or of each. */
function flood(revocations: Revocations, issuer: string | undefined, count = 150): void {
  for (let i = 0; i < count; i += 1) {
    revocations.add(noticeOf(issuer === undefined ? { subject: `x${i}` } : { subject: `x${i}`, issuer }));
  }
}

function known(
  of: Revocations,
  changes: Partial<DatedToken> & { by?: string; iat?: number | undefined },
): DatedToken {
  const { by = red, iat = now / 1000 - 600, ...more } = changes;
  return {
    tokenClaims: readTokenClaims(
      { sub: 'alice', iat: 'iat' in changes ? changes.iat : iat },
      by,
    ) as TokenClaims,
    claimsFrom: 'token',
    turn: of.nextTurn(),
    turnTime: performance.now(),
    shared: undefined,
    hash: 'hash',
    revocationHash: 'revocationHash',
    checkedUpTo: Number.NaN,
    ...more,
  };
}

describe('a flood of revocations of one issuer', () => {
  it.each([
    ['of its subject', { subject: 'alice', issuer: red }],
    ['of its text', { tokenHash: 'hash', issuer: red }],
    ['of its text, for each issuer', { tokenHash: 'hash' }],
    ['of its subject, for each issuer', { subject: 'alice' }],
  ])('leaves no JWT accepted that was revoked: %s', (_title, revocation) => {
    const revocations = small();
    revocations.add(noticeOf(revocation));
    const isOfEach = !('issuer' in revocation);
    flood(revocations, isOfEach ? undefined : red);
    expect(revocations.usability(known(revocations, {}))).toBe('may-be-revoked');
    expect(revocations.usability(known(revocations, { by: blue }))).toBe(isOfEach ? 'may-be-revoked' : 'use');
  });

  it('leaves the revocations of another issuer remembered, and its other tokens accepted', () => {
    const revocations = small();
    revocations.add(noticeOf({ subject: 'bob', issuer: blue }));
    flood(revocations, red, 1_000);
    expect(revocations.usability(known(revocations, { by: blue }))).toBe('use');
    expect(revocations.noticesOutsideLog().map(({ notice }) => notice.revocation)).toContainEqual({
      subject: 'bob',
      issuer: blue,
    });
  });

  it.each<[string, Partial<DatedToken> & { iat?: number | undefined }, string]>([
    ['a JWT that is issued after it, later than clocks differ', { iat: now / 1000 + 31 }, 'use'],
    [
      'a JWT that is issued after it, within the difference of clocks',
      { iat: now / 1000 + 30 },
      'may-be-revoked',
    ],
    ['a JWT without iat', { iat: undefined }, 'may-be-revoked'],
    ['an answer that was asked for before it', { claimsFrom: 'server', turn: 0 }, 'outdated'],
    ['an answer that was asked for after it', { claimsFrom: 'server' }, 'use'],
    [
      'a shared answer',
      { claimsFrom: 'server', shared: { askedAt: now - 40_000, logReadUpTo: undefined } },
      'outdated',
    ],
  ])('%s', (_title, changes, expected) => {
    const revocations = small();
    flood(revocations, red);
    expect(revocations.usability(known(revocations, changes))).toBe(expected);
  });

  it('has a shared answer used whose process had read all that was forgotten in the log', () => {
    const revocations = small({ syncedBy: 'log' });
    for (let i = 100; i < 250; i += 1) {
      revocations.add(noticeOf({ subject: `x${i}`, issuer: red }), String(i));
    }
    revocations.markRead('249', performance.now());
    const shared = (logReadUpTo: string) =>
      known(revocations, { claimsFrom: 'server', shared: { askedAt: now + 31_000, logReadUpTo } });
    expect(revocations.usability(shared('249'))).toBe('use');
    expect(revocations.usability(shared('120'))).toBe('outdated');
    revocations.markLogReplaced();
    revocations.markRead('1', performance.now());
    expect(revocations.usability(shared('249'))).toBe('outdated');
  });

  it('refuses also where JWTs are accepted though a revocation may not have been heard', () => {
    const revocations = small({ syncedBy: 'log', acceptsUnknownRevocation: true });
    flood(revocations, red);
    expect(revocations.usability(known(revocations, {}))).toBe('may-be-revoked');
  });

  it('counts until what was forgotten would be forgotten by its age', () => {
    const revocations = small({ longestUse: 60 });
    flood(revocations, red);
    // Twice the clockTolerance of 30 s more.
    vi.advanceTimersByTime(120_000);
    expect(revocations.usability(known(revocations, {}))).toBe('may-be-revoked');
    vi.advanceTimersByTime(2);
    expect(revocations.usability(known(revocations, {}))).toBe('use');
  });

  it('counts while a clock gives NaN, and so does one that was forgotten at that time', () => {
    const revocations = small();
    flood(revocations, red);
    const token = known(revocations, {});
    const clock = vi.spyOn(performance, 'now').mockReturnValue(Number.NaN);
    expect(revocations.usability(token)).toBe('may-be-revoked');
    const others = small();
    flood(others, blue);
    flood(others, red);
    clock.mockRestore();
    expect(others.usability(known(others, { by: blue }))).toBe('may-be-revoked');
    expect(others.usability(known(others, { by: red }))).toBe('may-be-revoked');
  });

  it('is reported, with the issuer, and an ordinary number of revocations is not', () => {
    const revocations = small();
    flood(revocations, red, 100);
    expect(report).not.toHaveBeenCalled();
    flood(revocations, undefined, 20);
    expect(report.mock.calls[0]).toEqual([
      'revocations_forgotten',
      `there are more than 100 revocations: the oldest of ${red} are forgotten before revocations.longestTokenLifetime, and its tokens from before are asked about or refused`,
    ]);
  });

  it('has the signal of a request fire that began before it', () => {
    const revocations = small();
    const since = revocations.latestTurn;
    flood(revocations, red);
    const heard: string[] = [];
    const watch = (by: string, from: number) =>
      revocations.watch(known(revocations, { by }), from, (code) => heard.push(code));
    watch(blue, since);
    watch(red, revocations.latestTurn);
    expect(heard).toEqual([]);
    watch(red, since);
    expect(heard).toEqual(['revocations_unknown']);
  });

  it('is all that a request which waited is refused for, where what was missed does not count', () => {
    const revocations = small();
    const token = known(revocations, {});
    const since = revocations.latestTurn;
    revocations.markRestored();
    expect(revocations.findRevokedSince(token, since)).toBe('revocations_unknown');
    expect(revocations.findReceivedSince(token, since)).toBeUndefined();
    flood(revocations, blue);
    expect(revocations.findReceivedSince(token, since)).toBeUndefined();
    flood(revocations, red, 1_000);
    expect(revocations.findReceivedSince(token, since)).toBe('revocations_unknown');
    expect(revocations.findReceivedSince(token, revocations.latestTurn)).toBeUndefined();
    revocations.add(noticeOf({ subject: 'alice', issuer: red }));
    expect(revocations.findReceivedSince(token, since)).toBe('token_inactive');
  });

  it('of each issuer has a request which waited refused', () => {
    const revocations = small();
    const token = known(revocations, {});
    const since = revocations.latestTurn;
    flood(revocations, undefined);
    expect(revocations.findReceivedSince(token, since)).toBe('revocations_unknown');
  });
});
