import { RequestRefused, toRefusal } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import type { Revocations } from '../revocation/revocations.js';
import type { AcceptedIssuer } from './accepted-issuers.js';

/** Milliseconds for which a success is remembered. */
const READY_FOR = 10_000;

/**
 * Returns a function that resolves if each part is ready: an authorization server that can be
 * asked, a module that is loaded. It rejects with `RequestRefused` otherwise, and reports the
 * cause. Calls at the same time share the questions. No question is sent for 10 seconds after a
 * success.
 */
export function createReadinessCheck(
  parts: readonly Pick<AcceptedIssuer, 'ready'>[],
  report: ReportProblem,
): () => Promise<void> {
  let latest: { readonly result: Promise<void>; readonly until: number } | undefined;

  async function ask(): Promise<void> {
    try {
      await Promise.all(parts.map((part) => part.ready()));
    } catch (thrown) {
      const refusal = toRefusal(thrown);
      report(refusal.code, refusal.message);
      throw refusal;
    }
  }

  return () => {
    if (latest === undefined || latest.until < performance.now()) {
      const asked = { result: ask(), until: Number.POSITIVE_INFINITY };
      latest = asked;
      const expireAfter = (time: number) => () => {
        asked.until = performance.now() + time;
      };
      asked.result.then(expireAfter(READY_FOR), expireAfter(-1));
    }
    return latest.result;
  };
}

/**
 * Returns a function that resolves if this process knows what was revoked, as far as tokens need it. It
 * rejects with `revocations_unknown` otherwise, and reports the cause. It waits as long as a request would,
 * asks nothing, and remembers nothing.
 */
export function createRevocationsCheck(
  issuers: readonly Pick<AcceptedIssuer, 'read'>[],
  revocations: Pick<Revocations, 'mustTokensWait' | 'untilSynced'>,
  report: ReportProblem,
): () => Promise<void> {
  // Any other token is introspected while revocations are not received.
  const needsRevocations = issuers.some(
    ({ read }) => read.kind === 'self-contained' && read.introspect === undefined,
  );
  return async () => {
    if (!needsRevocations || !revocations.mustTokensWait) {
      return;
    }
    await revocations.untilSynced();
    if (revocations.mustTokensWait) {
      const detail =
        'revocations.log was not read to its end in time: requests with tokens that are not introspected ' +
        'are refused';
      const refusal = new RequestRefused('revocations_unknown', { detail });
      report(refusal.code, refusal.message);
      throw refusal;
    }
  };
}
