import { type RefusedEvent, type ResourceServerOptions, tlsSocket } from '@mtls-bound/core';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import type { Identity } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { useFaultyServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

beforeEach(() => {
  // A token says by its name whose it is: bad-..., alice-..., bob-...
  server.introspection = (req, res, body) => {
    const token = new URLSearchParams(body).get('token') ?? '';
    const thumbprint = token.startsWith('bob') ? pki.bob.thumbprint : pki.alice.thumbprint;
    const says = token.startsWith('bad') ? { active: false } : goodClaims(server.issuer, thumbprint);
    answer(200, says)(req, res, body);
  };
});

describe.each(frameworks)('%s', (framework) => {
  async function withApi(
    options: ResourceServerOptions,
    run: (
      send: (token: string, identity: Identity, headers?: Record<string, string>) => Promise<Sent>,
    ) => Promise<void>,
  ): Promise<void> {
    const api = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'secret',
      audience,
      http: { ca: pki.ca.cert },
      ...options,
    });
    try {
      await run(async (token, identity, headers = {}) => {
        const response = await call(pki, api, '/', identity).set(headers).auth(token, { type: 'bearer' });
        return { status: response.status, retryAfter: response.headers['retry-after'], body: response.body };
      });
    } finally {
      await api.close();
    }
  }

  it('a client that sends made-up tokens gets 429 for unknown ones, while its known ones and other clients pass', async () => {
    await withApi({ floodGuard: { allowance: 5, window: 300, address: false } }, async (send) => {
      expect((await send('alice-1', pki.alice)).status).toBe(200);
      const asked = server.requests.length;
      const statuses = [];
      for (let i = 0; i < 8; i += 1) {
        statuses.push((await send(`bad-${i}`, pki.alice)).status);
      }
      expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
      expect(server.requests.length - asked).toBe(5);
      const limited = await send('alice-2', pki.alice);
      expect(limited.status).toBe(429);
      expect(limited.body.error).toBe('too_many_requests');
      // A token comes back every 60 seconds.
      expect(Number(limited.retryAfter)).toBeGreaterThan(50);
      expect(Number(limited.retryAfter)).toBeLessThanOrEqual(60);
      expect((await send('alice-1', pki.alice)).status).toBe(200);
      expect((await send('bob-1', pki.bob)).status).toBe(200);
      expect(refused.at(-1)?.refusal.code).toBe('too_many_rejected_tokens');
    });
  });

  it('a client is not refused for the flood of another one that sends its token', async () => {
    const values = new Map<string, string>();
    const store = {
      // Slow enough that both requests are on their way at once.
      get: (name: string) => new Promise((resolve) => setTimeout(resolve, 20, values.get(name))),
      set: async (name: string, value: string) => values.set(name, value),
    };
    const sharedCache = { store, secret: 'a secret of at least 32 characters' };
    const floodGuard = { allowance: 2, window: 300, address: false } as const;
    await withApi({ floodGuard, sharedCache }, async (send) => {
      for (const token of ['bad-1', 'bad-2']) {
        expect((await send(token, pki.bob)).status).toBe(401);
      }
      for (let turn = 0; turn < 5; turn += 1) {
        const [thief, alice] = await Promise.all([
          send(`alice-${turn}`, pki.bob),
          send(`alice-${turn}`, pki.alice),
        ]);
        expect([429, 401]).toContain(thief.status);
        expect(alice.status).toBe(200);
      }
    });
  });

  it('another certificate does not help a client whose own connection the API sees', async () => {
    await withApi({ floodGuard: { allowance: 3, window: 3_600 }, certificate: tlsSocket() }, async (send) => {
      const certificates = [pki.alice, pki.bob, pki.aliceEc, pki.selfSignedEc, pki.selfSignedRsa];
      const statuses = [];
      for (const [index, identity] of certificates.entries()) {
        statuses.push((await send(`bad-b${index}`, identity)).status);
      }
      expect(statuses).toEqual([401, 401, 401, 429, 429]);
    });
  });

  it('health checks can be exempt, and the guard can be switched off', async () => {
    const exempt = (req: { headers: { [name: string]: unknown } }) => req.headers['x-probe'] === 'ours';
    await withApi({ floodGuard: { allowance: 1, window: 3_600, exempt } }, async (send) => {
      const statuses = [];
      for (let i = 0; i < 3; i += 1) {
        statuses.push((await send(`bad-c${i}`, pki.alice, { 'x-probe': 'ours' })).status);
      }
      expect((await send('bad-d0', pki.alice)).status).toBe(401);
      statuses.push((await send('bad-d1', pki.alice)).status);
      expect(statuses).toEqual([401, 401, 401, 429]);
    });
    await withApi({ floodGuard: false }, async (send) => {
      const statuses = await Promise.all(Array.from({ length: 150 }, (_, i) => send(`bad-e${i}`, pki.alice)));
      expect(new Set(statuses.map(({ status }) => status))).toEqual(new Set([401]));
    });
  }, 120_000);

  it.each<[string, object, string]>([
    ['exempt', async () => false, 'the option floodGuard.exempt returned a promise'],
    ['address', async () => '192.0.2.1', 'the option floodGuard.address returned a promise'],
    ['address', () => 7, 'the option floodGuard.address returned neither a string nor undefined'],
  ])('a wrong answer of floodGuard.%s gives 503, and the event says why', async (name, hook, why) => {
    await withApi({ floodGuard: { [name]: hook } }, async (send) => {
      expect((await send('alice-wrong', pki.alice)).status).toBe(503);
      expect(refused.at(-1)?.refusal.detail).toContain(why);
    });
  });

  it.each([
    ['500', answer(500, '')],
    ['a firewall’s 403 in HTML', answer(403, '<html></html>', { 'content-type': 'text/html' })],
    ['nonsense', answer(200, 'nonsense')],
  ])('%s: tokens that the server answers so cost as many questions as inactive ones', async (_what, says) => {
    await withApi({ floodGuard: { allowance: 2, window: 3_600, address: false } }, async (send) => {
      const good = server.introspection;
      server.introspection = says;
      const asked = server.requests.length;
      const statuses = [];
      for (let i = 0; i < 5; i += 1) {
        statuses.push((await send(`bad-f${i}`, pki.alice)).status);
      }
      expect(statuses).toEqual([503, 503, 503, 503, 503]);
      expect(server.requests.length - asked).toBeLessThanOrEqual(3);
      expect(refused.at(-1)?.refusal.code).toBe('authorization_server_not_asked');
      expect(refused.at(-1)?.refusal.detail).toContain('floodGuard.allowance');
      server.introspection = good;
      expect((await send('bob-f', pki.bob)).status).toBe(200);
    });
  });
});

interface Sent {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: { error?: string };
}
