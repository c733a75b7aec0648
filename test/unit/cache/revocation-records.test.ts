// What a process keeps of a revocation is enough to write it into a log again.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Revocation, toWrittenRevocation } from '../../../packages/core/src/revocation/revocations.js';
import { hashOf } from '../../../packages/core/src/token/token-hash.js';
import { noticeOf, remembered } from '../../support/revocations.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const issuer = 'https://as.example.com/tenant';
const hash = 'kZTmbJ-bKMZY7ZjT1FXoTPOJ0aEOtZzFGMHGtpqMaxY';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapUsed(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

it.each<Revocation>([
  { tokenHash: hash },
  { jti: 'jti-1' },
  { jti: 'jti-1', issuer },
  { subject: 'alice' },
  { subject: 'alice', issuer },
  { subject: '  Alice of two  blanks ', issuer },
  { subject: ' ' },
  { subject: 'a'.repeat(64), issuer },
  { clientId: 'https://client.example.com/' },
  { session: 'sid 1', issuer },
  { thumbprint: hash, issuer },
])('%j is written into a new log as it was', (revocation) => {
  const revocations = remembered({ syncedBy: 'log' });
  const notice = noticeOf(revocation);
  revocations.add(notice, '0001');
  expect(revocations.noticesOutsideLog()).toEqual([]);
  revocations.markLogReplaced();
  expect(revocations.noticesOutsideLog().map((known) => known.notice)).toEqual([notice]);
});

describe.each(['subject', 'jti', 'clientId', 'session'])('a long %s', (kind) => {
  const named = (name: string) =>
    ({ [kind]: name, issuer }) as unknown as Exclude<Revocation, { token: string }>;
  const text = 'x'.repeat(1_000);

  it('is kept, sent on and written as its hash, which takes the memory of a short name', () => {
    const revocations = remembered({ syncedBy: 'log' });
    revocations.add({ ...noticeOf({ subject: 'alice' }), revocation: named(text) });
    const [kept] = revocations.noticesOutsideLog().map(({ notice }) => notice);
    expect(kept?.revocation).toEqual({ [`${kind}#`]: hashOf(text), issuer });
    expect(toWrittenRevocation(named(text))).toEqual(kept?.revocation);
  });
});

/** Bytes that a process keeps of many revocations of names of this length. */
function memoryOf(length: number): number {
  const revocations = remembered({ syncedBy: 'log' });
  const before = heapUsed();
  for (let number = 0; number < 20_000; number += 1) {
    const subject = `${number}`.padEnd(length, 'x');
    revocations.add({ ...noticeOf({ subject: 'a' }), revocation: { subject, issuer } });
  }
  const bytes = heapUsed() - before;
  expect(revocations.noticesOutsideLog()).toHaveLength(20_000);
  return bytes;
}

it('names of 1,000 characters take the memory of names of 64', () => {
  memoryOf(64);
  expect(memoryOf(1_000) / memoryOf(64)).toBeLessThan(1.2);
});
