import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { functionLike, OptionReader } from '../option-rules.js';
import {
  type AdmittedEvent,
  type BreakerEvent,
  type CacheEvent,
  type IntrospectionEvent,
  openBreakerEvents,
  type ProblemEvent,
  type RefusedEvent,
} from './events.js';

/** What an observer wants to hear of. It must not throw: that would end the process. */
export interface Observer {
  /** A request was let in. */
  readonly admitted?: (event: AdmittedEvent) => void;
  /** A request was not let in. */
  readonly refused?: (event: RefusedEvent) => void;
  /** A request was let in that `binding: 'required'` would refuse. */
  readonly reported?: (event: RefusedEvent) => void;
  /** It was looked at what is known of a token. */
  readonly cache?: (event: CacheEvent) => void;
  /**
   * An endpoint of an authorization server is given a rest, or the rest ends. Called at once for each endpoint that has a rest when
   * the observer begins.
   */
  readonly breaker?: (event: BreakerEvent) => void;
  /** An operator must mend something. */
  readonly problem?: (event: ProblemEvent) => void;
  /** In the context of the request; what it returns is called at the end, with what came of it and the seconds it took. */
  readonly introspection?: (
    event: IntrospectionEvent,
  ) => (outcome: NonNullable<IntrospectionEvent['outcome']>, seconds: number) => void;
}

/** Seconds by which histograms sort how long the authorization server took. */
export const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const;

const functionOrNothing = functionLike<(...args: never[]) => unknown>('a function');

const channels = ['admitted', 'refused', 'reported', 'cache', 'breaker', 'problem'] as const;

/** Subscribes to every channel that the observer has a function for; gives what ends it. */
export function observe(observer: Observer): () => void {
  const given = new OptionReader('observe()', observer, [...channels, 'introspection']);
  const ends = channels.flatMap((name) => {
    const listener = given.optional(name, functionOrNothing) as ((event: unknown) => void) | undefined;
    if (listener === undefined) {
      return [];
    }
    const channel = `mtls-bound:${name}`;
    subscribe(channel, listener);
    return [() => unsubscribe(channel, listener)];
  });
  const introspection = given.optional('introspection', functionOrNothing) as Observer['introspection'];
  const breaker = given.optional('breaker', functionOrNothing) as Observer['breaker'];
  for (const event of openBreakerEvents()) {
    breaker?.(event);
  }
  return introspection === undefined ? all(ends) : all([...ends, traced(introspection)]);
}

const all = (ends: readonly (() => unknown)[]) => (): void => {
  for (const end of ends) {
    end();
  }
};

function traced(begin: NonNullable<Observer['introspection']>): () => unknown {
  const underWay = new WeakMap<
    IntrospectionEvent,
    { readonly end: ReturnType<typeof begin>; readonly at: number }
  >();
  const nothing = (): void => undefined;
  const subscribers = {
    start: (event: IntrospectionEvent) => {
      underWay.set(event, { end: begin(event), at: performance.now() });
    },
    asyncEnd: (event: IntrospectionEvent) => {
      const known = underWay.get(event);
      known?.end(event.outcome ?? 'internal_error', (performance.now() - known.at) / 1000);
    },
    end: nothing,
    asyncStart: nothing,
    error: nothing,
  };
  const channel = tracingChannel<unknown, IntrospectionEvent>('mtls-bound:introspection');
  channel.subscribe(subscribers as never);
  return () => channel.unsubscribe(subscribers as never);
}
