import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type DatedToken,
  parseRevocation,
  type Revocation,
  type RevocationNotice,
  type Revocations,
  toWrittenRevocation,
} from '../../../packages/core/src/revocation/revocations.js';
import { readTokenClaims, type TokenClaims } from '../../../packages/core/src/token/token-claims.js';
import { hashOf } from '../../../packages/core/src/token/token-hash.js';
import { listenSince, noticeOf, remembered } from '../../support/revocations.js';

const now = 1_800_000_000_000;
const issuer = 'https://as.example.com';
const thumbprint = 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0';

const claims = {
  sub: 'alice',
  client_id: 'app',
  jti: 'jti-1',
  sid: 'session-1',
  cnf: { 'x5t#S256': thumbprint },
};

/** What is known of a token of alice's from now on. */
function known(
  of: Revocations,
  changes: Partial<DatedToken> = {},
  more: object = {},
  by = issuer,
): DatedToken {
  return {
    tokenClaims: readTokenClaims({ ...claims, ...more }, by) as TokenClaims,
    claimsFrom: 'server',
    turn: of.nextTurn(),
    turnTime: performance.now(),
    shared: undefined,
    hash: 'hash',
    revocationHash: 'identity',
    checkedUpTo: Number.NaN,
    ...changes,
  };
}

/** What is known of a JWT that was issued so many seconds ago. */
const jwt = (of: Revocations, secondsAgo: number | undefined, more: object = {}): DatedToken =>
  known(
    of,
    { claimsFrom: 'token' },
    { iat: secondsAgo === undefined ? undefined : now / 1000 - secondsAgo, ...more },
  );

/** What is known of an answer that another process asked for, so many milliseconds ago. */
const shared = (of: Revocations, ago: number, more: object = {}, logReadUpTo?: string): DatedToken =>
  known(of, { shared: { askedAt: now - ago, logReadUpTo } }, more);

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(now);
});
afterEach(() => {
  vi.useRealTimers();
});

const ofMany: [string, Revocation][] = [
  ['the subject', { subject: 'alice' }],
  ['the client', { clientId: 'app' }],
  ['the session', { session: 'session-1' }],
  ['the certificate', { thumbprint }],
  ['the subject of the issuer', { subject: 'alice', issuer }],
];

const ofOne: [string, Revocation][] = [
  ['the hash of its text', { tokenHash: 'hash' }],
  ['its identity', { tokenHash: 'identity' }],
  ['its jti', { jti: 'jti-1' }],
  ['its jti and issuer', { jti: 'jti-1', issuer }],
];

describe('what is revoked', () => {
  it.each(ofMany)(
    '%s: the server is asked again about what it said before, and not about what it says after',
    (_, revocation) => {
      const revocations = remembered();
      const before = known(revocations);
      expect(revocations.usability(before)).toBe('use');
      revocations.add(noticeOf(revocation));
      expect(revocations.usability(before)).toBe('outdated');
      expect(revocations.usability(known(revocations))).toBe('use');
    },
  );

  it.each(ofMany)(
    '%s: a token that speaks for itself is refused if it may be from before',
    (_, revocation) => {
      const revocations = remembered();
      const before = jwt(revocations, -31);
      revocations.add(noticeOf(revocation));
      expect(revocations.usability(before)).toBe('revoked');
      // First seen afterwards: by its iat, in which the clocks may differ by 30 seconds.
      expect(revocations.usability(jwt(revocations, 1))).toBe('revoked');
      expect(revocations.usability(jwt(revocations, -30))).toBe('revoked');
      expect(revocations.usability(jwt(revocations, -31))).toBe('use');
      expect(revocations.usability(jwt(revocations, undefined))).toBe('revoked');
    },
  );

  it.each(ofOne)(
    'a token by %s: it is refused, whatever its answer says and whenever it was given',
    (_, revocation) => {
      const revocations = remembered();
      const before = known(revocations);
      revocations.add(noticeOf(revocation));
      for (const one of [before, known(revocations), jwt(revocations, -3_600), shared(revocations, 0)]) {
        expect(revocations.usability(one)).toBe('revoked');
      }
    },
  );

  it.each<[string, Revocation]>([
    ['another subject', { subject: 'bob' }],
    ['a subject called like the client', { subject: 'app' }],
    ['another client', { clientId: 'alice' }],
    ['another session', { session: 'alice' }],
    ['another certificate', { thumbprint: 'x' }],
    ['another token', { tokenHash: 'other' }],
    ['another jti', { jti: 'jti-2' }],
  ])('%s: nothing', (_, revocation) => {
    const revocations = remembered();
    const [before, own] = [known(revocations), jwt(revocations, undefined)];
    revocations.add(noticeOf(revocation));
    expect(revocations.usability(before)).toBe('use');
    expect(revocations.usability(own)).toBe('use');
    expect(revocations.isTokenHashRevokedForAllIssuers('hash')).toBe(false);
  });

  it.each([[undefined], [null], ['text'], [{}]])('a token that is bound to nothing, %j', (cnf) => {
    const revocations = remembered();
    const before = known(revocations, {}, { cnf });
    revocations.add(noticeOf({ thumbprint }));
    expect(revocations.usability(before)).toBe('use');
  });

  // binding: 'report' accepts such a token.
  it.each([[[thumbprint, 'other']], [['other', 7, thumbprint]]])(
    'a token that names several certificates, by each: %j',
    (named) => {
      const revocations = remembered();
      const before = known(revocations, {}, { cnf: { 'x5t#S256': named } });
      revocations.add(noticeOf({ thumbprint: withOtherBits(thumbprint) }));
      expect(revocations.usability(before)).toBe('use');
      revocations.add(noticeOf({ thumbprint }));
      expect(revocations.usability(before)).toBe('outdated');
    },
  );

  it('a token by itself, also where it was not known', () => {
    const revocations = remembered();
    revocations.add(noticeOf({ token: 'secret' }));
    expect(revocations.isTokenHashRevokedForAllIssuers(hashOf('secret'))).toBe(true);
  });

  it('the later of two revocations counts, in whichever order they are heard', () => {
    const revocations = remembered();
    revocations.add(noticeOf({ subject: 'alice' }));
    revocations.add(noticeOf({ subject: 'alice' }, now - 120_000));
    expect(revocations.usability(jwt(revocations, 60))).toBe('revoked');
  });

  it('the same act of revoking, heard twice, ends nothing that was learnt between', () => {
    const revocations = remembered();
    const notice = noticeOf({ subject: 'alice' });
    revocations.add(notice);
    const after = known(revocations);
    revocations.add(notice, 'position');
    expect(revocations.usability(after)).toBe('use');
  });

  it('a later one of this process stays unwritten when an earlier one of the name is read', () => {
    const revocations = remembered({ syncedBy: 'log' });
    const [earlier, later] = [now - 20_000, now].map((at) => noticeOf({ subject: 'alice' }, at));
    revocations.add(earlier as RevocationNotice);
    revocations.add(later as RevocationNotice);
    revocations.add(earlier as RevocationNotice, '0001');
    expect(revocations.noticesOutsideLog().map(({ notice }) => notice)).toEqual([later]);
    revocations.add(later as RevocationNotice, '0002');
    expect(revocations.noticesOutsideLog()).toEqual([]);
  });

  it('one of this process stays unwritten when one of another process is read', () => {
    const revocations = remembered({ syncedBy: 'log' });
    const own = noticeOf({ subject: 'alice' });
    revocations.add(own);
    revocations.add(noticeOf({ subject: 'alice' }), '0001');
    expect(revocations.noticesOutsideLog().map(({ notice }) => notice.id)).toEqual([own.id]);
  });

  it('counts from a later moment, and ends what was learnt, if its act comes with one', () => {
    const revocations = remembered();
    const notice = noticeOf({ subject: 'alice' }, now - 120_000);
    revocations.add(notice, '0001');
    const seen = jwt(revocations, 60);
    expect(revocations.usability(seen)).toBe('use');
    revocations.add({ ...notice, at: now - 20_000 }, '0002');
    expect(revocations.usability(seen)).toBe('revoked');
    expect(revocations.usability(jwt(revocations, 0))).toBe('revoked');
  });

  it.each([
    ['was under way for longer', now - 120_000, now - 119_000],
    ['is of a clock that is ahead', now + 600_000, now - 113_000],
  ])('keeps its moment if its act comes again and %s', (_what, at, receivedAt) => {
    const revocations = remembered();
    const notice = noticeOf({ subject: 'alice' }, at);
    revocations.add(notice, '0001', { at: now - 115_000, age: 0 });
    const seen = jwt(revocations, 60);
    revocations.add(notice, '0002', { at: receivedAt, age: 120_000 });
    expect(revocations.usability(seen)).toBe('use');
  });

  it('again by an act of which too many came since: what was learnt ends, and its date stays', () => {
    const revocations = remembered({ syncedBy: 'log' });
    vi.advanceTimersByTime(1);
    const first = noticeOf({ subject: 'alice' });
    const revokedAt = performance.now();
    revocations.add(first, '0001');
    revocations.add(noticeOf({ subject: 'alice' }), '0002');
    for (let index = 0; index < 4_001; index += 1) {
      revocations.add(noticeOf({ subject: `user-${index}` }), '0003');
    }
    vi.advanceTimersByTime(600_000);
    const seen = known(revocations);
    const age = performance.now() - revokedAt;
    revocations.add(first, '0004', { at: Date.now() - age, age });
    expect(revocations.usability(seen)).toBe('outdated');
    revocations.markLogReplaced();
    const again = revocations.noticesOutsideLog().find(({ notice }) => notice.id === first.id);
    expect(again).toMatchObject({ notice: { at: now + 1 }, knownSince: revokedAt });
  });

  it('for longestTokenLifetime and twice the clockTolerance since the revocation, however often its act comes again', () => {
    const revocations = remembered();
    vi.advanceTimersByTime(1);
    const notice = noticeOf({ tokenHash: 'hash' });
    revocations.add(notice);
    vi.advanceTimersByTime(3_600_000);
    revocations.add(notice, '0001', { at: notice.at, age: 3_600_000 });
    vi.advanceTimersByTime(60_002);
    revocations.add(notice, '0002', { at: notice.at, age: 3_660_002 });
    expect(revocations.isTokenHashRevokedForAllIssuers('hash')).toBe(false);
  });

  it('for longestTokenLifetime and twice the clockTolerance', () => {
    const revocations = remembered();
    // The monotonic clock of the test begins at 0, which no real one has.
    vi.advanceTimersByTime(1);
    revocations.add(noticeOf({ tokenHash: 'hash' }));
    vi.advanceTimersByTime(3_660_000);
    expect(revocations.isTokenHashRevokedForAllIssuers('hash')).toBe(true);
    vi.advanceTimersByTime(2);
    expect(revocations.isTokenHashRevokedForAllIssuers('hash')).toBe(false);
  });

  it('whatever the wall clock does meanwhile', () => {
    const revocations = remembered();
    const before = known(revocations);
    vi.setSystemTime(now - 3_600_000);
    revocations.add(noticeOf({ subject: 'alice' }));
    expect(revocations.usability(before)).toBe('outdated');
  });
});

describe('while a channel may be missing revocations', () => {
  const onChannel = () => {
    const revocations = remembered({ syncedBy: 'channel' });
    listenSince(revocations, now - 3_600_000);
    return revocations;
  };

  it('what the server said serves for maxAgeWhileUnsynced', () => {
    const revocations = onChannel();
    const before = known(revocations);
    revocations.markUnsynced();
    vi.advanceTimersByTime(5_000);
    expect(revocations.usability(before)).toBe('use');
    vi.advanceTimersByTime(1);
    expect(revocations.usability(before)).toBe('outdated');
  });

  it('what a token says of itself serves on', () => {
    const revocations = onChannel();
    revocations.markUnsynced();
    vi.advanceTimersByTime(60_000);
    expect(revocations.usability(jwt(revocations, 60))).toBe('use');
  });

  it('afterwards nothing from before does', () => {
    const revocations = onChannel();
    const before = known(revocations);
    revocations.markUnsynced();
    revocations.markRestored();
    expect(revocations.usability(before)).toBe('outdated');
    expect(revocations.usability(known(revocations))).toBe('use');
  });

  it('what was revoked is, all the while', () => {
    const revocations = onChannel();
    const [before, own] = [known(revocations), jwt(revocations, 60)];
    revocations.add(noticeOf({ subject: 'alice' }));
    revocations.markUnsynced();
    expect(revocations.usability(own)).toBe('revoked');
    expect(revocations.usability(before)).toBe('outdated');
  });
});

describe('what another process knows', () => {
  it('is as much older than it says as the clocks may differ', () => {
    const revocations = remembered({ syncedBy: 'channel' });
    listenSince(revocations, now - 60_000);
    expect(revocations.usability(shared(revocations, 30_000))).toBe('use');
    expect(revocations.usability(shared(revocations, 30_001))).toBe('outdated');
  });

  it('is not used at all where the subject was ever revoked, without a log', () => {
    const revocations = remembered({ syncedBy: 'channel' });
    listenSince(revocations, now - 3_600_000);
    revocations.add(noticeOf({ subject: 'alice' }, now - 60_000));
    expect(revocations.usability(shared(revocations, 0))).toBe('outdated');
    expect(revocations.usability(shared(revocations, 0, { sub: 'bob' }))).toBe('use');
  });

  it('is used, with a log, where that process had read the revocation before it asked', () => {
    const revocations = remembered({ syncedBy: 'log' });
    revocations.add(noticeOf({ subject: 'alice' }, now - 60_000), '0002');
    revocations.markRead('0002', performance.now());
    expect(revocations.usability(shared(revocations, 0, {}, '0001'))).toBe('outdated');
    expect(revocations.usability(shared(revocations, 0, {}, undefined))).toBe('outdated');
    expect(revocations.usability(shared(revocations, 0, {}, '0002'))).toBe('use');
  });

  it('is not used while revocations are not heard', () => {
    const revocations = remembered({ syncedBy: 'log' });
    expect(revocations.usability(shared(revocations, 0))).toBe('outdated');
    revocations.markRead('0001', performance.now());
    expect(revocations.usability(shared(revocations, 0))).toBe('use');
    vi.advanceTimersByTime(5_001);
    expect(revocations.usability(shared(revocations, 0))).toBe('outdated');
  });
});

/** Another text that a decoder reads as the same 32 bytes. */
function withOtherBits(hash: string): string {
  const other = `${hash.slice(0, -1)}1`;
  expect(other).not.toBe(hash);
  expect(Buffer.from(other, 'base64url')).toEqual(Buffer.from(hash, 'base64url'));
  return other;
}

describe('what revoke() takes', () => {
  const issuers = ['https://as.example.com'];

  it.each([
    [{ token: 't' }],
    [{ tokenHash: thumbprint }],
    [{ jti: 'j' }],
    [{ subject: 's' }],
    [{ clientId: 'c' }],
    [{ session: 'i' }],
    [{ thumbprint }],
    [{ jti: 'j', issuer: 'https://as.example.com' }],
    [{ session: 'i', issuer: 'https://as.example.com' }],
    [{ subject: 's', issuer: 'https://as.example.com' }],
    [{ clientId: 'c', issuer: 'https://as.example.com' }],
    [{ thumbprint, issuer: 'https://as.example.com' }],
  ])('%j', (revocation) => {
    expect(parseRevocation(revocation, issuers)).toEqual(revocation);
  });

  it('a caller that changes its object later changes no revocation', () => {
    const given = { subject: 'alice' };
    const revocation = parseRevocation(given, issuers);
    given.subject = 'bob';
    expect(revocation).toEqual({ subject: 'alice' });
    expect(Object.isFrozen(revocation)).toBe(true);
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
    expect(() => parseRevocation(given, issuers)).toThrow(
      new TypeError(
        'revoke() takes one of { token }, { tokenHash }, { jti }, { subject }, { clientId }, { session }, { thumbprint }, with a non-empty string',
      ),
    );
  });

  it('the token itself goes no further', () => {
    // SHA-256 of "abc", FIPS 180-4.
    const hash = Buffer.from(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
      'hex',
    ).toString('base64url');
    expect(toWrittenRevocation({ token: 'abc' })).toEqual({ tokenHash: hash });
    expect(toWrittenRevocation({ subject: 'alice' })).toEqual({ subject: 'alice' });
  });

  it.each([
    [{ token: 'Bearer abc' }, 'token is an access token, without its scheme'],
    [{ token: 'a'.repeat(16_385) }, 'token is an access token, without its scheme'],
    [{ tokenHash: 'ab'.repeat(32) }, 'tokenHash is SHA-256 in base64url'],
    [{ tokenHash: `${thumbprint}=` }, 'tokenHash is SHA-256 in base64url'],
    [{ thumbprint: 'AB:CD' }, 'thumbprint is SHA-256 in base64url'],
    [{ tokenHash: withOtherBits(thumbprint) }, 'tokenHash is SHA-256 in base64url'],
    [{ thumbprint: withOtherBits(thumbprint) }, 'thumbprint is SHA-256 in base64url'],
    [{ subject: 'a'.repeat(1_001) }, 'subject has 1,000 characters at most'],
    [{ jti: 'a'.repeat(1_001) }, 'jti has 1,000 characters at most'],
    [{ session: 'a'.repeat(1_001) }, 'session has 1,000 characters at most'],
    [{ clientId: 'a'.repeat(1_001) }, 'clientId has 1,000 characters at most'],
  ])('a value that no token could have is refused: %#', (given, message) => {
    expect(() => parseRevocation(given, issuers)).toThrow(`revoke(): ${message}`);
  });

  it.each([
    [{ token: 't', issuer: 'https://other.example.com' }],
    [{ tokenHash: thumbprint, issuer: 'https://other.example.com' }],
    [{ subject: 's', issuer: 'https://other.example.com' }],
    [{ subject: 's', issuer: '' }],
    [{ clientId: 'c', issuer: null }],
    [{ clientId: 'c', issuer: ['https://as.example.com'] }],
  ])('an issuer that could concern no token is refused: %j', (given) => {
    expect(() => parseRevocation(given, issuers)).toThrow(
      new TypeError(`revoke(): issuer must be one of the configured issuers: ${issuers.join(', ')}`),
    );
  });
});

describe('a name of more than 64 characters, and another name that is its SHA-256', () => {
  const long = 'uid=alice.example,ou=people,ou=a department with a long name,dc=example,dc=com';
  const hash = hashOf(long);

  it.each([
    ['the long one', long, hash],
    ['the other one', hash, long],
  ])('%s is revoked: that alone', (_title, revoked, spared) => {
    const revocations = remembered();
    const [first, second] = [revoked, spared].map((sub) => known(revocations, {}, { sub }));
    revocations.add(noticeOf({ subject: revoked }));
    expect(revocations.usability(first as DatedToken)).toBe('outdated');
    expect(revocations.usability(second as DatedToken)).toBe('use');
  });

  it('as a jti, revokes one token for good, though it is sent on as its hash', () => {
    const revocations = remembered();
    const notice = noticeOf({ jti: long });
    revocations.add(notice);
    expect(notice.revocation).toEqual({ 'jti#': hash });
    expect(revocations.usability(known(revocations, {}, { jti: long }))).toBe('revoked');
    expect(revocations.usability(known(revocations, {}, { jti: hash }))).toBe('use');
  });
});

describe('a revocation of one issuer', () => {
  const other = 'https://other.example.com';

  it.each<[string, Revocation]>([
    ['subject', { subject: 'alice', issuer: other }],
    ['clientId', { clientId: 'app', issuer: other }],
    ['session', { session: 'session-1', issuer: other }],
    ['thumbprint', { thumbprint, issuer: other }],
    ['jti', { jti: 'jti-1', issuer: other }],
  ])('concerns no token of another issuer with the same %s', (_kind, revocation) => {
    const revocations = remembered();
    const [own, others] = [known(revocations), known(revocations, {}, {}, other)];
    revocations.add(noticeOf(revocation));
    expect(revocations.usability(own)).toBe('use');
    expect(revocations.usability(others)).not.toBe('use');
  });

  it('without an issuer concerns the tokens of each', () => {
    const revocations = remembered();
    const [own, others] = [known(revocations), known(revocations, {}, {}, other)];
    revocations.add(noticeOf({ subject: 'alice' }));
    expect(revocations.usability(own)).toBe('outdated');
    expect(revocations.usability(others)).toBe('outdated');
  });
});

describe('a claim that a token does not have', () => {
  it.each(['subject', 'clientId', 'session', 'jti', 'thumbprint'] as const)(
    '%s is never revoked by its absence',
    (kind) => {
      const revocations = remembered();
      const bare = { sub: undefined, client_id: undefined, jti: undefined, sid: undefined, cnf: undefined };
      const before = known(revocations, {}, bare);
      revocations.add(noticeOf({ [kind]: 'undefined' } as unknown as Revocation));
      expect(revocations.usability(before)).toBe('use');
    },
  );
});

describe('a revocation from a process whose clock is ahead', () => {
  it('ends no answer that is asked for afterwards, and JWTs as if it were five seconds ahead', () => {
    const revocations = remembered();
    revocations.add(noticeOf({ clientId: 'app' }, now + 290_000));
    expect(revocations.usability(known(revocations))).toBe('use');
    expect(revocations.usability(jwt(revocations, -35))).toBe('revoked');
    expect(revocations.usability(jwt(revocations, -36))).toBe('use');
  });
});

describe('a process whose clock is behind by an hour', () => {
  it('refuses the JWTs that it has seen, and misses others from five seconds and the tolerance on', () => {
    const revocations = remembered({ syncedBy: 'log', acceptsUnknownRevocation: true });
    const seen = jwt(revocations, -3_600);
    revocations.add(noticeOf({ subject: 'alice' }, now + 3_600_000), '0001');
    expect(revocations.usability(seen)).toBe('revoked');
    expect(revocations.usability(jwt(revocations, -35))).toBe('revoked');
    expect(revocations.usability(jwt(revocations, -36))).toBe('use');
  });
});

describe('a process that hears a channel for the first time', () => {
  it('uses none of its own answers from before', () => {
    const revocations = remembered({ syncedBy: 'channel' });
    const before = known(revocations);
    revocations.markRestored();
    vi.advanceTimersByTime(5_001);
    expect(revocations.usability(before)).toBe('outdated');
    expect(revocations.usability(known(revocations))).toBe('use');
  });
});

describe('a token that speaks for itself, with a log', () => {
  const log = (changes = {}) => remembered({ syncedBy: 'log', ...changes });

  it('waits until the log is read, and again when that is too long ago', () => {
    const revocations = log();
    expect(revocations.usability(jwt(revocations, 60))).toBe('wait');
    revocations.markRead(undefined, performance.now());
    expect(revocations.usability(jwt(revocations, 60))).toBe('use');
    vi.advanceTimersByTime(5_000);
    expect(revocations.usability(jwt(revocations, 60))).toBe('use');
    vi.advanceTimersByTime(1);
    expect(revocations.usability(jwt(revocations, 60))).toBe('wait');
  });

  it('is vouched for from when the log is complete, less the difference of clocks', () => {
    const revocations = log();
    revocations.markCompleteOnlySince(now);
    revocations.markCompleteOnlySince(now - 1_000);
    revocations.markRead(undefined, performance.now());
    expect(revocations.usability(jwt(revocations, -29))).toBe('may-be-revoked');
    expect(revocations.usability(jwt(revocations, -30))).toBe('use');
    expect(revocations.usability(jwt(revocations, undefined))).toBe('may-be-revoked');
  });

  it('is used all the same where that was chosen, but not when it is revoked', () => {
    const revocations = log({ acceptsUnknownRevocation: true });
    revocations.markCompleteOnlySince(now);
    expect(revocations.usability(jwt(revocations, 60))).toBe('use');
    revocations.add(noticeOf({ subject: 'alice' }));
    expect(revocations.usability(jwt(revocations, 60))).toBe('revoked');
  });

  it('a gap in the log voids all that is known from before', () => {
    const revocations = log();
    revocations.markRead('0001', performance.now());
    const before = known(revocations);
    revocations.markGap();
    expect(revocations.usability(before)).toBe('outdated');
    expect(revocations.usability(jwt(revocations, 60))).toBe('may-be-revoked');
    expect(revocations.usability(known(revocations))).toBe('use');
  });

  it('positions of a log that is lost count for nothing', () => {
    const revocations = log();
    revocations.add(noticeOf({ subject: 'alice' }), '0002');
    revocations.markRead('0002', performance.now());
    expect(revocations.noticesOutsideLog()).toEqual([]);
    revocations.markLogReplaced();
    expect(revocations.noticesOutsideLog()).toMatchObject([
      { notice: { revocation: { subject: 'alice' }, at: now } },
    ]);
    expect(revocations.logReadUpTo).toBeUndefined();
    expect(revocations.usability(shared(revocations, -60_000, {}, '0002'))).toBe('outdated');
  });
});

describe('a request that waits until revocations are heard', () => {
  it('goes on when they are', async () => {
    const revocations = remembered({ syncedBy: 'log', maxWait: 2 });
    const ended = vi.fn();
    const waiting = revocations.untilSynced().then(ended);
    await vi.advanceTimersByTimeAsync(100);
    expect(ended).not.toHaveBeenCalled();
    revocations.markRead(undefined, performance.now());
    await waiting;
    expect(ended).toHaveBeenCalledOnce();
  });

  it('goes on after maxWait, counted from when they were heard last', async () => {
    const revocations = remembered({ syncedBy: 'log', maxWait: 2 });
    revocations.markRead(undefined, performance.now());
    await vi.advanceTimersByTimeAsync(6_000);
    const ended = vi.fn();
    void revocations.untilSynced().then(ended);
    await vi.advanceTimersByTimeAsync(999);
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(2);
    expect(ended).toHaveBeenCalledOnce();
    // Now no call waits any more.
    await revocations.untilSynced();
  });
});
