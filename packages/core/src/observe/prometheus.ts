import { refuseFurtherArguments } from '../shared/call-arguments.js';
import { requireMethods } from '../shared/option-rules.js';
import { expiryStates, expiryTotals } from './certificate-expiry.js';
import { revocationSyncTotals } from './revocation-sync-totals.js';
import { durationBuckets, observeEvents } from './subscription.js';

/** The members that this library uses of prom-client: give the module itself. */
export interface PrometheusClient<Registry extends PrometheusRegistry> {
  readonly register: Registry;
  readonly Counter: new (options: Metric<Registry>) => { inc(labels: Labels): void };
  readonly Gauge: new (
    options: Metric<Registry> & { aggregator: 'min' | 'max'; collect?: () => void },
  ) => { set(labels: Labels, value: number): void; reset(): void };
  readonly Histogram: new (
    options: Metric<Registry> & { buckets: number[] },
  ) => { observe(labels: Labels, value: number): void };
}

/** The method that this library calls of prom-client's registries. */
export interface PrometheusRegistry {
  removeSingleMetric(name: string): void;
}

type Labels = Record<string, string>;

interface Metric<Registry> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: string[];
  readonly registers: Registry[];
}

/**
 * What a cluster shows of a gauge: the value of the worker that is worst off. A sum, prom-client's default,
 * grows with the number of workers.
 */
const largest = { aggregator: 'max' } as const;
const smallest = { aggregator: 'min' } as const;

/**
 * Counts and times everything by prom-client: `mtls_bound_requests_total`,
 * `mtls_bound_route_refusals_total`, `mtls_bound_cache_lookups_total`,
 * `mtls_bound_introspection_duration_seconds`, `mtls_bound_breaker_open`,
 * `mtls_bound_signals_total`, `mtls_bound_revocations_total`, `mtls_bound_revocations_unsynced`,
 * `mtls_bound_revocations_lag_seconds`, `mtls_bound_revocations_heartbeat_age_seconds`,
 * `mtls_bound_client_certificates`, `mtls_bound_client_certificate_days_left`,
 * `mtls_bound_problems_total`. Labels are codes, issuers and transmitters, never anything of a
 * request. In a cluster, prom-client's `AggregatorRegistry` adds the counts of the workers, and shows of each
 * gauge the worst value of a worker. Gives what ends it and takes the metrics out of the registry.
 *
 * @param registry the registry to use; by default prom-client's own
 * @example
 * import * as client from 'prom-client';
 *
 * observeByPrometheus(client);
 */
export function observeByPrometheus<Registry extends PrometheusRegistry>(
  client: PrometheusClient<Registry>,
  registry?: Registry,
): () => void;
export function observeByPrometheus<Registry extends PrometheusRegistry>(
  ...args: [client: PrometheusClient<Registry>, registry?: Registry]
): () => void {
  refuseFurtherArguments('observeByPrometheus()', args, 2, 'prom-client and a registry');
  const [client, registry = client?.register] = args;
  requireMethods('observeByPrometheus(client)', client, ['Counter', 'Gauge', 'Histogram']);
  requireMethods('observeByPrometheus(registry)', registry, ['removeSingleMetric']);
  const { Counter, Gauge, Histogram } = client;
  const names: string[] = [];
  const metric = (name: string, help: string, ...labelNames: string[]): Metric<Registry> => {
    names.push(`mtls_bound_${name}`);
    return { name: `mtls_bound_${name}`, help, labelNames, registers: [registry] };
  };
  const requests = new Counter(
    metric('requests_total', 'Requests, by what was decided', 'outcome', 'code', 'bound'),
  );
  const routes = new Counter(
    metric('route_refusals_total', 'Admitted requests that a guard of a route refused', 'code'),
  );
  const lookups = new Counter(metric('cache_lookups_total', 'Looks at what is known of a token', 'result'));
  const problems = new Counter(metric('problems_total', 'Problems that an operator must solve', 'code'));
  const open = new Gauge({
    ...metric(
      'breaker_open',
      'Endpoints of authorization servers and Shared Signals transmitters whose circuit breaker is open',
      'issuer',
    ),
    ...largest,
  });
  const duration = new Histogram({
    ...metric('introspection_duration_seconds', 'Questions to an authorization server', 'issuer', 'outcome'),
    buckets: [...durationBuckets],
  });
  const signals = new Counter(
    metric('signals_total', 'Security Event Tokens received, by outcome', 'transmitter', 'outcome', 'error'),
  );
  const revocations = new Counter(
    metric('revocations_total', 'Revocations that this process took note of', 'kind', 'from'),
  );
  /** Read when metrics are collected: an age is no event. */
  const syncGauge = (name: string, help: string, of: 'unsynced' | 'lag' | 'heartbeatAge'): void => {
    const gauge = new Gauge({
      ...metric(`revocations_${name}`, help, 'from'),
      ...largest,
      collect() {
        gauge.reset();
        for (const { from, ...totals } of revocationSyncTotals()) {
          if (totals[of] !== undefined) {
            gauge.set({ from }, totals[of]);
          }
        }
      },
    });
  };
  syncGauge('unsynced', 'Resource servers that may miss revocations of other processes now', 'unsynced');
  syncGauge('lag_seconds', 'How far behind the revocations of other processes', 'lag');
  syncGauge(
    'heartbeat_age_seconds',
    'Since the newest entry of the log was written, or a message came over the channel',
    'heartbeatAge',
  );
  const daysLeft = new Gauge({
    ...metric(
      'client_certificate_days_left',
      'Whole days until the next certificate of a client expires',
      'issuer',
    ),
    ...smallest,
    collect() {
      daysLeft.reset();
      for (const totals of expiryTotals()) {
        if (totals.daysLeft !== undefined) {
          daysLeft.set({ issuer: totals.issuer }, totals.daysLeft);
        }
      }
    },
  });
  const certificates = new Gauge({
    ...metric('client_certificates', 'Clients, by when their certificate expires', 'issuer', 'expiry'),
    // Workers share most of their clients.
    ...largest,
    collect() {
      certificates.reset();
      for (const { issuer, clients } of expiryTotals()) {
        for (const expiry of expiryStates) {
          certificates.set({ issuer, expiry }, clients[expiry]);
        }
      }
    },
  });
  const opened = new Map<string, number>();
  const end = observeEvents({
    admitted: ({ isBound, reported }) =>
      requests.inc({
        outcome: reported === undefined ? 'admitted' : 'reported',
        code: reported ?? '',
        bound: String(isBound),
      }),
    refused: ({ refusal: { code }, stage }) =>
      stage === 'route' ? routes.inc({ code }) : requests.inc({ outcome: 'refused', code, bound: '' }),
    cache: ({ result }) => lookups.inc({ result }),
    signal: ({ transmitter, outcome, error = '' }) => signals.inc({ transmitter, outcome, error }),
    revocation: ({ kind, from }) => revocations.inc({ kind, from }),
    problem: ({ code }) => problems.inc({ code }),
    breaker: ({ issuer, state }) => {
      // Several resource servers, and several endpoints, may share an issuer.
      const count = (opened.get(issuer) ?? 0) + (state === 'open' ? 1 : -1);
      opened.set(issuer, count);
      return open.set({ issuer }, count);
    },
    introspection:
      ({ issuer }) =>
      (outcome, seconds) =>
        duration.observe({ issuer, outcome }, seconds),
  });
  return () => {
    end();
    for (const name of names) {
      registry.removeSingleMetric(name);
    }
  };
}
