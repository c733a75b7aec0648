import { describe, expect, it } from 'vitest';
import {
  type DatedClaims,
  type ReceivedRevocation,
  type SyncState,
  type Usability,
  usabilityOf,
} from '../../../packages/core/src/revocation/usability.js';
import { readTokenClaims, type TokenClaims } from '../../../packages/core/src/token/token-claims.js';

const epoch = 1_800_000_000;
const now = 100_000;
const limits = { clockToleranceMs: 30_000, maxAgeWhileUnsyncedMs: 5_000, acceptsUnknownRevocation: false };

const alone: SyncState = {
  syncedBy: 'alone',
  receivedUntil: Number.POSITIVE_INFINITY,
  ownAnswersVoidBeforeTurn: 0,
  sharedAnswersVoidBefore: 0,
  completeSince: 0,
};
const channel: SyncState = { ...alone, syncedBy: 'channel' };
const log: SyncState = { ...alone, syncedBy: 'log', receivedUntil: now };

/** What a server said in turn 10, of a token that was issued at `epoch`. */
const answer: DatedClaims = {
  tokenClaims: readTokenClaims({ sub: 'alice', iat: epoch }, 'https://as.example.com') as TokenClaims,
  claimsFrom: 'server',
  turn: 10,
  turnTime: now,
  shared: undefined,
};
const jwt: DatedClaims = { ...answer, claimsFrom: 'token' };
const jwtWithoutIat: DatedClaims = { ...jwt, tokenClaims: { ...jwt.tokenClaims, issuedAt: undefined } };
const sharedAt = (seconds: number, logReadUpTo?: string): DatedClaims => ({
  ...answer,
  shared: { askedAt: (epoch + seconds) * 1000, logReadUpTo },
});
const revoked = (turn: number, seconds: number, position?: string): ReceivedRevocation => ({
  isOfOneToken: false,
  turn,
  revokedAt: (epoch + seconds) * 1000,
  position,
});

describe('usabilityOf()', () => {
  it.each<[string, DatedClaims, ReceivedRevocation[], SyncState, Usability]>([
    ['a question begins after the revocation was heard', answer, [revoked(9, 0)], alone, 'use'],
    ['in doubt about the order', answer, [revoked(10, 0)], alone, 'outdated'],
    ['an answer is on its way while a revocation is heard', answer, [revoked(11, 0)], alone, 'outdated'],
    ['a JWT is seen before it is revoked', jwt, [revoked(11, -600)], alone, 'revoked'],
    ['the server clock is ahead by the tolerance', jwt, [revoked(9, -30)], alone, 'revoked'],
    ['a JWT is issued later than the tolerance after it', jwt, [revoked(9, -30.001)], alone, 'use'],
    ['a JWT without iat is seen after a revocation', jwtWithoutIat, [revoked(9, -600)], alone, 'revoked'],
    ['a JWT without iat, and no revocation', jwtWithoutIat, [], alone, 'use'],
    ['the channel is interrupted, an answer is young', answer, [], { ...channel, receivedUntil: -1 }, 'use'],
    [
      'the channel comes back after a question',
      answer,
      [],
      { ...channel, ownAnswersVoidBeforeTurn: 11 },
      'outdated',
    ],
    [
      'the channel comes back before a question',
      answer,
      [],
      { ...channel, ownAnswersVoidBeforeTurn: 10 },
      'use',
    ],
    ['the log had a gap after a question', answer, [], { ...log, ownAnswersVoidBeforeTurn: 11 }, 'outdated'],
    ['the log is not read for too long', jwt, [], { ...log, receivedUntil: now - 5_001 }, 'wait'],
    ['the log is read lately enough', jwt, [], { ...log, receivedUntil: now - 5_000 }, 'use'],
    [
      'a JWT may be from before the log began',
      jwt,
      [],
      { ...log, completeSince: (epoch - 29.999) * 1000 },
      'may-be-revoked',
    ],
    ['a JWT is from after the log began', jwt, [], { ...log, completeSince: (epoch - 30) * 1000 }, 'use'],
    ['a JWT without iat, by a log', jwtWithoutIat, [], log, 'may-be-revoked'],
    [
      'a shared answer, asked before the revocation was read',
      sharedAt(60, '1'),
      [revoked(9, 0, '2')],
      log,
      'outdated',
    ],
    [
      'a shared answer, asked after the revocation was read',
      sharedAt(30.001, '2'),
      [revoked(9, 0, '2')],
      log,
      'use',
    ],
    [
      'a shared answer that was asked too early for its position, which is of a log that was replaced',
      sharedAt(30, '3'),
      [revoked(9, 0, '2')],
      log,
      'outdated',
    ],
    [
      'a shared answer from before the log began',
      sharedAt(29.999, '2'),
      [],
      { ...log, completeSince: epoch * 1000 },
      'outdated',
    ],
    [
      'a shared answer from after the log began',
      sharedAt(30, '2'),
      [],
      { ...log, completeSince: epoch * 1000 },
      'use',
    ],
    ['a shared answer of a process that read no log', sharedAt(60), [revoked(9, 0, '2')], log, 'outdated'],
    [
      'a shared answer, and a revocation that the log lacks',
      sharedAt(60, '2'),
      [revoked(9, 0)],
      log,
      'outdated',
    ],
    [
      'a shared answer from before the loss',
      sharedAt(29),
      [],
      { ...channel, sharedAnswersVoidBefore: epoch * 1000 },
      'outdated',
    ],
    [
      'a shared answer from after the loss',
      sharedAt(30),
      [],
      { ...channel, sharedAnswersVoidBefore: epoch * 1000 },
      'use',
    ],
  ])('%s', (_, known, records, sync, expected) => {
    expect(usabilityOf(known, records, sync, limits, now)).toBe(expected);
  });

  const nan = Number.NaN;
  it.each<[string, DatedClaims, ReceivedRevocation[], SyncState, number, Usability]>([
    ['of a revocation', jwt, [{ ...revoked(9, 0), revokedAt: nan }], alone, now, 'revoked'],
    [
      'of a revocation, for a shared answer',
      sharedAt(60, '2'),
      [{ ...revoked(9, 0, '2'), revokedAt: nan }],
      log,
      now,
      'outdated',
    ],
    ['since when the log is complete', jwt, [], { ...log, completeSince: nan }, now, 'may-be-revoked'],
    ['of now, for a JWT', jwt, [], log, nan, 'wait'],
    ['of now, for an answer', answer, [], log, nan, 'outdated'],
    ['of the last reading', jwt, [], { ...log, receivedUntil: nan }, now, 'wait'],
    [
      'of the loss, for a shared answer',
      sharedAt(60),
      [],
      { ...channel, sharedAnswersVoidBefore: nan },
      now,
      'outdated',
    ],
  ])('nothing is used if a clock gave NaN as the time %s', (_, known, records, sync, time, expected) => {
    expect(usabilityOf(known, records, sync, limits, time)).toBe(expected);
  });

  it('one revoked token is refused, whatever is known later', () => {
    const record = { ...revoked(1, -3_600), isOfOneToken: true };
    expect(usabilityOf(answer, [record], alone, limits, now)).toBe('revoked');
  });
});
