// Which clients use certificate-bound tokens and which do not, and that metrics count each request once.

import type { AdmittedEvent, RefusedEvent } from '@mtls-bound/core';
import {
  type ObservedClients,
  observeByPrometheus,
  observeClients,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import * as client from 'prom-client';
import supertest from 'supertest';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks } from '../../support/apis.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';
import { recordedEvents } from '../../support/recorded-events.js';

const admitted = recordedEvents<AdmittedEvent>('mtls-bound:admitted');
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');

let kit: TestKit;
let clients: ObservedClients;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});
beforeEach(() => {
  clients = observeClients();
});
afterEach(() => clients.end());

/** What the authorization server says of each token. */
const tokens: Record<string, () => object> = {
  bound: () => boundClaims(kit.certificate, { client_id: 'moved' }),
  other: () => boundClaims(kit.certificate, { client_id: 'thief', cnf: { 'x5t#S256': 'A'.repeat(43) } }),
  unbound: () => boundClaims(kit.certificate, { client_id: 'late', cnf: undefined }),
  nameless: () => boundClaims(kit.certificate, { client_id: undefined }),
  inactive: () => ({ active: false }),
};

async function send(
  framework: (typeof frameworks)[number],
  more: ResourceServerOptions,
  requests: [token: keyof typeof tokens, path?: string][],
) {
  const server = pretendServer((token) => tokens[token]?.() ?? { active: false });
  const { listener } = createApi(framework, optionsOver(server, kit.certificate, more));
  const statuses = [];
  for (const [token, path = '/'] of requests) {
    const { status } = await supertest(listener).get(path).set('Authorization', `Bearer ${token}`);
    statuses.push(status);
  }
  return { statuses, issuer: server.issuer };
}

describe.each(frameworks)('%s', (framework) => {
  it("binding: 'report' names the clients that are not ready", async () => {
    const { statuses, issuer } = await send(framework, { binding: 'report' }, [
      ['bound'],
      ['unbound'],
      ['unbound'],
      ['other'],
      ['nameless'],
      ['inactive'],
    ]);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 401]);
    const row = { issuer, bound: 0, unbound: 0, refused: 0, lastSeen: expect.any(Date) };
    const ready = { isReady: true, because: undefined };
    expect(clients.rows()).toEqual([
      { ...row, clientId: 'late', unbound: 2, isReady: false, because: 'token_unbound' },
      { ...row, clientId: 'thief', unbound: 1, isReady: false, because: 'certificate_mismatch' },
      { ...row, clientId: undefined, bound: 1, ...ready },
      { ...row, clientId: 'moved', bound: 1, ...ready },
    ]);
    expect(reported.map(({ clientId, refusal }) => [clientId, refusal.code])).toEqual([
      ['late', 'token_unbound'],
      ['late', 'token_unbound'],
      ['thief', 'certificate_mismatch'],
    ]);
    expect(admitted.map((event) => event.reported)).toEqual([
      undefined,
      'token_unbound',
      'token_unbound',
      'certificate_mismatch',
      undefined,
    ]);
  });

  it("binding: 'when-bound' shows who still sends unbound tokens", async () => {
    await send(framework, { binding: 'when-bound' }, [['unbound'], ['bound']]);
    expect(clients.rows()).toMatchObject([
      { clientId: 'late', unbound: 1, isReady: false, because: 'token_unbound' },
      { clientId: 'moved', bound: 1, isReady: true },
    ]);
  });

  it("binding: 'required' shows who is refused for it, and who for another reason", async () => {
    await send(framework, {}, [['unbound'], ['bound'], ['bound', '/payments']]);
    await send(framework, { audience: 'https://another.example.com' }, [['bound']]);
    expect(clients.rows()).toMatchObject([
      { clientId: 'late', refused: 1, isReady: false, because: 'token_unbound' },
      { clientId: 'moved', bound: 2, refused: 1, isReady: true, because: undefined },
    ]);
    const about = refused.map(({ stage, clientId, refusal }) => [stage, clientId, refusal.code]);
    expect(about).toEqual([
      ['request', 'late', 'token_unbound'],
      ['route', 'moved', 'scope_insufficient'],
      ['request', 'moved', 'token_wrong_audience'],
    ]);
  });

  it('a client that moved is ready from its first bound request on', async () => {
    let claims = tokens.unbound;
    const server = pretendServer(() => claims?.() ?? {});
    const options = optionsOver(server, kit.certificate, { binding: 'report' });
    const { listener } = createApi(framework, options);
    await supertest(listener).get('/').set('Authorization', 'Bearer first');
    expect(clients.rows()).toMatchObject([{ clientId: 'late', isReady: false }]);
    claims = () => boundClaims(kit.certificate, { client_id: 'late' });
    await supertest(listener).get('/').set('Authorization', 'Bearer second');
    expect(clients.rows()).toMatchObject([{ clientId: 'late', isReady: true, bound: 1, unbound: 1 }]);
  });

  it('mtls_bound_requests_total counts each request once, and a guard counts elsewhere', async () => {
    const registry = new client.Registry();
    const stop = observeByPrometheus(client, registry);
    await send(framework, { binding: 'report' }, [['bound'], ['unbound'], ['inactive']]);
    await send(framework, { binding: 'when-bound' }, [
      ['unbound'],
      ['bound', '/payments'],
      ['bound', '/active'],
    ]);
    const lines = (await registry.metrics()).split('\n');
    stop();
    expect(lines.filter((line) => /^mtls_bound_(requests|route_refusals)_total\{/.test(line)).sort()).toEqual(
      [
        'mtls_bound_requests_total{outcome="admitted",code="",bound="false"} 1',
        'mtls_bound_requests_total{outcome="admitted",code="",bound="true"} 3',
        'mtls_bound_requests_total{outcome="refused",code="token_inactive",bound=""} 1',
        'mtls_bound_requests_total{outcome="reported",code="token_unbound",bound="false"} 1',
        'mtls_bound_route_refusals_total{code="scope_insufficient"} 1',
      ],
    );
  });
});

it('forgets the client that was seen least recently when there are more than maxClients', async () => {
  const few = observeClients({ maxClients: 2 });
  await send('Express', { binding: 'report' }, [['bound'], ['unbound'], ['bound'], ['other']]);
  expect(few.rows().map(({ clientId }) => clientId)).toEqual(['thief', 'moved']);
  few.end();
  expect(few.rows()).toEqual([]);
});
