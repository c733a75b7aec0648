import { requireMethods } from '../option-rules.js';
import { durationBuckets, observe } from './subscription.js';

/** What we use of prom-client: give the module itself. */
export interface PrometheusClient<Registry extends PrometheusRegistry> {
  readonly register: Registry;
  readonly Counter: new (options: Metric<Registry>) => { inc(labels: Labels): void };
  readonly Gauge: new (options: Metric<Registry>) => { set(labels: Labels, value: number): void };
  readonly Histogram: new (
    options: Metric<Registry> & { buckets: number[] },
  ) => { observe(labels: Labels, value: number): void };
}

/** What we use of prom-client's registries. */
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
 * Counts and times everything by prom-client: `mtls_bound_requests_total`, `mtls_bound_cache_lookups_total`,
 * `mtls_bound_introspection_duration_seconds`, `mtls_bound_breaker_open`, `mtls_bound_problems_total`. Labels are codes and
 * issuers, never anything of a request. Gives what ends it and takes the metrics out of the registry.
 *
 * @param registry the registry to use; by default prom-client's own
 * @example
 * import * as client from 'prom-client';
 *
 * observeByPrometheus(client);
 */
export function observeByPrometheus<Registry extends PrometheusRegistry>(
  client: PrometheusClient<Registry>,
  registry: Registry = client?.register,
): () => void {
  requireMethods('observeByPrometheus(client)', client, ['Counter', 'Gauge', 'Histogram']);
  requireMethods('observeByPrometheus(registry)', registry, ['removeSingleMetric']);
  const { Counter, Gauge, Histogram } = client;
  const names: string[] = [];
  const metric = (name: string, help: string, ...labelNames: string[]): Metric<Registry> => {
    names.push(`mtls_bound_${name}`);
    return { name: `mtls_bound_${name}`, help, labelNames, registers: [registry] };
  };
  const requests = new Counter(metric('requests_total', 'Requests, by what was decided', 'outcome', 'code'));
  const lookups = new Counter(metric('cache_lookups_total', 'Looks at what is known of a token', 'result'));
  const problems = new Counter(metric('problems_total', 'Things that an operator must mend', 'code'));
  const open = new Gauge(
    metric('breaker_open', 'Endpoints of an authorization server that are given a rest', 'issuer'),
  );
  const duration = new Histogram({
    ...metric('introspection_duration_seconds', 'Questions to an authorization server', 'issuer', 'outcome'),
    buckets: [...durationBuckets],
  });
  const opened = new Map<string, number>();
  const end = observe({
    admitted: () => requests.inc({ outcome: 'admitted', code: '' }),
    refused: ({ refusal }) => requests.inc({ outcome: 'refused', code: refusal.code }),
    reported: ({ refusal }) => requests.inc({ outcome: 'reported', code: refusal.code }),
    cache: ({ result }) => lookups.inc({ result }),
    problem: ({ code }) => problems.inc({ code }),
    breaker: ({ issuer, state }) => {
      // Several resource servers, and several endpoints, may share an issuer.
      const count = (opened.get(issuer) ?? 0) + (state === 'open' ? 1 : -1);
      opened.set(issuer, count);
      open.set({ issuer }, count);
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
