import { metrics, type ObservableResult, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { refuseFurtherArguments } from '../shared/call-arguments.js';
import { isTokenRejection } from '../token/token-rejection.js';
import { expiryStates, expiryTotals } from './certificate-expiry.js';
import { revocationSyncTotals } from './revocation-sync-totals.js';
import { durationBuckets, observeEvents } from './subscription.js';

const name = '@mtls-bound/core';

/**
 * Metrics and spans by OpenTelemetry's API, of whatever SDK the program has set up before. Counters
 * `mtls_bound.requests`, `mtls_bound.route_refusals`, `mtls_bound.cache.lookups`,
 * `mtls_bound.signals`, `mtls_bound.revocations` and `mtls_bound.problems`, the up-down counter
 * `mtls_bound.breaker.open`, the gauges `mtls_bound.revocations.unsynced`,
 * `mtls_bound.revocations.lag`, `mtls_bound.revocations.heartbeat_age`,
 * `mtls_bound.client_certificates` and `mtls_bound.client_certificate.days_left`, and the histogram
 * `mtls_bound.introspection.duration`, in seconds. Each question to an authorization server is a
 * span of the kind CLIENT, child of the request's, with the attributes `server.address` and
 * `mtls_bound.outcome`. If the server gave no answer, the span has the status ERROR and `error.type`; a
 * rejected token is an answer. Gives what ends it.
 *
 * @example
 * import { observeByOpenTelemetry } from '@mtls-bound/core/opentelemetry';
 *
 * observeByOpenTelemetry();
 */
export function observeByOpenTelemetry(): () => void;
export function observeByOpenTelemetry(...args: readonly never[]): () => void {
  refuseFurtherArguments('observeByOpenTelemetry()', args, 0, 'nothing');
  const meter = metrics.getMeter(name);
  const tracer = trace.getTracer(name);
  const requests = meter.createCounter('mtls_bound.requests', {
    description: 'Requests, by what was decided',
  });
  const routes = meter.createCounter('mtls_bound.route_refusals', {
    description: 'Admitted requests that a guard of a route refused',
  });
  const lookups = meter.createCounter('mtls_bound.cache.lookups', {
    description: 'Looks at what is known of a token',
  });
  const problems = meter.createCounter('mtls_bound.problems', {
    description: 'Problems that an operator must solve',
  });
  const open = meter.createUpDownCounter('mtls_bound.breaker.open', {
    description:
      'Endpoints of authorization servers and Shared Signals transmitters whose circuit breaker is open',
  });
  const duration = meter.createHistogram('mtls_bound.introspection.duration', {
    description: 'Questions to an authorization server',
    unit: 's',
    // The SDK's own are made for milliseconds.
    advice: { explicitBucketBoundaries: [...durationBuckets] },
  });
  const signals = meter.createCounter('mtls_bound.signals', {
    description: 'Security Event Tokens received, by outcome',
  });
  const revocations = meter.createCounter('mtls_bound.revocations', {
    description: 'Revocations that this process took note of',
  });
  const endGauges = [
    syncGauge('unsynced', {
      description: 'Resource servers that may miss revocations of other processes now',
      unit: '{server}',
    }),
    syncGauge('lag', { description: 'How far behind the revocations of other processes', unit: 's' }),
    syncGauge('heartbeatAge', {
      description: 'Since the newest entry of the log was written, or a message came over the channel',
      unit: 's',
    }),
    observedGauge(
      'client_certificate.days_left',
      { description: 'Whole days until the next certificate of a client expires', unit: 'd' },
      (result) => {
        for (const { issuer, daysLeft } of expiryTotals()) {
          if (daysLeft !== undefined) {
            result.observe(daysLeft, { issuer });
          }
        }
      },
    ),
    observedGauge(
      'client_certificates',
      { description: 'Clients, by when their certificate expires', unit: '{client}' },
      (result) => {
        for (const { issuer, clients } of expiryTotals()) {
          for (const expiry of expiryStates) {
            result.observe(clients[expiry], { issuer, expiry });
          }
        }
      },
    ),
  ];
  const opened = new Map<string, number>();
  const end = observeEvents({
    admitted: ({ isBound, reported }) =>
      requests.add(1, {
        outcome: reported === undefined ? 'admitted' : 'reported',
        ...(reported !== undefined && { code: reported }),
        bound: isBound,
      }),
    refused: ({ refusal: { code }, stage }) =>
      stage === 'route' ? routes.add(1, { code }) : requests.add(1, { outcome: 'refused', code }),
    cache: ({ result }) => lookups.add(1, { result }),
    signal: ({ transmitter, outcome, error }) =>
      signals.add(1, {
        'server.address': new URL(transmitter).hostname,
        outcome,
        ...(error !== undefined && { 'error.type': error }),
      }),
    revocation: ({ kind, from }) => revocations.add(1, { kind, from }),
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
        // Why a token is rejected is an answer, not an error: the client gets 401.
        const failed = outcome !== 'active' && !isTokenRejection(outcome);
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
    for (const endGauge of endGauges) {
      endGauge();
    }
    for (const [issuer, count] of opened) {
      open.add(-count, { issuer });
    }
  };
}

interface GaugeTexts {
  readonly description: string;
  readonly unit: string;
}

function syncGauge(of: 'unsynced' | 'lag' | 'heartbeatAge', about: GaugeTexts): () => void {
  const suffix = of === 'heartbeatAge' ? 'heartbeat_age' : of;
  return observedGauge(`revocations.${suffix}`, about, (result) => {
    for (const { from, ...totals } of revocationSyncTotals()) {
      if (totals[of] !== undefined) {
        result.observe(totals[of], { from });
      }
    }
  });
}

/**
 * A gauge that is read when metrics are collected: an age is no event. Returns a function that ends
 * it.
 */
function observedGauge(
  suffix: string,
  about: GaugeTexts,
  read: (result: ObservableResult) => void,
): () => void {
  const gauge = metrics.getMeter(name).createObservableGauge(`mtls_bound.${suffix}`, about);
  gauge.addCallback(read);
  return () => gauge.removeCallback(read);
}
