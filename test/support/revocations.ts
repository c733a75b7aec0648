import { randomUUID } from 'node:crypto';
import { vi } from 'vitest';
import {
  type Revocation,
  type RevocationNotice,
  Revocations,
  type RevocationsRules,
  toWrittenRevocation,
} from '../../packages/core/src/revocation/revocations.js';

/** What a process remembers of revocations; alone unless `from` says otherwise. */
export function remembered(changes: Partial<RevocationsRules> = {}): Revocations {
  return new Revocations({
    longestUse: 3_600,
    maxAgeWhileUnsynced: 5,
    clockTolerance: 30,
    syncedBy: 'alone',
    maxWait: 0,
    acceptsUnknownRevocation: false,
    ...changes,
  });
}

/** Has the process listen to a channel since `moment`, in milliseconds since the epoch. */
export function listenSince(revocations: Revocations, moment: number): void {
  const clock = vi.spyOn(Date, 'now').mockReturnValue(moment);
  revocations.markRestored();
  clock.mockRestore();
}

/** An act of revoking, at `at` in milliseconds since the epoch. */
export function noticeOf(revocation: Revocation, at = Date.now()): RevocationNotice {
  return { revocation: toWrittenRevocation(revocation), at, id: randomUUID() };
}
