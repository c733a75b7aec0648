// Which certificates clients use, and when an event tells that one is about to expire, by a controlled clock.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  type Authorization,
  type CertificateExpiryEvent,
  ClientCertificate,
  createResourceServer,
  observeByLog,
  observeByPrometheus,
  type ResourceServer,
} from '@mtls-bound/core';
import { observeByOpenTelemetry } from '@mtls-bound/core/opentelemetry';
import { createTestCertificate } from '@mtls-bound/core/testing';
import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import * as client from 'prom-client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  createSeenCertificates,
  type SeenCertificates,
} from '../../../packages/core/src/certificate/seen-certificates.js';
import { boundClaims, optionsOver, pretendServer, requestWith } from '../../support/pretend-server.js';

const day = 86_400_000;
const hour = 3_600_000;
const now = Date.parse('2026-03-01T12:00:00Z');
const issuer = 'https://as.example.com';

let made: { close(): unknown }[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'], now });
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
});
afterEach(async () => {
  await Promise.all(made.map((one) => one.close()));
  made = [];
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A year long, if nothing else is said. */
const certificateFor = (days: number, lifetime = 365): Promise<ClientCertificate> =>
  createTestCertificate({
    notBefore: new Date(now + (days - lifetime) * day),
    notAfter: new Date(now + days * day),
  });

const hashAlone = (letter: string) => new ClientCertificate({ thumbprint: letter.repeat(43) });

function create(maxListedClients = 10_000): SeenCertificates {
  const certificates = createSeenCertificates(maxListedClients);
  made.push(certificates);
  return certificates;
}

const used = (
  certificate: ClientCertificate | undefined,
  clientId: string | undefined = 'alice',
  by = issuer,
) => ({ issuer: by, clientId, certificate }) as Authorization;

/** What is published until `end()`. */
function listen() {
  const events: CertificateExpiryEvent[] = [];
  const listener = (event: unknown): void => {
    events.push(event as CertificateExpiryEvent);
  };
  subscribe('mtls-bound:certificate-expiry', listener);
  made.push({ close: () => unsubscribe('mtls-bound:certificate-expiry', listener) });
  return { events, thresholds: () => events.map(({ threshold }) => threshold) };
}

describe('clientCertificates()', () => {
  it('has a row for each client and certificate, those that expire first at the front', async () => {
    const [later, sooner] = [await certificateFor(90), await certificateFor(10.5)];
    const certificates = create();
    certificates.note(used(hashAlone('A'), 'proxied'));
    certificates.note(used(later));
    vi.setSystemTime(now + 5_000);
    certificates.note(used(sooner, 'bob'));
    certificates.note(used(later));
    const [from, to] = [new Date(now), new Date(now + 5_000)];
    expect(certificates.uses()).toEqual([
      {
        issuer,
        clientId: 'bob',
        thumbprint: sooner.thumbprint,
        notAfter: new Date(now + 10.5 * day),
        daysLeft: 10,
        firstSeen: to,
        lastSeen: to,
        isReplaced: false,
      },
      {
        issuer,
        clientId: 'alice',
        thumbprint: later.thumbprint,
        notAfter: new Date(now + 90 * day),
        daysLeft: 89,
        firstSeen: from,
        lastSeen: to,
        isReplaced: false,
      },
      {
        issuer,
        clientId: 'proxied',
        thumbprint: 'A'.repeat(43),
        notAfter: undefined,
        daysLeft: undefined,
        firstSeen: from,
        lastSeen: from,
        isReplaced: false,
      },
    ]);
  });

  it.each([
    ['in a day and a second', 1 + 1 / 86_400, 1],
    ['in an hour', 1 / 24, 0],
    ['an hour ago', -1 / 24, -1],
    ['two days ago', -2, -2],
  ])('counts whole days: a certificate that ends %s', async (_, days, daysLeft) => {
    const certificates = create();
    certificates.note(used(await certificateFor(days)));
    expect(certificates.uses()).toMatchObject([{ daysLeft }]);
  });

  it.each([
    ['what is no X.509 certificate', new ClientCertificate(Uint8Array.from([0x30, 0]))],
    ['a hash alone', hashAlone('B')],
  ])('%s has no end, and no event', (_, certificate) => {
    const { events } = listen();
    const certificates = create();
    certificates.note(used(certificate));
    vi.advanceTimersByTime(2 * hour);
    expect(certificates.uses()).toMatchObject([{ notAfter: undefined, daysLeft: undefined }]);
    expect(events).toEqual([]);
  });

  it('a request without a certificate makes no row', () => {
    const certificates = create();
    certificates.note(used(undefined));
    expect(certificates.uses()).toEqual([]);
  });

  it('reads each certificate once', async () => {
    const certificate = await certificateFor(90);
    const certificates = create();
    const read = vi.spyOn(ClientCertificate.prototype, 'x509', 'get');
    for (const clientId of ['alice', 'bob', 'alice']) {
      certificates.note(used(certificate, clientId));
    }
    // Another connection has another object.
    certificates.note(used(new ClientCertificate(certificate.der ?? new Uint8Array())));
    expect(read).toHaveBeenCalledTimes(1);
    expect(certificates.uses()).toHaveLength(2);
  });
});

describe('bounds', () => {
  const names = (certificates: SeenCertificates) =>
    certificates.uses().map(({ issuer: of, clientId }) => `${of} ${clientId}`);

  it.each([
    ['a minute later', 60_000],
    ['after the clock was set back', -hour],
  ])('beyond maxListedClients the client that was seen least recently is removed: %s', (_title, step) => {
    const certificates = create(2);
    certificates.note(used(hashAlone('A'), 'first'));
    certificates.note(used(hashAlone('A'), 'second'));
    vi.setSystemTime(now + step);
    certificates.note(used(hashAlone('A'), 'first'));
    certificates.note(used(hashAlone('A'), 'third'));
    expect(names(certificates)).toEqual([`${issuer} first`, `${issuer} third`]);
  });

  it('each issuer has its own: the clients of one remove none of another', () => {
    const certificates = create(2);
    certificates.note(used(hashAlone('A'), 'quiet', 'https://acme.example.com'));
    for (let i = 0; i < 100; i += 1) {
      certificates.note(used(hashAlone('A'), `client ${i}`));
    }
    expect(names(certificates)).toEqual([
      'https://acme.example.com quiet',
      `${issuer} client 98`,
      `${issuer} client 99`,
    ]);
  });

  it('of a client the four certificates that were seen last are kept', () => {
    const certificates = create();
    for (const letter of ['A', 'B', 'C', 'D', 'A', 'E']) {
      vi.advanceTimersByTime(1_000);
      certificates.note(used(hashAlone(letter)));
    }
    const kept = certificates.uses().map(({ thumbprint }) => thumbprint.slice(0, 1));
    expect(kept.toSorted()).toEqual(['A', 'C', 'D', 'E']);
  });

  it('of tokens that name no client, each certificate is a client, within the bound', () => {
    const certificates = create(3);
    const nameless = (letter: string) =>
      certificates.note({ ...used(hashAlone(letter)), clientId: undefined } as Authorization);
    for (const letter of ['A', 'B', 'C', 'D', 'E']) {
      vi.advanceTimersByTime(1_000);
      nameless(letter);
    }
    expect(certificates.uses()).toMatchObject([
      { clientId: undefined, thumbprint: 'C'.repeat(43), isReplaced: false },
      { clientId: undefined, thumbprint: 'D'.repeat(43), isReplaced: false },
      { clientId: undefined, thumbprint: 'E'.repeat(43), isReplaced: false },
    ]);
  });

  it('with maxListedClients 0 nothing is kept, published or awaited', async () => {
    const { events } = listen();
    const certificates = create(0);
    certificates.note(used(await certificateFor(3)));
    expect(certificates.uses()).toEqual([]);
    expect(events).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('mtls-bound:certificate-expiry', () => {
  it('is published at 30, 7 and 1 days, once each, also for a client that sends nothing meanwhile', async () => {
    const certificate = await certificateFor(31);
    const { events, thresholds } = listen();
    create().note(used(certificate));
    expect(events).toEqual([]);
    vi.advanceTimersByTime(day - hour);
    expect(events).toEqual([]);
    vi.advanceTimersByTime(2 * hour);
    expect(events).toEqual([
      {
        issuer,
        clientId: 'alice',
        thumbprint: certificate.thumbprint,
        notAfter: new Date(now + 31 * day),
        daysLeft: 30,
        threshold: 30,
        lastSeen: new Date(now),
      },
    ]);
    vi.advanceTimersByTime(22 * day);
    expect(thresholds()).toEqual([30]);
    vi.advanceTimersByTime(2 * day);
    expect(thresholds()).toEqual([30, 7]);
    vi.advanceTimersByTime(7 * day);
    expect(thresholds()).toEqual([30, 7, 1]);
    vi.advanceTimersByTime(30 * day);
    expect(thresholds()).toEqual([30, 7, 1]);
  });

  it.each([
    ['30.1 days', 30.1, []],
    ['29 days', 29, [30]],
    ['6 days', 6, [7]],
    ['an hour', 1 / 24, [1]],
    ['no days: it has expired', -3, [1]],
  ])(
    'a certificate with %s left at its first request has the smallest threshold alone',
    async (_, days, expected) => {
      const certificate = await certificateFor(days);
      const { thresholds } = listen();
      const certificates = create();
      certificates.note(used(certificate));
      certificates.note(used(certificate));
      expect(thresholds()).toEqual(expected);
    },
  );

  it.each([
    ['90 days', 90, [30, 7, 1]],
    ['59 days', 59, [7, 1]],
    ['13 days', 13, [1]],
    ['a day', 1, []],
  ])(
    'a certificate that is valid for %s has the thresholds up to half of it',
    async (_, lifetime, expected) => {
      const certificate = await certificateFor(lifetime, lifetime);
      const { thresholds } = listen();
      create().note(used(certificate));
      vi.advanceTimersByTime((lifetime + 1) * day);
      expect(thresholds()).toEqual(expected);
    },
  );

  it('is published once in a process, whichever resource server sees the client', async () => {
    const certificate = await certificateFor(5);
    const { events } = listen();
    const [one, other] = [create(), create()];
    one.note(used(certificate));
    other.note(used(certificate));
    vi.advanceTimersByTime(2 * hour);
    expect(events).toHaveLength(1);
    other.note(used(certificate, 'bob'));
    expect(events.map(({ clientId }) => clientId)).toEqual(['alice', 'bob']);
  });

  it('a client that was removed and comes again has no second event', async () => {
    const certificate = await certificateFor(5);
    const { events } = listen();
    const certificates = create(1);
    for (const clientId of ['alice', 'bob', 'alice', 'bob']) {
      certificates.note(used(certificate, clientId));
    }
    expect(events.map(({ clientId }) => clientId)).toEqual(['alice', 'bob']);
  });

  it('waits for a subscriber', async () => {
    const certificates = create();
    certificates.note(used(await certificateFor(5)));
    const { thresholds } = listen();
    expect(thresholds()).toEqual([]);
    vi.advanceTimersByTime(hour);
    expect(thresholds()).toEqual([7]);
  });

  it('ends with close()', async () => {
    const { events } = listen();
    const certificates = create();
    const [one, other] = [await certificateFor(31), await certificateFor(3)];
    certificates.note(used(one));
    certificates.close();
    certificates.note(used(other));
    vi.advanceTimersByTime(40 * day);
    expect(events).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    expect(certificates.uses()).toHaveLength(2);
  });
});

describe('a client that renews its certificate', () => {
  async function renewal() {
    const [old, renewed] = [await certificateFor(31), await certificateFor(400)];
    const heard = listen();
    const certificates = create();
    const use = (certificate: ClientCertificate) => {
      vi.advanceTimersByTime(1_000);
      certificates.note(used(certificate));
    };
    const replaced = () =>
      Object.fromEntries(certificates.uses().map((row) => [row.thumbprint, row.isReplaced]));
    use(old);
    return { old, renewed, use, replaced, ...heard };
  }

  it('is not warned of the old one, which it has not used since', async () => {
    const { old, renewed, use, replaced, thresholds } = await renewal();
    use(renewed);
    vi.advanceTimersByTime(30.9 * day);
    expect(thresholds()).toEqual([]);
    expect(replaced()).toEqual({ [old.thumbprint]: true, [renewed.thumbprint]: false });
    // Once it has expired, it is of no interest.
    vi.advanceTimersByTime(day);
    expect(replaced()).toEqual({ [renewed.thumbprint]: false });
  });

  it('is warned of the old one if a part of it still uses that', async () => {
    const { old, renewed, use, replaced, thresholds } = await renewal();
    use(renewed);
    use(old);
    use(renewed);
    expect(replaced()).toEqual({ [old.thumbprint]: false, [renewed.thumbprint]: false });
    vi.advanceTimersByTime(2 * day);
    expect(thresholds()).toEqual([30]);
  });

  it('is warned within the hour if it returns to the old one', async () => {
    const { old, renewed, use, thresholds } = await renewal();
    use(renewed);
    vi.advanceTimersByTime(25 * day);
    expect(thresholds()).toEqual([]);
    use(old);
    vi.advanceTimersByTime(hour);
    expect(thresholds()).toEqual([7]);
  });

  it('has replaced a certificate that has expired, though both were in use for a while', async () => {
    const { old, renewed, use, replaced } = await renewal();
    use(renewed);
    use(old);
    vi.advanceTimersByTime(31 * day);
    expect(replaced()).toEqual({ [old.thumbprint]: false, [renewed.thumbprint]: false });
    use(renewed);
    expect(replaced()).toEqual({ [renewed.thumbprint]: false });
  });

  it('has not replaced an expired certificate that it still uses', async () => {
    const { old, renewed, use, replaced } = await renewal();
    use(renewed);
    vi.advanceTimersByTime(31 * day);
    use(old);
    use(renewed);
    expect(replaced()).toEqual({ [old.thumbprint]: false, [renewed.thumbprint]: false });
  });

  it('two certificates of the same millisecond: neither replaces the other', async () => {
    const certificates = create();
    certificates.note(used(await certificateFor(31)));
    certificates.note(used(await certificateFor(400)));
    expect(certificates.uses().map(({ isReplaced }) => isReplaced)).toEqual([false, false]);
  });
});

describe('observers', () => {
  it.each([
    [40, 10, 'certificate of a client expires within 30 days', 30],
    [1, 0, 'certificate of a client expires within 1 day', 1],
    [-3, 0, 'certificate of a client has expired', -3],
  ])('observeByLog() writes a warning: a certificate of %s days', async (days, wait, message, daysLeft) => {
    const certificate = await certificateFor(days);
    const lines: unknown[] = [];
    const write = (level: string) => (fields: object, text: string) => lines.push([level, fields, text]);
    const end = observeByLog({ info: write('info'), warn: write('warn'), error: write('error') });
    // The observer logs the rests that began in earlier tests.
    lines.length = 0;
    create().note(used(certificate));
    vi.advanceTimersByTime(wait * day);
    end();
    expect(lines).toEqual([
      [
        'warn',
        {
          issuer,
          clientId: 'alice',
          thumbprint: certificate.thumbprint,
          notAfter: new Date(now + days * day),
          daysLeft,
          lastSeen: new Date(now),
        },
        message,
      ],
    ]);
  });

  /** Eight clients of one issuer, one of another. */
  async function clients() {
    const [one, other] = [create(), create()];
    const [month, week, hours, expired, renewed] = await Promise.all(
      [20, 5, 0.5, -5, 300].map((days) => certificateFor(days)),
    );
    one.note(used(month, 'month'));
    one.note(used(week, 'week'));
    one.note(used(hours, 'hours'));
    one.note(used(expired, 'expired'));
    one.note(used(hashAlone('A'), 'proxied'));
    one.note(used(month, 'renewed'));
    // One client at two resource servers.
    other.note(used(week, 'month'));
    other.note(used(renewed, 'far', 'https://acme.example.com'));
    vi.setSystemTime(now + 1_000);
    one.note(used(renewed, 'renewed'));
    return other;
  }

  it('observeByPrometheus() has the smallest days left, and counts clients by state', async () => {
    const other = await clients();
    const registry = new client.Registry();
    const end = observeByPrometheus(client, registry);
    const lines = async () =>
      (await registry.metrics()).split('\n').filter((line) => /^mtls_bound_client_cert/.test(line));
    expect(await lines()).toEqual([
      `mtls_bound_client_certificate_days_left{issuer="${issuer}"} 0`,
      'mtls_bound_client_certificate_days_left{issuer="https://acme.example.com"} 299',
      `mtls_bound_client_certificates{issuer="${issuer}",expiry="30d"} 3`,
      `mtls_bound_client_certificates{issuer="${issuer}",expiry="7d"} 3`,
      `mtls_bound_client_certificates{issuer="${issuer}",expiry="1d"} 1`,
      `mtls_bound_client_certificates{issuer="${issuer}",expiry="expired"} 1`,
      `mtls_bound_client_certificates{issuer="${issuer}",expiry="unknown"} 1`,
      ...['30d', '7d', '1d', 'expired', 'unknown'].map(
        (expiry) => `mtls_bound_client_certificates{issuer="https://acme.example.com",expiry="${expiry}"} 0`,
      ),
    ]);
    // A closed resource server does not count.
    other.close();
    expect((await lines()).filter((line) => line.includes('acme'))).toEqual([]);
    expect(await lines()).toContain(`mtls_bound_client_certificates{issuer="${issuer}",expiry="7d"} 2`);
    end();
    expect(await lines()).toEqual([]);
  });

  it('observeByOpenTelemetry() has the same gauges', async () => {
    await clients();
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
    const end = observeByOpenTelemetry();
    try {
      await reader.forceFlush();
      const points = exporter
        .getMetrics()
        .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
        .filter(({ descriptor }) => descriptor.name.startsWith('mtls_bound.client_cert'))
        .flatMap(({ descriptor, dataPoints }) =>
          dataPoints.map(({ attributes, value }) => [descriptor.name, attributes, value]),
        );
      expect(points).toEqual(
        expect.arrayContaining([
          ['mtls_bound.client_certificate.days_left', { issuer }, 0],
          ['mtls_bound.client_certificate.days_left', { issuer: 'https://acme.example.com' }, 299],
          ['mtls_bound.client_certificates', { issuer, expiry: '30d' }, 3],
          ['mtls_bound.client_certificates', { issuer, expiry: 'expired' }, 1],
          ['mtls_bound.client_certificates', { issuer, expiry: 'unknown' }, 1],
        ]),
      );
      expect(points).toHaveLength(12);
    } finally {
      end();
      metrics.disable();
      await reader.shutdown();
    }
  });
});

describe('a resource server', () => {
  const server = (certificate: ClientCertificate, claims: object, more: object = {}): ResourceServer => {
    const one = createResourceServer(
      optionsOver(
        pretendServer(() => claims),
        certificate,
        more,
      ),
    );
    made.push(one);
    return one;
  };

  it('lists clients of accepted requests alone', async () => {
    const certificate = await certificateFor(90);
    const claims = boundClaims(certificate, { client_id: 'alice' });
    const accepting = server(certificate, claims);
    await accepting.authorize(requestWith('token'));
    await accepting.authorize(requestWith('token'));
    expect(accepting.clientCertificates()).toMatchObject([
      { issuer, clientId: 'alice', thumbprint: certificate.thumbprint, daysLeft: 90 },
    ]);
    const refusing = server(certificate, { ...claims, cnf: { 'x5t#S256': 'A'.repeat(43) } });
    await expect(refusing.authorize(requestWith('token'))).rejects.toMatchObject({
      code: 'certificate_mismatch',
    });
    expect(refusing.clientCertificates()).toEqual([]);
  });

  it('has rows that a caller may change, and that become JSON without a token or a subject', async () => {
    const certificate = await certificateFor(90);
    const one = server(certificate, boundClaims(certificate, { client_id: 'alice' }));
    await one.authorize(requestWith('tok-3141592653'));
    const [row] = one.clientCertificates();
    row?.notAfter?.setTime(0);
    expect(JSON.parse(JSON.stringify(one.clientCertificates()))).toEqual([
      {
        issuer,
        clientId: 'alice',
        thumbprint: certificate.thumbprint,
        notAfter: '2026-05-30T12:00:00.000Z',
        daysLeft: 90,
        firstSeen: '2026-03-01T12:00:00.000Z',
        lastSeen: '2026-03-01T12:00:00.000Z',
        isReplaced: false,
      },
    ]);
  });

  it('keeps maxListedClients clients', async () => {
    const certificate = await certificateFor(90);
    let claims = boundClaims(certificate);
    const few = createResourceServer(
      optionsOver(
        pretendServer(() => claims),
        certificate,
        { maxListedClients: 1 },
      ),
    );
    made.push(few);
    for (const client_id of ['alice', 'bob']) {
      claims = boundClaims(certificate, { client_id });
      await few.authorize(requestWith(`token of ${client_id}`.replaceAll(' ', '-')));
    }
    expect(few.clientCertificates()).toMatchObject([{ clientId: 'bob' }]);
  });
});
