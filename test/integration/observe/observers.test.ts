import { readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import {
  createResourceServer,
  issuerByHeader,
  nginx,
  observeByLog,
  observeByPrometheus,
  proxyHeader,
  type ResourceServerOptions,
  redactedPaths,
} from '@mtls-bound/core';
import { observeByOpenTelemetry } from '@mtls-bound/core/opentelemetry';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { context, metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { pino } from 'pino';
import * as client from 'prom-client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openBreakerEvents } from '../../../packages/core/src/observe/events.js';
import * as proxies from '../../../packages/core/src/trusted-proxy/proxy-presets.js';
import { frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import {
  answer,
  type FaultyServer,
  goodClaims,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';

let pki: Pki;
let kit: TestKit;
let server: FaultyServer;
let stop: () => void = () => undefined;
beforeAll(async () => {
  pki = await createPki();
  kit = await createTestKit();
  server = await startFaultyServer(pki);
});
afterAll(() => server?.close());
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  server.metadata = answer(200, goodMetadata(server.issuer));
  const { thumbprint } = pki.alice;
  server.introspection = answer(200, goodClaims(server.issuer, thumbprint, { sub: 'user-161803' }));
});
afterEach(() => {
  stop();
  vi.restoreAllMocks();
});

const token = 'tok-3141592653';
const circuitBreaker = { maxFailures: 1, retryInterval: 300 };

/** One request for each identity, to one API. */
async function calls(
  framework: (typeof frameworks)[number],
  identities: readonly Identity[],
  more: ResourceServerOptions = {},
): Promise<void> {
  const api = await startApi(framework, pki, {
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'secret-2718281828',
    audience,
    http: { ca: pki.ca.cert },
    circuitBreaker,
    ...more,
  });
  for (const identity of identities) {
    await call(pki, api, '/', identity).auth(token, { type: 'bearer' });
  }
  await api.close();
}

describe.each(frameworks)('%s', (framework) => {
  it('prom-client: what happens is counted, what is asked is timed', async () => {
    const registry = new client.Registry();
    stop = observeByPrometheus(client, registry);
    const openBefore = openBreakerEvents().length;
    await calls(framework, [pki.alice, pki.bob]);
    server.introspection = answer(503, {});
    await calls(framework, [pki.alice]);
    const text = await registry.metrics();
    for (const line of [
      'mtls_bound_requests_total{outcome="admitted",code="",bound="true"} 1',
      'mtls_bound_requests_total{outcome="refused",code="certificate_mismatch",bound=""} 1',
      'mtls_bound_requests_total{outcome="refused",code="authorization_server_failed",bound=""} 1',
      'mtls_bound_cache_lookups_total{result="miss"} 2',
      'mtls_bound_cache_lookups_total{result="hit"} 1',
      `mtls_bound_breaker_open{issuer="${server.issuer}"} ${openBefore + 1}`,
      'mtls_bound_problems_total{code="authorization_server_suspended"} 1',
      `mtls_bound_introspection_duration_seconds_count{issuer="${server.issuer}",outcome="active"} 1`,
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    stop();
    await calls(framework, [pki.alice]);
    expect((await registry.metrics()).trim()).toBe('');
    // And begins again from nothing.
    stop = observeByPrometheus(client, registry);
    await calls(framework, [pki.alice]);
    expect(await registry.metrics()).toContain('mtls_bound_cache_lookups_total{result="miss"} 1');
  });

  it('pino: each refusal and each problem is a line, none of them private', async () => {
    const lines: Record<string, unknown>[] = [];
    const sink = new Writable({
      write(line, _encoding, done) {
        lines.push(JSON.parse(String(line)));
        done();
      },
    });
    stop = observeByLog(pino({ base: null, timestamp: false, redact: [...redactedPaths] }, sink));
    // The observer logs the rests that began in earlier tests.
    lines.length = 0;
    await calls(framework, [pki.alice, pki.bob]);
    server.introspection = answer(503, {});
    await calls(framework, [pki.alice]);
    expect(lines.map(({ level, code, msg }) => [level, code, String(msg).slice(0, 30)])).toEqual([
      [30, 'certificate_mismatch', 'request refused'],
      [40, undefined, 'requests to the endpoint pause'],
      [50, 'authorization_server_suspended', expect.stringContaining('https://127.0.0.1')],
      [40, 'authorization_server_failed', 'request refused'],
      [50, 'authorization_server_failed', expect.any(String)],
    ]);
    expect(lines[0]).toMatchObject({
      status: 401,
      thumbprint: pki.bob.thumbprint,
      expectedThumbprint: pki.alice.thumbprint,
      certificateFrom: 'the TLS connection',
    });
    expect(lines[1]).toMatchObject({
      issuer: server.issuer,
      endpoint: expect.stringContaining(server.issuer),
      state: 'open',
    });
    expect(JSON.stringify(lines)).not.toMatch(/3141592653|2718281828|161803/);
  });
});

it('control characters that a client sends reach no line, no warning and no header of an answer', async () => {
  const evil = 'x\r\nSet-Cookie: evil=1\u001b[2J\u0000';
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const jwt = `${part({ alg: 'ES256', kid: evil })}.${part({ iss: evil, sub: evil })}.c2ln`;
  const logged: unknown[] = [];
  const note = (...told: unknown[]) => logged.push(told);
  const warning = vi.spyOn(process, 'emitWarning').mockImplementation(note as never);
  stop = observeByLog({ info: note, warn: note, error: note });
  const common = {
    audience,
    tokens: () => async () => 'token_inactive' as const,
    floodGuard: false as const,
  };
  const one = { ...common, issuer: 'https://red.example.com', certificate: () => kit.certificate };
  const several = {
    ...common,
    certificate: () => kit.certificate,
    issuers: ['red', 'blue'].map((name) => ({
      issuer: `https://${name}.example.com`,
      clientId: 'api',
      clientSecret: 'b',
    })),
    selectIssuer: issuerByHeader('x-tenant', { red: 'https://red.example.com' }),
  };
  const behindProxy = { ...one, certificate: proxyHeader(nginx(), { trust: ['192.0.2.1'] }) };
  const cases: [ResourceServerOptions, Record<string, string>][] = [
    [one, { authorization: `Bearer ${evil}` }],
    [one, { authorization: evil }],
    [several, { authorization: `Bearer ${jwt}` }],
    [several, { authorization: 'Bearer opaque', 'x-tenant': evil }],
    [behindProxy, { authorization: 'Bearer t', 'x-ssl-client-cert': evil }],
    [
      { ...behindProxy, explain: true },
      { authorization: 'Bearer t', 'x-ssl-client-cert': evil },
    ],
  ];
  const codes = [];
  for (const [options, headers] of cases) {
    const resourceServer = createResourceServer(options);
    const socket = { remoteAddress: '192.0.2.1' };
    const req = { url: `/${evil}`, headers, rawHeaders: Object.entries(headers).flat(), socket } as never;
    try {
      await resourceServer.authorize(req);
    } catch (thrown) {
      codes.push((thrown as { code: string }).code);
      logged.push(resourceServer.answer(thrown, req));
    }
  }
  warning.mockRestore();
  expect(codes).toEqual([
    'credentials_malformed',
    'credentials_missing',
    'token_wrong_issuer',
    'token_wrong_issuer',
    'certificate_malformed',
    'certificate_malformed',
  ]);
  const texts = JSON.stringify(logged);
  expect(texts).toContain('token_wrong_issuer');
  expect(texts).not.toMatch(/evil|\\[rnt]|\\u00/);
});

const { customHeader: _, ...presets } = proxies;
const certificateHeaders = Object.values(presets)
  .filter((preset) => typeof preset === 'function')
  .map((preset) => preset().header);

it.each([...certificateHeaders, proxies.awsAlb({ mode: 'verify' }).header, 'dpop'])(
  'pino: redactedPaths keep a request that is logged whole from telling its %s',
  (header) => {
    let written = '';
    const sink = new Writable({
      write(line, _encoding, done) {
        written += line;
        done();
      },
    });
    const headers = { authorization: `Bearer ${token}`, [header]: 'the certificate', accept: '*/*' };
    pino({ redact: [...redactedPaths] }, sink).info({ req: { headers } }, 'request');
    expect(written).not.toMatch(/3141592653|the certificate/);
    expect(written).toContain('*/*');
  },
);

describe('OpenTelemetry', () => {
  const spans = new InMemorySpanExporter();
  const measured = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter: measured, exportIntervalMillis: 3_600_000 });

  beforeAll(() => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }),
    );
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  });
  afterAll(() => {
    context.disable();
    trace.disable();
    metrics.disable();
  });

  it('a question is a client span, child of its request, and all is counted', async () => {
    stop = observeByOpenTelemetry();
    const tracer = trace.getTracer('test');
    const inRequest = (name: string, run: () => Promise<void>) =>
      tracer.startActiveSpan(name, { kind: SpanKind.SERVER }, async (span) => {
        await run();
        span.end();
      });
    const { createResourceServer } = await import('@mtls-bound/core');
    const resourceServer = createResourceServer({
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'secret-2718281828',
      audience,
      http: { ca: pki.ca.cert },
      circuitBreaker,
      certificate: kit.options.certificate,
    });
    const headers = { 'x-test-client-certificate': kit.certificate.thumbprint };
    const rawHeaders = ['Authorization', `Bearer ${token}`];
    const req = { url: '/', headers, rawHeaders, socket: {} } as never;
    server.introspection = answer(200, goodClaims(server.issuer, kit.certificate.thumbprint));
    await inRequest('GET /good', async () => {
      await resourceServer.authorize(req);
    });
    server.introspection = answer(500, {});
    const other = { ...(req as object), rawHeaders: ['Authorization', 'Bearer other'] } as never;
    await inRequest('GET /bad', async () => {
      await expect(Promise.resolve(resourceServer.authorize(other))).rejects.toThrow();
    });
    const rejections = [{ active: false }, { active: true, exp: 'tomorrow' }];
    for (const [index, claims] of rejections.entries()) {
      server.introspection = answer(200, claims);
      const rejected = { ...(req as object), rawHeaders: ['Authorization', `Bearer ${index}`] } as never;
      await inRequest('GET /rejected', async () => {
        await expect(Promise.resolve(resourceServer.authorize(rejected))).rejects.toThrow();
      });
    }
    await resourceServer.close();

    const finished = spans.getFinishedSpans();
    const parents = new Map(finished.map((span) => [span.spanContext().spanId, span.name]));
    const asked = finished.filter(({ name }) => name === 'introspect token');
    expect(
      asked.map(({ kind, parentSpanContext, attributes, status }) => ({
        kind,
        parent: parents.get(parentSpanContext?.spanId ?? ''),
        attributes,
        status: status.code,
      })),
    ).toEqual([
      {
        kind: SpanKind.CLIENT,
        parent: 'GET /good',
        attributes: { 'server.address': '127.0.0.1', 'mtls_bound.outcome': 'active' },
        status: SpanStatusCode.UNSET,
      },
      {
        kind: SpanKind.CLIENT,
        parent: 'GET /bad',
        attributes: {
          'server.address': '127.0.0.1',
          'mtls_bound.outcome': 'authorization_server_failed',
          'error.type': 'authorization_server_failed',
        },
        status: SpanStatusCode.ERROR,
      },
      ...['token_inactive', 'token_claims_malformed'].map((outcome) => ({
        kind: SpanKind.CLIENT,
        parent: 'GET /rejected',
        attributes: { 'server.address': '127.0.0.1', 'mtls_bound.outcome': outcome },
        status: SpanStatusCode.UNSET,
      })),
    ]);
    await reader.forceFlush();
    const [histogram] = measured
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap((scope) => scope.metrics)
      .filter(({ descriptor }) => descriptor.name === 'mtls_bound.introspection.duration')
      .flatMap(({ dataPoints }) => dataPoints.map(({ value }) => value as Histogram));
    // In seconds: none of a loopback's answers falls into the first of the usual buckets, which ends at 5.
    expect(histogram?.buckets.boundaries.filter((seconds) => seconds < 1)).toHaveLength(7);
    const points = measured
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap((scope) => scope.metrics)
      .flatMap(({ descriptor, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => [
          descriptor.name,
          attributes,
          typeof value === 'number' ? value : value.count,
        ]),
      );
    expect(points).toEqual(
      expect.arrayContaining([
        ['mtls_bound.requests', { outcome: 'admitted', bound: true }, 1],
        ['mtls_bound.requests', { outcome: 'refused', code: 'authorization_server_failed' }, 1],
        ['mtls_bound.cache.lookups', { result: 'miss' }, 4],
        ['mtls_bound.introspection.duration', { 'server.address': '127.0.0.1' }, 3],
      ]),
    );
  });
});

it('the dashboard asks for metrics that there are', async () => {
  const registry = new client.Registry();
  stop = observeByPrometheus(client, registry);
  const known = registry
    .getMetricsAsArray()
    .flatMap(({ name }) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]);
  const dashboard = JSON.parse(
    readFileSync(new URL('../../../docs/reference/grafana/mtls-bound.json', import.meta.url), 'utf8'),
  ) as {
    panels: { targets: { expr: string }[] }[];
  };
  const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const asked = queries.map((query) => query.match(/mtls_bound_\w+/g) ?? []);
  expect(asked.every((names) => names.length > 0)).toBe(true);
  expect(asked.flat().filter((name) => !known.includes(name))).toEqual([]);
  // And for each of them.
  const bases = registry.getMetricsAsArray().map(({ name }) => name);
  expect(bases.filter((name) => !queries.some((query) => query.includes(name)))).toEqual([]);
});
