import net from 'node:net';
import tls from 'node:tls';
import type { BreakerEvent } from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience, testClients } from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import { close, listen } from '../../support/loopback.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useAuthorizationServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useAuthorizationServer();
const breakers = recordedEvents<BreakerEvent>('mtls-bound:breaker');

/** Stands before the server. After `failOver()` it knows none of the connections that it had, as a host that takes over an address. */
async function startFailover(fate: 'reset' | 'silence') {
  const target = new URL(server.issuer);
  let known = new Set<net.Socket>();
  let forgotten = new Set<net.Socket>();
  const sockets = new Set<net.Socket>();
  const proxy = net.createServer((client) => {
    const upstream = net.connect(Number(target.port), target.hostname);
    known.add(client);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => client.destroy() && upstream.destroy());
    }
    client.on('data', (chunk) => {
      if (!forgotten.has(client)) {
        upstream.write(chunk);
      } else if (fate === 'reset') {
        client.resetAndDestroy();
      }
    });
    upstream.on('data', (chunk) => setTimeout(() => client.writable && client.write(chunk), 30));
  });
  const port = await listen(proxy);
  return {
    endpoint: `https://127.0.0.1:${port}/token/introspection`,
    connections: () => known.size,
    failOver() {
      forgotten = known;
      known = new Set();
    },
    async close() {
      for (const socket of sockets) {
        socket.destroy();
      }
      await close(proxy);
    },
  };
}

describe.each(frameworks)('%s', (framework) => {
  it.each([
    ['reset, maxFailures: 2', 'reset', 0, 2],
    // The retry must not meet a breaker that the broken connection opened.
    ['reset, maxFailures: 1', 'reset', 0, 1],
    // All that were asked about before the first timeout; here one after the other.
    ['silence, maxFailures: 2', 'silence', 1, 2],
  ] as const)(
    '%s: the breaker stays closed when kept-alive connections die',
    async (_title, fate, expected, maxFailures) => {
      const failover = await startFailover(fate);
      const api = await startApi(framework, pki, {
        issuer: server.issuer,
        authorizationServerMetadata: { introspection_endpoint: failover.endpoint },
        clientId: 'api',
        clientSecret: server.secrets.api,
        audience,
        http: { ca: pki.ca.cert, timeout: 2 },
        circuitBreaker: { maxFailures },
      });
      try {
        const { alice } = testClients(pki);
        const tokens = await Promise.all(Array.from({ length: 20 }, () => server.token(alice)));
        const status = async (token: string) =>
          (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
        await Promise.all(tokens.slice(0, 10).map(status));
        expect(failover.connections()).toBeGreaterThan(5);
        failover.failOver();
        const statuses: number[] = [];
        for (const token of tokens.slice(10)) {
          statuses.push(await status(token));
        }
        expect(statuses.filter((one) => one !== 200)).toEqual(Array.from({ length: expected }, () => 503));
        // A burst over whatever is in the pool now.
        failover.failOver();
        if (fate === 'reset') {
          const others = await Promise.all(Array.from({ length: 10 }, () => server.token(alice)));
          expect(await Promise.all(others.map(status))).toEqual(Array.from({ length: 10 }, () => 200));
        }
        expect(breakers).toEqual([]);
      } finally {
        await api.close();
        await failover.close();
      }
    },
  );
});

it.each([
  ['of an unknown authority', false],
  ['for another host', true],
])('a certificate %s costs one handshake a question', async (_title, trusted) => {
  const { cert, key } = pki.alice;
  let connections = 0;
  const untrusted = tls.createServer({ cert, key }).on('connection', () => {
    connections += 1;
  });
  untrusted.on('tlsClientError', () => undefined);
  const port = await listen(untrusted);
  const issuer = `https://127.0.0.1:${port}`;
  const api = await startApi('Express', pki, {
    issuer,
    authorizationServerMetadata: { introspection_endpoint: `${issuer}/introspect` },
    clientId: 'api',
    clientSecret: 'a-secret',
    audience,
    ...(trusted && { http: { ca: pki.ca.cert } }),
  });
  try {
    const response = await call(pki, api, '/', pki.alice).auth('a-token', { type: 'bearer' });
    expect([response.status, connections]).toEqual([503, 1]);
  } finally {
    await api.close();
    await close(untrusted);
  }
});
