import type { ResourceServerOptions } from '@mtls-bound/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import {
  answer,
  type Behaviour,
  type FaultyServer,
  goodClaims,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';

let pki: Pki;
let server: FaultyServer;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});
beforeEach(async () => {
  server = await startFaultyServer(pki);
  return () => server.close();
});
afterAll(() => vi.restoreAllMocks());

const options = (): ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: 'a-secret',
  audience,
  floodGuard: { address: false },
  http: { ca: pki.ca.cert, timeout: 60, maxConcurrent: 24 },
});

async function status(api: TestApi, token: string, identity?: Identity): Promise<number> {
  const response = await call(pki, api, '/', identity).auth(token, { type: 'bearer' });
  return response.status;
}

/** What a rate limit, or a firewall that dislikes a token, does to a question. */
const refusals: [string, Behaviour][] = [
  ['429 and asks for a rest', answer(429, '', { 'retry-after': '10' })],
  ['502', answer(502, '')],
  ['no answer: the connection is closed', (_req, res) => res.destroy()],
];

/** Who sends made-up tokens: a client without certificate has to be let as far as the token. */
const senders: [string, () => Identity | undefined, Partial<ResourceServerOptions>][] = [
  ['a client', () => pki.alice, {}],
  ['a client without certificate', () => undefined, { binding: 'when-bound' }],
];
const cases = senders.flatMap(([who, sender, changes]) =>
  refusals.map(([what, refuse]) => [`${who}, ${what}`, { sender, changes, refuse }] as const),
);

describe.each(frameworks)('%s', (framework) => {
  it('a client whose tokens get no answer takes no place from others', async () => {
    const held: (() => void)[] = [];
    server.introspection = (req, res, body) => {
      if (body.includes('bad-')) {
        held.push(() => answer(200, { active: false })(req, res, body));
      } else {
        answer(200, goodClaims(server.issuer, pki.bob.thumbprint))(req, res, body);
      }
    };
    const api = await startApi(framework, pki, options());
    try {
      const madeUp = Array.from({ length: 60 }, (_, index) => status(api, `bad-${index}`, pki.alice));
      await vi.waitFor(() => expect(held.length).toBeGreaterThan(0), 20_000);
      for (let turn = 0; turn < 20; turn += 1) {
        expect(await status(api, `bob-${turn}`, pki.bob)).toBe(200);
      }
      // Half of http.maxConcurrent.
      expect(held).toHaveLength(12);
      server.introspection = answer(200, { active: false });
      for (const end of held) {
        end();
      }
      expect(new Set(await Promise.all(madeUp))).toEqual(new Set([401]));
    } finally {
      await api.close();
    }
  });

  it.each(cases)(
    '%s: a client whose tokens are answered so shuts out itself alone',
    async (_title, { sender, changes, refuse }) => {
      server.introspection = (req, res, body) => {
        const isBobs = new URLSearchParams(body).get('token')?.startsWith('bob') === true;
        const behave = isBobs ? answer(200, goodClaims(server.issuer, pki.bob.thumbprint)) : refuse;
        behave(req, res, body);
      };
      const api = await startApi(framework, pki, { ...options(), ...changes });
      try {
        for (let turn = 0; turn < 20; turn += 1) {
          const madeUp = Array.from({ length: 10 }, (_, index) =>
            status(api, `bad-${turn}-${index}`, sender()),
          );
          expect(new Set(await Promise.all(madeUp))).toEqual(new Set([503]));
          expect(await status(api, `bob-${turn}`, pki.bob)).toBe(200);
        }
        const aboutMadeUp = server.requests.filter(({ body }) => body.includes('bad-'));
        // The allowance is 100, and a connection that broke is tried twice.
        expect(aboutMadeUp.length).toBeLessThanOrEqual(210);
      } finally {
        await api.close();
      }
    },
  );

  it('a question that is asked again counts once', async () => {
    server.introspection = (_req, res) => res.destroy();
    const api = await startApi(framework, pki, options());
    try {
      for (let turn = 0; turn < 6; turn += 1) {
        expect(await status(api, `bad-${turn}`, pki.alice)).toBe(503);
      }
      // Five questions fail (`circuitBreaker.maxFailures`). The fifth is not asked again, the sixth not at all.
      const asked = server.requests.filter(({ body }) => body.includes('bad-'));
      const tokens = asked.map(({ body }) => new URLSearchParams(body).get('token'));
      expect(tokens.toSorted()).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4].map((turn) => `bad-${turn}`));
    } finally {
      await api.close();
    }
  });

  it('clients without certificate and address share one allowance; a client with a certificate has its own', async () => {
    server.introspection = (req, res, body) => {
      const isBobs = body.includes('bob');
      answer(200, isBobs ? goodClaims(server.issuer, pki.bob.thumbprint) : { active: false })(req, res, body);
    };
    const api = await startApi(framework, pki, { ...options(), binding: 'when-bound' });
    try {
      const statuses: number[] = [];
      for (let turn = 0; turn < 150; turn += 1) {
        statuses.push(await status(api, `bad-${turn}`));
      }
      expect(statuses.slice(0, 100)).toEqual(Array(100).fill(401));
      expect(statuses).toContain(429);
      expect(await status(api, 'bob', pki.bob)).toBe(200);
    } finally {
      await api.close();
    }
  });
});
