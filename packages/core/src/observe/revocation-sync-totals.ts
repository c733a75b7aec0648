import { type RevocationSyncState, revocationSyncStates } from './revocation-sync.js';

/**
 * How far the resource servers of this process have received revocations over a channel, or from a
 * log. Ages in seconds.
 */
export interface RevocationSyncTotals {
  readonly from: RevocationSyncState['from'];
  /** How many may miss revocations now. */
  readonly unsynced: number;
  /** The largest lag. */
  readonly lag: number;
  /** The largest age of a heartbeat; undefined before the first one. */
  readonly heartbeatAge: number | undefined;
}

/**
 * Sums up `revocationSyncStates()` by channel and log. One that no resource server has is
 * left out.
 */
export function revocationSyncTotals(): RevocationSyncTotals[] {
  const states = revocationSyncStates();
  return (['channel', 'log'] as const).flatMap((from) => {
    const own = states.filter((state) => state.from === from);
    const ages = own.map(({ heartbeatAge }) => heartbeatAge).filter((age) => age !== undefined);
    return own.length === 0
      ? []
      : {
          from,
          unsynced: own.filter(({ state }) => state === 'unsynced').length,
          lag: Math.max(...own.map(({ lag }) => lag)),
          heartbeatAge: ages.length === 0 ? undefined : Math.max(...ages),
        };
  });
}
