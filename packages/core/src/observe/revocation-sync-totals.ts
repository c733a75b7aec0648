import { type HearingState, hearingStates } from './revocation-sync.js';

/**
 * What the resource servers of this process have heard of revocations over a channel, or from a
 * log. Ages in seconds.
 */
export interface HearingTotals {
  readonly from: HearingState['from'];
  /** How many may miss revocations now. */
  readonly unheard: number;
  /** The largest lag. */
  readonly lag: number;
  /** The largest age of a heartbeat; undefined before the first one. */
  readonly heartbeatAge: number | undefined;
}

/**
 * Sums up `hearingStates()` by what is listened to. Nothing is returned for what no resource server
 * listens to.
 */
export function hearingTotals(): HearingTotals[] {
  const states = hearingStates();
  return (['channel', 'log'] as const).flatMap((from) => {
    const own = states.filter((state) => state.from === from);
    const ages = own.map(({ heartbeatAge }) => heartbeatAge).filter((age) => age !== undefined);
    return own.length === 0
      ? []
      : {
          from,
          unheard: own.filter(({ state }) => state === 'unheard').length,
          lag: Math.max(...own.map(({ lag }) => lag)),
          heartbeatAge: ages.length === 0 ? undefined : Math.max(...ages),
        };
  });
}
