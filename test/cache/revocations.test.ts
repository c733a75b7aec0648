import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  checkedRevocation,
  hashOf,
  type Known,
  Revocations,
  withoutToken,
} from '../../packages/core/src/cache/revocations.js';
import type { TokenClaims } from '../../packages/core/src/token-claims.js';

const now = 1_800_000_000_000;
const thumbprint = 'bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2';

/** Of alice's, by her app, bound to a certificate; known since the minute before. */
const known = (changes: Partial<Known> = {}, token: Partial<TokenClaims> = {}): Known => ({
  tokenHash: 'hash',
  token: {
    issuer: 'https://as.example.com',
    subject: 'alice',
    clientId: 'app',
    confirmation: { 'x5t#S256': thumbprint },
    ...token,
  } as TokenClaims,
  asOf: now - 60_000,
  wasAsked: true,
  isShared: false,
  ...changes,
});

const fresh = () => new Revocations({ maxAge: 3_600, maxAgeWhileLost: 5 });

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(now);
});
afterEach(() => {
  vi.useRealTimers();
});

describe('what is revoked', () => {
  it.each([
    ['the subject', { subject: 'alice' }],
    ['the client', { clientId: 'app' }],
    ['the certificate', { thumbprint }],
    ['the token, by its hash', { tokenHash: 'hash' }],
  ])('%s: what is known from before, and from that moment', (_, revocation) => {
    const revocations = fresh();
    expect(revocations.isRevoked(known())).toBe(false);
    revocations.add(revocation, now);
    expect(revocations.isRevoked(known())).toBe(true);
    expect(revocations.isRevoked(known({ asOf: now }))).toBe(true);
  });

  it.each([
    ['subject', { subject: 'alice' }],
    ['client', { clientId: 'app' }],
    ['certificate', { thumbprint }],
  ])('%s: what is known from afterwards is not', (_, revocation) => {
    const revocations = fresh();
    revocations.add(revocation, now);
    expect(revocations.isRevoked(known({ asOf: now + 1 }))).toBe(false);
  });

  it.each([
    ['another subject', { subject: 'bob' }],
    ['another client', { clientId: 'alice' }],
    ['another certificate', { thumbprint: 'x' }],
    ['another token', { tokenHash: 'other' }],
  ])('%s: nothing', (_, revocation) => {
    const revocations = fresh();
    revocations.add(revocation, now);
    expect(revocations.isRevoked(known())).toBe(false);
    expect(revocations.isTokenRevoked('hash')).toBe(false);
  });

  it.each([[undefined], [null], ['text'], [{}]])('a token that is bound to nothing, %j', (confirmation) => {
    const revocations = fresh();
    revocations.add({ thumbprint }, now);
    expect(revocations.isRevoked(known({}, { confirmation } as Partial<TokenClaims>))).toBe(false);
  });

  it('a token by itself, whenever it was asked about, and however it was named', () => {
    const revocations = fresh();
    revocations.add({ token: 'secret' }, now);
    expect(revocations.isTokenRevoked(hashOf('secret'))).toBe(true);
    expect(revocations.isRevoked(known({ tokenHash: hashOf('secret'), asOf: now + 60_000 }))).toBe(true);
  });

  it('the later of two revocations counts, in whichever order they are heard', () => {
    const revocations = fresh();
    revocations.add({ subject: 'alice' }, now);
    revocations.add({ subject: 'alice' }, now - 120_000);
    expect(revocations.isRevoked(known())).toBe(true);
  });

  it('for maxAge', () => {
    const revocations = fresh();
    revocations.add({ tokenHash: 'hash' }, now);
    vi.advanceTimersByTime(3_600_000);
    expect(revocations.isTokenRevoked('hash')).toBe(true);
    vi.advanceTimersByTime(1);
    expect(revocations.isTokenRevoked('hash')).toBe(false);
  });
});

describe('while revocations may be missed', () => {
  it('what the server said serves for maxAgeWhileLost', () => {
    const revocations = fresh();
    revocations.lost();
    expect(revocations.isOutdated(known({ asOf: now - 5_000 }), now)).toBe(false);
    expect(revocations.isOutdated(known({ asOf: now - 5_001 }), now)).toBe(true);
  });

  it('what a token says of itself serves on', () => {
    const revocations = fresh();
    revocations.lost();
    expect(revocations.isOutdated(known({ wasAsked: false }), now)).toBe(false);
  });

  it('afterwards nothing from before does', () => {
    const revocations = fresh();
    revocations.lost();
    revocations.restored(now);
    expect(revocations.isOutdated(known({ asOf: now - 1 }), now)).toBe(true);
    expect(revocations.isOutdated(known({ asOf: now }), now)).toBe(false);
    revocations.restored(now - 60_000);
    expect(revocations.isOutdated(known({ asOf: now - 1 }), now)).toBe(true);
  });

  it('what was revoked is, all the while', () => {
    const revocations = fresh();
    revocations.add({ subject: 'alice' }, now);
    expect(revocations.isOutdated(known({ wasAsked: false }), now)).toBe(true);
    expect(revocations.isOutdated(known(), now)).toBe(true);
  });
});

describe('what another process knows', () => {
  it('is five seconds older than it says: its clock may be ahead', () => {
    const revocations = fresh();
    revocations.restored(now - 10_000);
    expect(revocations.isOutdatedElsewhere(known({ asOf: now - 5_000 }), now)).toBe(false);
    expect(revocations.isOutdatedElsewhere(known({ asOf: now - 5_001 }), now)).toBe(true);
  });

  it('is not used at all where the subject was ever revoked', () => {
    const revocations = fresh();
    revocations.add({ subject: 'alice' }, now - 60_000);
    expect(revocations.isOutdatedElsewhere(known({ asOf: now }), now)).toBe(true);
    expect(revocations.isOutdatedElsewhere(known({ asOf: now }, { subject: 'bob' }), now)).toBe(false);
  });
});

describe('what revoke() takes', () => {
  const issuers = ['https://as.example.com'];

  it.each([
    [{ token: 't' }],
    [{ tokenHash: thumbprint }],
    [{ subject: 's' }],
    [{ clientId: 'c' }],
    [{ thumbprint }],
    [{ subject: 's', issuer: 'https://as.example.com' }],
    [{ clientId: 'c', issuer: 'https://as.example.com' }],
    [{ thumbprint, issuer: 'https://as.example.com' }],
  ])('%j', (revocation) => {
    expect(checkedRevocation(revocation, issuers)).toBe(revocation);
  });

  it.each([
    [undefined],
    [null],
    ['token'],
    [{}],
    [{ token: '' }],
    [{ token: 7 }],
    [{ token: 't', subject: 's' }],
    [{ everything: 'x' }],
    [{ constructor: 'x' }],
  ])('not %j', (given) => {
    expect(() => checkedRevocation(given, issuers)).toThrow(
      new TypeError(
        'revoke() takes one of { token }, { tokenHash }, { subject }, { clientId }, { thumbprint }, with a non-empty string',
      ),
    );
  });

  it('the token itself goes no further', () => {
    // SHA-256 of "abc", FIPS 180-4.
    const hash = Buffer.from(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
      'hex',
    ).toString('base64url');
    expect(withoutToken({ token: 'abc' })).toEqual({ tokenHash: hash });
    expect(withoutToken({ subject: 'alice' })).toEqual({ subject: 'alice' });
  });

  it.each([
    [{ token: 'Bearer abc' }, 'token is an access token, without its scheme'],
    [{ token: 'a'.repeat(16_385) }, 'token is an access token, without its scheme'],
    [{ tokenHash: 'ab'.repeat(32) }, 'tokenHash is SHA-256 in base64url'],
    [{ tokenHash: `${thumbprint}=` }, 'tokenHash is SHA-256 in base64url'],
    [{ thumbprint: 'AB:CD' }, 'thumbprint is SHA-256 in base64url'],
    [{ subject: 'a'.repeat(1_001) }, 'subject has 1,000 characters at most'],
    [{ clientId: 'a'.repeat(1_001) }, 'clientId has 1,000 characters at most'],
  ])('a value that no token could have is refused: %#', (given, message) => {
    expect(() => checkedRevocation(given, issuers)).toThrow(`revoke(): ${message}`);
  });

  it.each([
    [{ token: 't', issuer: 'https://as.example.com' }],
    [{ tokenHash: thumbprint, issuer: 'https://as.example.com' }],
    [{ subject: 's', issuer: 'https://other.example.com' }],
    [{ subject: 's', issuer: '' }],
    [{ clientId: 'c', issuer: null }],
    [{ clientId: 'c', issuer: ['https://as.example.com'] }],
  ])('an issuer that could concern no token is refused: %j', (given) => {
    expect(() => checkedRevocation(given, issuers)).toThrow(
      new TypeError(
        'revoke() takes issuer next to subject, clientId, thumbprint alone; it must be one of the configured issuers',
      ),
    );
  });
});

describe('a revocation of one issuer', () => {
  const other = 'https://other.example.com';

  it.each([
    ['subject', { subject: 'alice', issuer: other }],
    ['clientId', { clientId: 'app', issuer: other }],
    ['thumbprint', { thumbprint, issuer: other }],
  ] as const)('concerns no token of another issuer with the same %s', (_kind, revocation) => {
    const revocations = fresh();
    revocations.add(revocation, now);
    expect(revocations.isRevoked(known())).toBe(false);
    expect(revocations.isOutdatedElsewhere(known({ asOf: now - 1 }), now)).toBe(false);
    expect(revocations.isRevoked(known({}, { issuer: other }))).toBe(true);
  });

  it('without an issuer concerns the tokens of each', () => {
    const revocations = fresh();
    revocations.add({ subject: 'alice' }, now);
    expect(revocations.isRevoked(known())).toBe(true);
    expect(revocations.isRevoked(known({}, { issuer: other }))).toBe(true);
  });
});

describe('a claim that a token does not have', () => {
  it.each(['subject', 'clientId', 'thumbprint'] as const)('%s is never revoked by its absence', (kind) => {
    const revocations = fresh();
    revocations.add({ [kind]: 'undefined' } as Parameters<Revocations['add']>[0], now);
    const bare = { subject: undefined, clientId: undefined, confirmation: undefined } as Partial<TokenClaims>;
    expect(revocations.isRevoked(known({}, bare))).toBe(false);
  });

  it('a token without an issued-at time is revoked by a revocation that concerns it alone', () => {
    const revocations = fresh();
    const withoutIssuedAt = known({ asOf: 0, wasAsked: false });
    revocations.add({ subject: 'bob' }, now);
    expect(revocations.isRevoked(withoutIssuedAt)).toBe(false);
    revocations.add({ subject: 'alice' }, now);
    expect(revocations.isRevoked(withoutIssuedAt)).toBe(true);
  });
});

describe('a revocation from a process whose clock is ahead', () => {
  it('dates our own questions by our clock, and issued-at times by the later clock', () => {
    const revocations = fresh();
    revocations.add({ clientId: 'app' }, now + 290_000, now);
    expect(revocations.isRevoked(known({ asOf: now }))).toBe(true);
    expect(revocations.isRevoked(known({ asOf: now + 1 }))).toBe(false);
    expect(revocations.isRevoked(known({ asOf: now + 290_000, wasAsked: false }))).toBe(true);
  });
});

describe('a process that hears revocations for the first time', () => {
  it('uses none of its own answers from before, and shared ones since the last revocation', () => {
    const revocations = fresh();
    revocations.lost();
    revocations.joined(now - 10_000);
    expect(revocations.isOutdated(known({ asOf: now - 1 }), now)).toBe(true);
    expect(revocations.isOutdated(known({ asOf: now }), now)).toBe(false);
    expect(revocations.isOutdated(known({ asOf: now - 10_000, isShared: true }), now)).toBe(false);
    expect(revocations.isOutdated(known({ asOf: now - 10_001, isShared: true }), now)).toBe(true);
  });
});
