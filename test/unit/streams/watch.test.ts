// What Revocations says to a watcher: of the token that it watches, of what may have been missed, and of nothing else.
import { readTokenClaims, type TokenClaims } from '@mtls-bound/core';
import { describe, expect, it } from 'vitest';
import type { Revocations } from '../../../packages/core/src/revocation/revocations.js';
import { noticeOf, remembered } from '../../support/revocations.js';

const issuer = 'https://as.example.com';

function watchedBy(revocations: Revocations, subject: string): { heard: string[]; unwatch: () => void } {
  const heard: string[] = [];
  const tokenClaims = readTokenClaims({ sub: subject }, issuer) as TokenClaims;
  const watched = { tokenClaims, hash: `hash of ${subject}`, revocationHash: `revocationHash of ${subject}` };
  const unwatch = revocations.watch(watched, revocations.latestTurn, (code) => heard.push(code));
  return { heard, unwatch };
}

describe('a watcher', () => {
  it('hears of one revocation of its token, and of none of another', () => {
    const revocations = remembered();
    const [first, second] = [watchedBy(revocations, 'user-1'), watchedBy(revocations, 'user-2')];
    revocations.add(noticeOf({ subject: 'user-1' }));
    revocations.add(noticeOf({ subject: 'user-1', issuer }));
    expect([first.heard, second.heard]).toEqual([['token_inactive'], []]);
  });

  it('hears once of a revocation that is read again in the log', () => {
    const revocations = remembered({ syncedBy: 'log' });
    const notice = noticeOf({ subject: 'user-1' });
    revocations.add(notice);
    const { heard } = watchedBy(revocations, 'user-1');
    revocations.add(notice, '1');
    expect(heard).toEqual([]);
  });

  it('hears of nothing once it gave up', () => {
    const revocations = remembered();
    const { heard, unwatch } = watchedBy(revocations, 'user-1');
    unwatch();
    revocations.add(noticeOf({ subject: 'user-1' }));
    revocations.markGap();
    expect(heard).toEqual([]);
  });

  const hearing: [string, (revocations: Revocations) => void, string[]][] = [
    ['a gap in the log', (revocations) => revocations.markGap(), ['revocations_unknown']],
    ['a channel that is heard again', (revocations) => revocations.markRestored(), ['revocations_unknown']],
    ['a channel or log that is interrupted', (revocations) => revocations.markUnsynced(), []],
    ['a log that is read to its end', (revocations) => revocations.markRead('1', performance.now()), []],
  ];
  it.each(hearing)('hears what may have been missed: %s', (_, happens, expected) => {
    const revocations = remembered({ syncedBy: 'channel' });
    const { heard } = watchedBy(revocations, 'user-1');
    happens(revocations);
    expect(heard).toEqual(expected);
  });

  it.each(hearing)('hears at once what was missed before it watched: %s', (_, happens, expected) => {
    const revocations = remembered({ syncedBy: 'channel' });
    const since = revocations.latestTurn;
    happens(revocations);
    const heard: string[] = [];
    const tokenClaims = readTokenClaims({ sub: 'user-1' }, issuer) as TokenClaims;
    revocations.watch({ tokenClaims, hash: 'hash', revocationHash: 'revocationHash' }, since, (code) =>
      heard.push(code),
    );
    expect(heard).toEqual(expected);
  });
});
