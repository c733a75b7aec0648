import { expect, it } from 'vitest';
import { type LogEntry, parseEntry, textOfEntry } from '../../../packages/core/src/revocation/log-entry.js';

const alive: LogEntry = {
  writer: 'writer',
  number: 7,
  at: 1_700_000_000_000,
  lastRead: undefined,
  lastOwn: undefined,
  version: 1,
  syncedSince: undefined,
  attested: undefined,
  notice: undefined,
  noticeAge: 0,
  noticeCalls: 1,
};
const notice = { revocation: { subject: 'alice' }, at: 1_699_999_999_999, id: 'act' };

it.each<LogEntry>([
  alive,
  { ...alive, lastRead: '0001', lastOwn: '0000', syncedSince: 0 },
  { ...alive, notice },
  { ...alive, notice, noticeAge: 119_999, noticeCalls: 10_000 },
  { ...alive, attested: { kind: 'join', by: 'it', from: undefined, upTo: undefined, since: 0, digest: '' } },
  {
    ...alive,
    attested: { kind: 'heartbeat', by: 'it', from: '1', upTo: '2', since: 7, digest: 'hash' },
    notice,
  },
  { ...alive, lastRead: '', syncedSince: 1, notice: { ...notice, at: 0 } },
  { ...alive, notice: { ...notice, revocation: { jti: '"[\\', issuer: 'https://as.example.com' } } },
  { ...alive, notice: { ...notice, revocation: { tokenHash: 'hash' } } },
  { ...alive, notice: { ...notice, revocation: { thumbprint: 'hash', issuer: 'https://as.example.com' } } },
])('is read as it was written: %j', (entry) => {
  expect(parseEntry(textOfEntry(entry))).toEqual(entry);
});

it.each(['{}', '{"writer":"writer","number":1,"at":1}', 'null', '7', '"text"', 'no JSON', ''])(
  'is not %j',
  (text) => {
    expect(parseEntry(text)).toBeUndefined();
  },
);

it('is one call just now if an earlier version wrote it', () => {
  const written = JSON.parse(textOfEntry({ ...alive, notice, noticeAge: 7 }));
  expect(written.splice(-2)).toEqual([7, 1]);
  expect(parseEntry(JSON.stringify(written))).toEqual({ ...alive, notice });
});
