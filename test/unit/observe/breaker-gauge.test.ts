import { createResourceServer, observeByPrometheus } from '@mtls-bound/core';
import { observeByOpenTelemetry } from '@mtls-bound/core/opentelemetry';
import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import * as client from 'prom-client';
import { beforeEach, expect, it, vi } from 'vitest';

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});

// Of this file alone: other files of the suite, which share the process, leave breakers open.
const issuer = 'https://breakers.example.com';

function create(state: { isUp: boolean }) {
  return createResourceServer({
    issuer,
    clientId: 'api',
    clientSecret: 'a-secret',
    audience: 'https://api.example.com',
    binding: 'when-bound',
    certificate: () => undefined,
    authorizationServerMetadata: { introspection_endpoint: `${issuer}/introspect` },
    circuitBreaker: { maxFailures: 1, retryInterval: 0.05 },
    http: {
      fetch: async () => (state.isUp ? Response.json({ active: false }) : new Response('', { status: 503 })),
    },
  });
}

const ask = async (server: ReturnType<typeof create>): Promise<unknown> => {
  const rawHeaders = ['Authorization', `Bearer token-${Math.random()}`];
  try {
    return await server.authorize({ url: '/', headers: {}, rawHeaders, socket: {} } as never);
  } catch (error) {
    return (error as { code: unknown }).code;
  }
};

it('mtls_bound_breaker_open counts breakers: two servers of an issuer, an observer that begins late, close()', async () => {
  const [first, second] = [{ isUp: false }, { isUp: false }];
  const [one, two] = [create(first), create(second)];
  const early = new client.Registry();
  const late = new client.Registry();
  const value = async (registry: client.Registry) =>
    /breaker_open\{issuer="https:\/\/breakers[^}]*\} (\S+)/.exec(await registry.metrics())?.[1];

  const ends = [observeByPrometheus(client, early)];
  await ask(one);
  await ask(two);
  ends.push(observeByPrometheus(client, late));
  expect([await value(early), await value(late)]).toEqual(['2', '2']);

  second.isUp = true;
  await vi.waitFor(async () => expect(await ask(two)).toBe('token_inactive'));
  expect([await value(early), await value(late)]).toEqual(['1', '1']);

  await one.close();
  await two.close();
  expect([await value(early), await value(late)]).toEqual(['0', '0']);
  for (const end of ends) {
    end();
  }
});

it('mtls_bound.breaker.open counts breakers: two servers of an issuer, an observer that ends and begins, close()', async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  const value = async () => {
    exporter.reset();
    await reader.forceFlush();
    return exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
      .filter(({ descriptor }) => descriptor.name === 'mtls_bound.breaker.open')
      .flatMap(({ dataPoints }) => dataPoints.map((point) => [point.attributes.issuer, point.value]))
      .filter(([name]) => name === issuer);
  };
  try {
    const second = { isUp: false };
    const [one, two] = [create({ isUp: false }), create(second)];
    let end = observeByOpenTelemetry();
    await ask(one);
    await ask(two);
    expect(await value()).toEqual([[issuer, 2]]);

    end();
    expect(await value()).toEqual([[issuer, 0]]);
    end = observeByOpenTelemetry();
    expect(await value()).toEqual([[issuer, 2]]);

    second.isUp = true;
    await vi.waitFor(async () => expect(await ask(two)).toBe('token_inactive'));
    expect(await value()).toEqual([[issuer, 1]]);

    await one.close();
    await two.close();
    expect(await value()).toEqual([[issuer, 0]]);
    end();
  } finally {
    metrics.disable();
    await reader.shutdown();
  }
});
