import { observeByPrometheus } from '@mtls-bound/core';
import * as client from 'prom-client';
import { expect, it } from 'vitest';

/** What the primary process of a cluster shows of a metric that is 25 in one worker and 27 in the other. */
const shown: Readonly<Record<string, number>> = {
  mtls_bound_requests_total: 52,
  mtls_bound_route_refusals_total: 52,
  mtls_bound_cache_lookups_total: 52,
  mtls_bound_problems_total: 52,
  mtls_bound_introspection_duration_seconds: 52,
  mtls_bound_signals_total: 52,
  mtls_bound_revocations_total: 52,
  mtls_bound_breaker_open: 27,
  mtls_bound_revocations_unsynced: 27,
  mtls_bound_revocations_lag_seconds: 27,
  mtls_bound_revocations_heartbeat_age_seconds: 27,
  mtls_bound_client_certificates: 27,
  mtls_bound_client_certificate_days_left: 25,
};

it('in a cluster counts are added, and a gauge has the value of the worker that is worst off', async () => {
  const registry = new client.Registry();
  const end = observeByPrometheus(client, registry);
  try {
    const metrics = await registry.getMetricsAsJSON();
    const worker = (value: number) =>
      metrics.map((metric) => ({ ...metric, values: [{ value, labels: {} }] }));
    for (const workers of [
      [worker(25), worker(27)],
      [worker(27), worker(25)],
    ]) {
      const all = await client.AggregatorRegistry.aggregate(workers).getMetricsAsJSON();
      expect(Object.fromEntries(all.map(({ name, values }) => [name, values[0]?.value]))).toEqual(shown);
    }
  } finally {
    end();
  }
});
