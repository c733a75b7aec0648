// What is revoked, where from, and how far behind a process is: on the channels, in metrics and in the log.
import type {
  ResourceServer,
  ResourceServerOptions,
  RevocationEvent,
  RevocationSyncEvent,
} from '@mtls-bound/core';
import {
  createResourceServer,
  observeByLog,
  observeByPrometheus,
  observeEvents,
  type RevocationChannel,
  revocationSyncStates,
} from '@mtls-bound/core';
import { observeByOpenTelemetry } from '@mtls-bound/core/opentelemetry';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import * as client from 'prom-client';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryLog } from '../../support/memory-log.js';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const secret = 'a secret of at least 32 characters';
const revoked = recordedEvents<RevocationEvent>('mtls-bound:revocation');
const heard = recordedEvents<RevocationSyncEvent>('mtls-bound:revocation-sync');
let kit: TestKit;
let servers: ResourceServer[] = [];
beforeAll(async () => {
  kit = await createTestKit();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  servers = [];
});

function create(revocations: ResourceServerOptions['revocations'] = {}): ResourceServer {
  const server = createResourceServer(
    optionsOver(
      pretendServer(() => boundClaims(kit.certificate, { scope: 'revoke' })),
      kit.certificate,
      { revocations },
    ),
  );
  servers.push(server);
  return server;
}

/** A channel in memory, which can be lost. */
function memoryChannel() {
  const listeners = new Set<Parameters<RevocationChannel['subscribe']>[0]>();
  const channel: RevocationChannel = {
    async publish(message) {
      for (const listener of listeners) {
        listener.message(message);
      }
    },
    async subscribe(listener) {
      listeners.add(listener);
      return async () => listeners.delete(listener);
    },
  };
  return { channel, listeners };
}

const stateOf = (from: string) => revocationSyncStates().filter((state) => state.from === from);
const untilHeard = (from: string, count: number) =>
  vi.waitFor(
    () => expect(stateOf(from).map(({ state }) => state)).toEqual(Array(count).fill('synced')),
    5_000,
  );

const form = 'application/x-www-form-urlencoded';
const subject = { subject: 'user-161803' };

describe('a revocation is an event with `from`, and names no token and no subject', () => {
  it.each<[string, (server: ResourceServer) => unknown, Partial<RevocationEvent>]>([
    ['revoke()', (server) => server.revoke(subject), { kind: 'subject', from: 'revoke' }],
    [
      'revoke() of one issuer',
      (server) => server.revoke({ clientId: 'app', issuer: 'https://as.example.com' }),
      { kind: 'clientId', from: 'revoke', issuer: 'https://as.example.com' },
    ],
    ['revoke() of a token', (server) => server.revoke({ token: 'secret' }), { kind: 'token' }],
    [
      'revoke() of the hash of a token',
      (server) => server.revoke({ tokenHash: kit.certificate.thumbprint }),
      { kind: 'token' },
    ],
    [
      'a list whose members are given to revoke()',
      (server) => Promise.all([{ jti: 'one' }].map(server.revoke)),
      { kind: 'jti', from: 'revoke' },
    ],
    ['a signal', (server) => server.revoke(subject, 'signal'), { kind: 'subject', from: 'signal' }],
    [
      'the endpoint',
      async (server) => {
        const req = Object.assign(requestWith('token', { 'content-type': form }), { method: 'POST' });
        const authorization = await server.authorize(req);
        const body = { sub: 'user-161803' };
        expect(await server.acceptRevocation(req, authorization, () => undefined, body)).toMatchObject({
          status: 200,
        });
      },
      { kind: 'subject', from: 'endpoint', issuer: 'https://as.example.com', requestedBy: 'alice' },
    ],
  ])('%s', async (_title, revoke, expected) => {
    await revoke(create());
    expect(revoked).toEqual([{ issuer: undefined, from: 'revoke', ...expected }]);
    expect(JSON.stringify(revoked)).not.toMatch(/161803|secret|one/);
  });

  it('another process hears it over the channel, once, and its own process does not count it again', async () => {
    const { channel } = memoryChannel();
    const [first] = [create({ channel, secret }), create({ channel, secret })];
    await untilHeard('channel', 2);
    await first.revoke(subject);
    expect(revoked.map(({ from }) => from)).toEqual(['revoke', 'channel']);
  });

  it.each(['channel', 'log'] as const)(
    'each revocation of one name is an event once in each process, over a %s',
    async (way) => {
      const log = new MemoryLog();
      const parts = way === 'log' ? { log } : { channel: memoryChannel().channel };
      const [first] = [create({ ...parts, secret }), create({ ...parts, secret })];
      await untilHeard(way, 2);
      // At once, so that the first comes back after the last.
      await Promise.all([1, 2, 3].map(() => first.revoke(subject)));
      await first.revoke(subject);
      // A channel in memory has brought each message by now.
      const last = log.entries.at(-1)?.position ?? '';
      await vi.waitFor(() => {
        expect(stateOf(way).every(({ position = '' }) => position >= last)).toBe(true);
      });
      const sources = revoked.map(({ from }) => from).toSorted();
      expect(sources).toEqual([...Array(4).fill(way), ...Array(4).fill('revoke')]);
    },
  );

  it('another process reads it in the log, also one that starts later', async () => {
    const log = new MemoryLog();
    const [first] = [create({ log, secret }), create({ log, secret })];
    await untilHeard('log', 2);
    await first.revoke(subject);
    await vi.waitFor(() => expect(revoked.map(({ from }) => from)).toEqual(['revoke', 'log']));
    create({ log, secret });
    await untilHeard('log', 3);
    expect(revoked.map(({ from }) => from)).toEqual(['revoke', 'log', 'log']);
  });
});

describe('what a process has heard', () => {
  it('of a log: unsynced before it was read and while it can not be read, with the position and ages', async () => {
    const log = new MemoryLog();
    log.failure = new Error('away');
    create({ log, secret });
    expect(stateOf('log')).toEqual([
      {
        from: 'log',
        state: 'unsynced',
        position: undefined,
        lag: expect.any(Number),
        heartbeatAge: undefined,
      },
    ]);
    log.failure = undefined;
    await untilHeard('log', 1);
    const position = log.entries.at(-1)?.position;
    expect(heard).toEqual([{ from: 'log', state: 'synced', position }]);
    expect(stateOf('log')).toEqual([
      { from: 'log', state: 'synced', position, lag: expect.any(Number), heartbeatAge: expect.any(Number) },
    ]);

    log.failure = new Error('away');
    await vi.waitFor(() => expect(heard.map(({ state }) => state)).toEqual(['synced', 'unsynced']), 5_000);
    const [{ lag = 0, heartbeatAge = 0 } = {}] = stateOf('log');
    await vi.waitFor(() => {
      const [later] = stateOf('log');
      expect(later?.lag).toBeGreaterThan(lag);
      expect(later?.heartbeatAge).toBeGreaterThan(heartbeatAge);
    });
    log.failure = undefined;
    await untilHeard('log', 1);
    expect(heard.map(({ state }) => state)).toEqual(['synced', 'unsynced', 'synced']);
  });

  it('of a channel: synced without a lag, and unsynced with one while it is interrupted', async () => {
    const { channel, listeners } = memoryChannel();
    create({ channel, secret });
    await untilHeard('channel', 1);
    expect(stateOf('channel')).toMatchObject([{ lag: 0, position: undefined }]);
    for (const listener of listeners) {
      listener.interrupted();
      listener.interrupted();
    }
    expect(stateOf('channel')).toMatchObject([{ state: 'unsynced' }]);
    await vi.waitFor(() => expect(stateOf('channel')[0]?.lag).toBeGreaterThan(0));
    for (const listener of listeners) {
      listener.restored();
    }
    expect(stateOf('channel')).toMatchObject([{ state: 'synced', lag: 0 }]);
    expect(heard.map(({ from, state }) => [from, state])).toEqual([
      ['channel', 'synced'],
      ['channel', 'unsynced'],
      ['channel', 'synced'],
    ]);
  });

  it('without channel and log, and after close(), there is nothing to hear', async () => {
    create();
    const { channel } = memoryChannel();
    await create({ channel, secret }).close();
    await create({ log: new MemoryLog(), secret }).close();
    expect(revocationSyncStates()).toEqual([]);
  });

  it('an observer that begins later is told the state at once', async () => {
    create({ log: new MemoryLog(), secret });
    await untilHeard('log', 1);
    const told: RevocationSyncEvent[] = [];
    observeEvents({ revocationSync: (event) => told.push(event) })();
    expect(told).toEqual([{ from: 'log', state: 'synced', position: expect.any(String) }]);
  });
});

it('functions for revocations that throw harm nothing, and each is one warning', async () => {
  create({ log: new MemoryLog(), secret });
  await untilHeard('log', 1);
  const warning = vi.mocked(process.emitWarning).mockClear();
  const fail = vi.fn(() => {
    throw new Error('161803');
  });
  const stop = observeEvents({ revocationSync: fail, revocation: fail });
  await servers[0]?.revoke(subject);
  await servers[0]?.revoke(subject);
  stop();
  expect(fail).toHaveBeenCalledTimes(3);
  expect(warning.mock.calls.map(([message]) => String(message).slice(0, 44))).toEqual([
    expect.stringContaining('the function revocationSync'),
    expect.stringContaining('the function revocation'),
  ]);
});

describe('metrics', () => {
  /** Two servers that hear, one of them over a log that is then lost. */
  async function fleet(): Promise<MemoryLog> {
    const log = new MemoryLog();
    const server = create({ log, secret });
    create({ channel: memoryChannel().channel, secret });
    await untilHeard('log', 1);
    await untilHeard('channel', 1);
    await server.revoke(subject);
    log.failure = new Error('away');
    await vi.waitFor(() => expect(stateOf('log')).toMatchObject([{ state: 'unsynced' }]), 5_000);
    return log;
  }

  it('prom-client: revocations by `from`, what is unsynced, the lag and the heartbeat', async () => {
    const registry = new client.Registry();
    const stop = observeByPrometheus(client, registry);
    const log = await fleet();
    const metric = async (name: string) =>
      new RegExp(`^mtls_bound_revocations_${name} (\\S+)$`, 'm').exec(await registry.metrics())?.[1];
    expect(await metric('total{kind="subject",from="revoke"}')).toBe('1');
    expect(await metric('unsynced{from="log"}')).toBe('1');
    expect(await metric('unsynced{from="channel"}')).toBe('0');
    expect(Number(await metric('lag_seconds{from="log"}'))).toBeGreaterThan(0);
    expect(await metric('lag_seconds{from="channel"}')).toBe('0');
    expect(Number(await metric('heartbeat_age_seconds{from="log"}'))).toBeGreaterThan(0);
    expect(Number(await metric('heartbeat_age_seconds{from="channel"}'))).toBeGreaterThan(0);
    log.failure = undefined;
    await untilHeard('log', 1);
    expect(await metric('unsynced{from="log"}')).toBe('0');
    await Promise.all(servers.map((server) => server.close()));
    expect(await metric('unsynced{from="log"}')).toBeUndefined();
    stop();
    expect((await registry.metrics()).trim()).toBe('');
  });

  it('OpenTelemetry: revocations by `from`, what is unsynced, the lag and the heartbeat', async () => {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
    const points = async () => {
      exporter.reset();
      await reader.forceFlush();
      return exporter
        .getMetrics()
        .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
        .filter(({ descriptor }) => descriptor.name.startsWith('mtls_bound.revocations'))
        .flatMap(({ descriptor, dataPoints }) =>
          dataPoints.map(({ attributes, value }) => [descriptor.name.slice(11), attributes, value]),
        );
    };
    try {
      const stop = observeByOpenTelemetry();
      await fleet();
      const age = expect.any(Number);
      expect(await points()).toEqual([
        ['revocations', { kind: 'subject', from: 'revoke' }, 1],
        ['revocations.unsynced', { from: 'channel' }, 0],
        ['revocations.unsynced', { from: 'log' }, 1],
        ['revocations.lag', { from: 'channel' }, 0],
        ['revocations.lag', { from: 'log' }, age],
        ['revocations.heartbeat_age', { from: 'channel' }, age],
        ['revocations.heartbeat_age', { from: 'log' }, age],
      ]);
      stop();
      // The ages are not read any more.
      expect(await points()).toEqual(await points());
    } finally {
      metrics.disable();
      await reader.shutdown();
    }
  });
});

it('pino: the line of a revocation that a client sent names the client', async () => {
  const note = vi.fn();
  const stop = observeByLog({ info: note, warn: note, error: note });
  const server = create();
  const req = Object.assign(requestWith('token', { 'content-type': form }), { method: 'POST' });
  await server.acceptRevocation(req, await server.authorize(req), () => undefined, {
    client_id: 'app-161803',
  });
  stop();
  const fields = {
    kind: 'clientId',
    issuer: 'https://as.example.com',
    from: 'endpoint',
    requestedBy: 'alice',
  };
  expect(note.mock.calls).toEqual([[fields, 'tokens revoked']]);
});

it('pino: one line of the process that revokes, none of those that hear it, and lines of what is heard', async () => {
  const lines: unknown[] = [];
  const note = (level: string) => (fields: object, message: string) => lines.push([level, message, fields]);
  const stop = observeByLog({ info: note('info'), warn: note('warn'), error: () => undefined });
  const { channel, listeners } = memoryChannel();
  const [first] = [create({ channel, secret }), create({ channel, secret })];
  await untilHeard('channel', 2);
  await first.revoke(subject);
  [...listeners][0]?.interrupted();
  stop();
  const about = { from: 'channel', position: undefined };
  expect(lines).toEqual([
    ['info', 'revocations of other processes are received', { ...about, state: 'synced' }],
    ['info', 'revocations of other processes are received', { ...about, state: 'synced' }],
    ['info', 'tokens revoked', { kind: 'subject', issuer: undefined, from: 'revoke' }],
    ['warn', 'revocations of other processes may be missed', { ...about, state: 'unsynced' }],
  ]);
});
