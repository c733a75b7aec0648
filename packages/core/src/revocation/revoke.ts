import { randomUUID } from 'node:crypto';
import { RequestRefused, TellableError } from '../errors.js';
import { publishRevocation, type RevocationEvent } from '../observe/revocation-sync.js';
import { describeStoreError } from '../shared/store-error.js';
import type { ChannelSync } from './channel-sync.js';
import type { LogSync } from './log-sync.js';
import { parseRevocation, type Revocation, type Revocations, toWrittenRevocation } from './revocations.js';

/** What `revoke()` writes to: the memory of this process, and what other processes read. */
export interface RevokeParts {
  readonly revocations: Revocations;
  readonly log: LogSync | undefined;
  readonly channel: ChannelSync | undefined;
  /** Whether this process has left the log and the channel. */
  readonly hasLeft: () => boolean;
}

/** `requestedBy` is the `client_id` of the client that asked for it, if one did. */
export type Revoke = (
  given: Revocation,
  from: RevocationEvent['from'],
  requestedBy?: string,
) => Promise<void>;

/**
 * Returns a function that revokes in this process and then in the others. It throws `TypeError` if the value
 * is no revocation, and rejects with `RequestRefused` if other processes may not know of the revocation. In
 * this process the revocation holds also then.
 */
export function createRevoke(
  issuers: readonly string[],
  { revocations, log, channel, hasLeft }: RevokeParts,
): Revoke {
  return async (given, from, requestedBy) => {
    const revocation = toWrittenRevocation(parseRevocation(given, [...issuers]));
    const notice = { revocation, at: Date.now(), id: randomUUID() };
    revocations.add(notice);
    publishRevocation(revocation, from, requestedBy);
    try {
      if (hasLeft() && (log ?? channel) !== undefined) {
        throw new TellableError('close() was called');
      }
      await log?.publish(notice);
      await channel?.publish(notice);
    } catch (error) {
      const where = log ? 'log' : 'channel';
      const detail = `revocations.${where}: ${describeStoreError(error)}; it holds in this process`;
      throw new RequestRefused('revocation_not_spread', { detail, cause: error });
    }
  };
}
