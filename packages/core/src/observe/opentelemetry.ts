import { metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { durationBuckets, observe } from './subscription.js';

const name = '@mtls-bound/core';

/**
 * Metrics and spans by OpenTelemetry's API, of whatever SDK the program has set up before. Counters
 * `mtls_bound.requests`, `mtls_bound.cache.lookups`, `mtls_bound.problems`, the up-down counter `mtls_bound.breaker.open` and the histogram
 * `mtls_bound.introspection.duration`, in seconds. Each question to an authorization server is a span of the kind CLIENT,
 * child of the request's, with the attributes `server.address` and, where it failed, `error.type`. Gives what ends it.
 *
 * @example
 * import { observeByOpenTelemetry } from '@mtls-bound/core/opentelemetry';
 *
 * observeByOpenTelemetry();
 */
export function observeByOpenTelemetry(): () => void {
  const meter = metrics.getMeter(name);
  const tracer = trace.getTracer(name);
  const requests = meter.createCounter('mtls_bound.requests', {
    description: 'Requests, by what was decided',
  });
  const lookups = meter.createCounter('mtls_bound.cache.lookups', {
    description: 'Looks at what is known of a token',
  });
  const problems = meter.createCounter('mtls_bound.problems', {
    description: 'Things that an operator must mend',
  });
  const open = meter.createUpDownCounter('mtls_bound.breaker.open', {
    description: 'Endpoints of an authorization server that are given a rest',
  });
  const duration = meter.createHistogram('mtls_bound.introspection.duration', {
    description: 'Questions to an authorization server',
    unit: 's',
    // The SDK's own are made for milliseconds.
    advice: { explicitBucketBoundaries: [...durationBuckets] },
  });
  const opened = new Map<string, number>();
  const end = observe({
    admitted: () => requests.add(1, { outcome: 'admitted' }),
    refused: ({ refusal }) => requests.add(1, { outcome: 'refused', code: refusal.code }),
    reported: ({ refusal }) => requests.add(1, { outcome: 'reported', code: refusal.code }),
    cache: ({ result }) => lookups.add(1, { result }),
    problem: ({ code }) => problems.add(1, { code }),
    breaker: ({ issuer, state }) => {
      const change = state === 'open' ? 1 : -1;
      opened.set(issuer, (opened.get(issuer) ?? 0) + change);
      open.add(change, { issuer });
    },
    introspection: ({ issuer }) => {
      const address = new URL(issuer).hostname;
      const span = tracer.startSpan('introspect token', {
        kind: SpanKind.CLIENT,
        attributes: { 'server.address': address },
      });
      return (outcome, seconds) => {
        // That a token is not active is an answer, and no error of anybody.
        const failed = outcome !== 'active' && outcome !== 'token_inactive';
        const error = failed ? { 'error.type': outcome } : {};
        duration.record(seconds, { 'server.address': address, ...error });
        span.setAttributes({ 'mtls_bound.outcome': outcome, ...error });
        if (failed) {
          span.setStatus({ code: SpanStatusCode.ERROR, message: outcome });
        }
        span.end();
      };
    },
  });
  return () => {
    end();
    for (const [issuer, count] of opened) {
      open.add(-count, { issuer });
    }
  };
}
