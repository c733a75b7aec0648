// What a process keeps of a revocation is enough to write it into a log again.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { WrittenRevocation } from '../../../packages/core/src/revocation/revocations.js';
import { noticeOf, remembered } from '../../support/revocations.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const issuer = 'https://as.example.com/tenant';
const hash = 'kZTmbJ-bKMZY7ZjT1FXoTPOJ0aEOtZzFGMHGtpqMaxY';
const long = 'a name of a client that is longer than 64 characters, as a client may choose it';

it.each<WrittenRevocation>([
  { tokenHash: hash },
  { jti: 'jti-1' },
  { jti: 'jti-1', issuer },
  { subject: 'alice' },
  { subject: 'alice', issuer },
  { subject: '  Alice of two  blanks ', issuer },
  { subject: ' ' },
  { subject: 'a'.repeat(64), issuer },
  { subject: long, issuer },
  { subject: long },
  { subject: `${issuer} ${hash}` },
  { clientId: 'https://client.example.com/' },
  { session: 'sid 1', issuer },
  { thumbprint: hash, issuer },
])('%j is written into a new log as it was', (revocation) => {
  const revocations = remembered({ from: 'log' });
  const notice = noticeOf(revocation);
  revocations.add(notice, '0001');
  expect(revocations.noticesOutsideLog()).toEqual([]);
  revocations.markLogReplaced();
  expect(revocations.noticesOutsideLog()).toEqual([notice]);
});
