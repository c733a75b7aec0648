// What a process writes into the log again after an interruption of its connection.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { OwnUnreadNotices } from '../../../packages/core/src/revocation/own-unread-notices.js';
import type { RevocationNotice } from '../../../packages/core/src/revocation/revocations.js';
import { noticeOf } from '../../support/revocations.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Revoked just now. */
const now = (notice: RevocationNotice) => ({ notice, knownSince: performance.now() });
/** What is given now. */
const given = (recent: OwnUnreadNotices) => recent.all().map(({ notice }) => notice);

const notices = ['a', 'b', 'c'].map((subject) => noticeOf({ subject }));
const [a, b, c] = notices as [(typeof notices)[0], (typeof notices)[0], (typeof notices)[0]];

it('gives revocations of the last two minutes, from the oldest to the newest, and no older ones', () => {
  const recent = new OwnUnreadNotices();
  recent.add(now(a));
  vi.advanceTimersByTime(59_000);
  recent.add(now(b));
  vi.advanceTimersByTime(60_000);
  recent.add(now(c));
  expect(given(recent)).toEqual([a, b, c]);
  vi.advanceTimersByTime(1_000);
  expect(given(recent)).toEqual([b, c]);
  vi.advanceTimersByTime(58_999);
  expect(given(recent)).toEqual([b, c]);
  vi.advanceTimersByTime(1);
  expect(given(recent)).toEqual([c]);
  vi.advanceTimersByTime(60_000);
  expect(given(recent)).toEqual([]);
});

it.each([119_999, 120_000, 200_000, 1_000_000])(
  'gives a revocation for two minutes, though no other one follows: after %i ms',
  (passed) => {
    const recent = new OwnUnreadNotices();
    recent.add(now(a));
    vi.advanceTimersByTime(59_000);
    recent.add(now(b));
    vi.advanceTimersByTime(passed - 59_000);
    expect(given(recent)).toEqual(passed < 120_000 ? [a, b] : passed < 179_000 ? [b] : []);
  },
);

it('gives each with the moment at which this process revoked it', () => {
  const recent = new OwnUnreadNotices();
  const began = performance.now();
  recent.add(now(a));
  vi.advanceTimersByTime(70_000);
  recent.add(now(b));
  vi.advanceTimersByTime(10_000);
  expect(recent.all()).toEqual([
    { notice: a, knownSince: began },
    { notice: b, knownSince: began + 70_000 },
  ]);
});

it('gives those of the last two minutes, however many there are in each of them', () => {
  const recent = new OwnUnreadNotices();
  const each = Array.from({ length: 300 }, (_, second) => noticeOf({ subject: `${second}` }));
  for (const notice of each) {
    vi.advanceTimersByTime(1_000);
    recent.add(now(notice));
  }
  expect(given(recent)).toEqual(each.slice(-120));
  expect(recent.hasForgotten).toBe(false);
});

it('gives the last revocation of a name alone', () => {
  const recent = new OwnUnreadNotices();
  recent.add(now(a));
  recent.add(now(b));
  const again = noticeOf({ subject: 'a' });
  recent.add(now(again));
  const ofIssuer = noticeOf({ subject: 'a', issuer: 'https://as.example.com' });
  recent.add(now(ofIssuer));
  expect(given(recent)).toEqual([b, again, ofIssuer]);
});

it('remembers 10,000 names at least and 20,000 at most, and says for two minutes that it has forgotten some', () => {
  const recent = new OwnUnreadNotices();
  const add = (from: number, to: number) => {
    for (let index = from; index < to; index += 1) {
      recent.add(now(noticeOf({ subject: `${index}` })));
    }
  };
  add(0, 20_000);
  expect([given(recent).length, recent.hasForgotten]).toEqual([20_000, false]);
  vi.advanceTimersByTime(30_000);
  add(20_000, 20_001);
  expect(given(recent).map(({ revocation }) => Object.values(revocation)[0])).toEqual(
    Array.from({ length: 10_001 }, (_, index) => `${10_000 + index}`),
  );
  expect(recent.hasForgotten).toBe(true);
  vi.advanceTimersByTime(89_999);
  expect(recent.hasForgotten).toBe(true);
  vi.advanceTimersByTime(1);
  expect(recent.hasForgotten).toBe(false);
});

it('has forgotten nothing once it is empty', () => {
  const recent = new OwnUnreadNotices();
  for (let index = 0; index < 20_001; index += 1) {
    recent.add(now(noticeOf({ subject: `${index}` })));
  }
  recent.clear();
  expect([given(recent), recent.hasForgotten]).toEqual([[], false]);
});

it('counts no older revocations: they are not written again', () => {
  const recent = new OwnUnreadNotices();
  vi.advanceTimersByTime(200_000);
  for (let index = 0; index < 20_001; index += 1) {
    recent.add({ notice: noticeOf({ subject: `${index}` }), knownSince: performance.now() - 120_000 });
  }
  expect([given(recent), recent.hasForgotten]).toEqual([[], false]);
});

it('leaves out what this process has read in the log', () => {
  const recent = new OwnUnreadNotices();
  recent.add(now(a));
  recent.add(now(b));
  const again = noticeOf({ subject: 'a' });
  recent.add(now(again));
  recent.markRead(a);
  recent.markRead(b);
  expect(given(recent)).toEqual([again]);
  recent.markRead(again);
  expect(given(recent)).toEqual([]);
});

it('has forgotten nothing if more than 20,000 were read', () => {
  const recent = new OwnUnreadNotices();
  for (let index = 0; index < 40_001; index += 1) {
    const notice = noticeOf({ subject: `${index}` });
    recent.add(now(notice));
    recent.markRead(notice);
  }
  expect([given(recent), recent.hasForgotten]).toEqual([[], false]);
});
