// How long the status of a path is kept: by the wall clock, which lists and certificates go by, and by the monotonic one.
import 'reflect-metadata';
import { ClientCertificate } from '@mtls-bound/core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { x509 } from '../../../packages/core/src/certificate/lazy-x509.js';
import { ChainCheck } from '../../../packages/core/src/certificate-policy/chain-check.js';
import { AuthoritySource } from '../../../packages/core/src/chain/authorities.js';
import { ChainVerification } from '../../../packages/core/src/chain/chain-verification.js';
import { authority, client } from '../../support/chains.js';
import { defaultSettings } from '../../support/written-status.js';

await x509.load();
const root = await authority('CN=Root');
const { der } = await client('CN=client', root);

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.now() }));
afterEach(() => void vi.useRealTimers());

/** A check whose statuses last for 10 s, and how often it asked for one. */
function start() {
  const statusOf = vi.fn((_path: unknown, now: number) => ({
    state: 'good' as const,
    validUntil: now + 10_000,
  }));
  const prepare = vi.fn();
  const statusChecker = { generation: 0, prepare, statusOf, close: () => undefined };
  const chain = new ChainVerification(
    new AuthoritySource(root.cert, 'authorities', () => undefined),
    undefined,
  );
  const check = new ChainCheck(chain, { statusChecker, settings: defaultSettings }, () => undefined);
  const judge = () => {
    const certificate = new ClientCertificate(der);
    check.prepareStatus(certificate, Date.now());
    check.judge(certificate, Date.now());
    return prepare.mock.calls.length;
  };
  return judge;
}

it('a status that is kept is not looked up again before it ends', () => {
  const judge = start();
  expect(judge()).toBe(1);
  vi.advanceTimersByTime(9_999);
  expect(judge()).toBe(1);
  vi.advanceTimersByTime(2);
  expect(judge()).toBe(2);
});

it('a status counts from when it was found out: not after the wall clock was set back', () => {
  const judge = start();
  expect(judge()).toBe(1);
  vi.setSystemTime(Date.now() - 1_000);
  expect(judge()).toBe(2);
});

it('a status ends by the monotonic clock, though the wall clock was set back meanwhile', () => {
  const judge = start();
  expect(judge()).toBe(1);
  vi.advanceTimersByTime(10_001);
  vi.setSystemTime(Date.now() - 9_000);
  expect(judge()).toBe(2);
});

it('a status ends by the wall clock, though the monotonic one stood still', () => {
  const judge = start();
  expect(judge()).toBe(1);
  vi.setSystemTime(Date.now() + 10_001);
  expect(judge()).toBe(2);
});

it.each([
  ['is accepted', {}, false],
  ['is refused while a list in a file is still being read', { isPending: true }, true],
] as const)('with tolerant, a certificate whose status is unknown %s', (_, more, isRefused) => {
  const unknown = { state: 'unknown', at: 0, code: 'unreachable', why: 'none', ...more } as const;
  const statusChecker = {
    generation: 0,
    prepare: () => undefined,
    statusOf: (_path: unknown, now: number) => ({ ...unknown, validUntil: now + 1_000 }),
    close: () => undefined,
  };
  const chain = new ChainVerification(
    new AuthoritySource(root.cert, 'authorities', () => undefined),
    undefined,
  );
  const settings = { ...defaultSettings, mode: 'tolerant' } as const;
  const check = new ChainCheck(chain, { statusChecker, settings }, () => undefined);
  const judge = () => check.judge(new ClientCertificate(der), Date.now());
  if (isRefused) {
    expect(judge).toThrow(expect.objectContaining({ code: 'certificate_status_unknown' }));
  } else {
    expect(judge()).toHaveProperty('certificate');
  }
});
