import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { onlyArgument } from '../shared/call-arguments.js';
import { type OptionsOf, optional, optionGroup, readOptions } from '../shared/option-group.js';
import { functionLike } from '../shared/option-rules.js';
import { isPromise } from '../shared/promises.js';
import type { CertificateExpiryEvent } from './certificate-expiry.js';
import {
  type AdmittedEvent,
  type BreakerEvent,
  type CacheEvent,
  type IntrospectionEvent,
  openBreakerEvents,
  type ProblemEvent,
  type RefusedEvent,
  type SignalEvent,
} from './events.js';
import { type RevocationEvent, type RevocationSyncEvent, revocationSyncStates } from './revocation-sync.js';

export const observerOptions = optionGroup({
  /** A request was accepted. Default: none. */
  admitted: optional(functionLike<(event: AdmittedEvent) => void>('a function')),
  /** A request was refused. Default: none. */
  refused: optional(functionLike<(event: RefusedEvent) => void>('a function')),
  /** A request was accepted that `binding: 'required'` would refuse. Default: none. */
  reported: optional(functionLike<(event: RefusedEvent) => void>('a function')),
  /** A token was looked up in the cache. Default: none. */
  cache: optional(functionLike<(event: CacheEvent) => void>('a function')),
  /**
   * An endpoint of an authorization server is suspended, or answers again. Called at once for each
   * endpoint that is suspended when the observer begins. Default: none.
   */
  breaker: optional(functionLike<(event: BreakerEvent) => void>('a function')),
  /** A Security Event Token was received. Default: none. */
  signal: optional(functionLike<(event: SignalEvent) => void>('a function')),
  /** This process received a revocation. Default: none. */
  revocation: optional(functionLike<(event: RevocationEvent) => void>('a function')),
  /**
   * A resource server begins to receive the revocations of other processes, or may miss them from
   * now on. Called at once with the state of each resource server that has a channel or a log when
   * the observer begins. Default: none.
   */
  revocationSync: optional(functionLike<(event: RevocationSyncEvent) => void>('a function')),
  /** The certificate of a client expires within 30, 7 or 1 days. Default: none. */
  certificateExpiry: optional(functionLike<(event: CertificateExpiryEvent) => void>('a function')),
  /** An operator must solve a problem. Default: none. */
  problem: optional(functionLike<(event: ProblemEvent) => void>('a function')),
  /**
   * An authorization server is asked. Called in the context of the request. If it returns a
   * function, this function is called at the end, with the outcome and the duration in seconds.
   * Default: none.
   */
  introspection: optional(
    functionLike<
      (
        event: IntrospectionEvent,
      ) => (outcome: NonNullable<IntrospectionEvent['outcome']>, seconds: number) => void
    >('a function'),
  ),
});

/**
 * The functions of an observer, by what they hear of. One that throws, or returns a promise that
 * rejects, harms no request: the first failure of each is a process warning.
 */
export interface Observer extends OptionsOf<typeof observerOptions> {}

/** Seconds by which histograms sort how long the authorization server took. */
export const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const;

/** The names of channels by the functions of an observer. */
const channels = {
  admitted: 'admitted',
  refused: 'refused',
  reported: 'reported',
  cache: 'cache',
  breaker: 'breaker',
  signal: 'signal',
  revocation: 'revocation',
  revocationSync: 'revocation-sync',
  certificateExpiry: 'certificate-expiry',
  problem: 'problem',
} as const satisfies Partial<Record<keyof Observer, string>>;

/** Subscribes to every channel that the observer has a function for; gives what ends it. */
export function observeEvents(observer: Observer): () => void;
export function observeEvents(...args: [observer: Observer]): () => void {
  const observer = onlyArgument('observeEvents()', args, 'one observer');
  const given = readOptions('observeEvents()', observer, observerOptions);
  const { introspection, breaker, revocationSync } = given;
  const ends = Object.entries(channels).flatMap(([name, channelName]) => {
    const listener = given[name as keyof typeof channels] as ((event: unknown) => void) | undefined;
    if (listener === undefined) {
      return [];
    }
    const channel = `mtls-bound:${channelName}`;
    const guarded = catchObserverErrors(name, listener);
    subscribe(channel, guarded);
    return [() => unsubscribe(channel, guarded)];
  });
  const tellBreaker = breaker && catchObserverErrors('breaker', breaker);
  for (const event of openBreakerEvents()) {
    tellBreaker?.(event);
  }
  const tellRevocationSync = revocationSync && catchObserverErrors('revocationSync', revocationSync);
  for (const { from, state, position } of tellRevocationSync === undefined ? [] : revocationSyncStates()) {
    tellRevocationSync?.({ from, state, position });
  }
  return introspection === undefined ? endAll(ends) : endAll([...ends, subscribeToTracing(introspection)]);
}

const endAll = (ends: readonly (() => unknown)[]) => (): void => {
  for (const end of ends) {
    end();
  }
};

/**
 * Calls a function of an observer. What it throws or rejects with is a process warning, the first
 * time: on a diagnostics channel it would end the process. A failure is no event, which the failing
 * function might hear of.
 */
export function catchObserverErrors<Arguments extends unknown[]>(
  name: string,
  tell: (...about: Arguments) => unknown,
): (...about: Arguments) => unknown {
  let hasFailed = false;
  const failed = (): void => {
    if (!hasFailed) {
      hasFailed = true;
      // Not what it threw: that may hold anything.
      process.emitWarning(
        `observeEvents(): the function ${name} failed; expected is one that neither throws nor rejects`,
        {
          type: 'MtlsBoundWarning',
          code: 'MTLS_BOUND_OBSERVER_FAILED',
        },
      );
    }
  };
  const settle = async (outcome: unknown): Promise<void> => {
    try {
      await outcome;
    } catch {
      failed();
    }
  };
  return (...about) => {
    try {
      const outcome = tell(...about);
      if (isPromise(outcome)) {
        void settle(outcome);
      }
      return outcome;
    } catch {
      failed();
      return undefined;
    }
  };
}

function subscribeToTracing(begin: NonNullable<Observer['introspection']>): () => unknown {
  const underWay = new WeakMap<IntrospectionEvent, { readonly end: unknown; readonly at: number }>();
  const beginSafely = catchObserverErrors('introspection', begin);
  const endSafely = catchObserverErrors(
    'introspection',
    (end: unknown, event: IntrospectionEvent, seconds: number) =>
      typeof end === 'function' ? end(event.outcome ?? 'internal_error', seconds) : undefined,
  );
  const nothing = (): void => undefined;
  const subscribers = {
    start: (event: IntrospectionEvent) => {
      underWay.set(event, { end: beginSafely(event), at: performance.now() });
    },
    asyncEnd: (event: IntrospectionEvent) => {
      const known = underWay.get(event);
      if (known !== undefined) {
        endSafely(known.end, event, (performance.now() - known.at) / 1000);
      }
    },
    end: nothing,
    asyncStart: nothing,
    error: nothing,
  };
  const channel = tracingChannel<unknown, IntrospectionEvent>('mtls-bound:introspection');
  channel.subscribe(subscribers as never);
  return () => channel.unsubscribe(subscribers as never);
}
