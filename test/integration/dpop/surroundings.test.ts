// What surrounds DPoP in an API: report mode, the FAPI profiles, guards, browsers, metrics.
import { createServer } from 'node:https';
import {
  type AdmittedEvent,
  observeByPrometheus,
  type ProblemEvent,
  type RefusedEvent,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import * as client from 'prom-client';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApi, frameworks, mutualTls, startApi, type TestApi } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import { dpopClient, type ProofChanges, proofOrigin } from '../../support/dpop-client.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let kit: TestKit;
const phone = dpopClient();
const stranger = dpopClient();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
const reported = recordedEvents<RefusedEvent>('mtls-bound:reported');
const admitted = recordedEvents<AdmittedEvent>('mtls-bound:admitted');
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

beforeAll(async () => {
  pki = await createPki();
  kit = await createTestKit();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  return () => vi.restoreAllMocks();
});

const tokenFor = (cnf: object | undefined = { jkt: phone.jkt }, scopes: string[] = []): string =>
  kit.unboundToken({ scopes, claims: cnf && { cnf } });

describe.each(frameworks)('%s', (framework) => {
  const dpop = { origin: proofOrigin };

  async function withApi<T>(options: ResourceServerOptions, use: (api: TestApi) => Promise<T>): Promise<T> {
    // Certificates come from TLS, not from the header of the kit.
    const { certificate: _, ...rest } = kit.options;
    const api = await startApi(framework, pki, { ...rest, dpop, ...options });
    try {
      return await use(api);
    } finally {
      await api.close();
    }
  }

  const send = (
    api: TestApi,
    token: string,
    {
      by = phone,
      path = '/',
      changes = {},
    }: { by?: typeof phone; path?: string; changes?: ProofChanges } = {},
  ) => {
    const claims = { htu: `${proofOrigin}${path}`, ...changes.claims };
    return call(pki, api, path)
      .set('Authorization', `DPoP ${token}`)
      .set('DPoP', by.proof(token, { ...changes, claims }));
  };

  describe("binding: 'report'", () => {
    const hour = 3_600;
    const now = Math.floor(Date.now() / 1000);
    it.each<[string, object | undefined, typeof phone, ProofChanges, string]>([
      ['a proof by another key', { jkt: phone.jkt }, stranger, {}, 'dpop_key_mismatch'],
      [
        'a proof of an hour ago',
        { jkt: phone.jkt },
        phone,
        { claims: { iat: now - hour } },
        'dpop_proof_untimely',
      ],
      [
        'a proof without ath',
        { jkt: phone.jkt },
        phone,
        { claims: { ath: undefined } },
        'dpop_proof_for_another',
      ],
      [
        'a forged proof',
        { jkt: phone.jkt },
        phone,
        { signer: stranger.privateKey },
        'dpop_signature_invalid',
      ],
      ['a token that is bound to nothing', undefined, phone, {}, 'dpop_token_unbound'],
    ])('%s is accepted as unbound, and reported', async (_, cnf, by, changes, code) => {
      await withApi({ binding: 'report' }, async (api) => {
        const token = cnf === undefined ? kit.unboundToken() : tokenFor(cnf);
        const { status, body } = await send(api, token, { by, changes });
        expect([status, body.isBound, body.keyThumbprint]).toEqual([200, false, undefined]);
        expect(reported.at(-1)?.refusal.code).toBe(code);
      });
    });

    const inStore = () => {
      const names = new Set<string>();
      return { add: async (name: string) => names.size < names.add(name).size };
    };
    it.each([
      ['', () => ({})],
      [' by the store', () => ({ store: inStore() })],
    ])('a right proof is accepted as bound; as a replay it is unbound, and reported%s', async (_, more) => {
      await withApi({ binding: 'report', dpop: { ...dpop, ...more() } }, async (api) => {
        const token = tokenFor();
        const changes = { claims: { jti: 'one' } };
        const before = reported.length;
        const first = await send(api, token, { changes });
        expect([first.status, first.body.isBound, first.body.keyThumbprint]).toEqual([200, true, phone.jkt]);
        expect(reported.length).toBe(before);
        const again = await send(api, token, { changes });
        expect([again.status, again.body.isBound, again.body.keyThumbprint]).toEqual([200, false, undefined]);
        expect(reported.slice(before).map(({ refusal }) => refusal.code)).toEqual(['dpop_proof_replayed']);
        expect(admitted.slice(-2)).toMatchObject([
          { isBound: true, keyThumbprint: phone.jkt, reported: undefined },
          { isBound: false, keyThumbprint: undefined, reported: 'dpop_proof_replayed' },
        ]);
      });
    });

    it('a proof that is only reported uses up no proof of the key that it names', async () => {
      const recorded: string[] = [];
      const store = { add: async (name: string) => !recorded.includes(name) && recorded.push(name) > 0 };
      await withApi({ binding: 'report', dpop: { ...dpop, store } }, async (api) => {
        const [ofPhone, ofStranger] = [tokenFor(), tokenFor({ jkt: stranger.jkt })];
        const changes = { claims: { jti: 'one' } };
        // Without the phone's private key, with any token of its own or with a stolen one.
        const forged = { ...changes, signer: stranger.privateKey };
        for (const [token, code] of [
          [ofStranger, 'dpop_key_mismatch'],
          [ofPhone, 'dpop_signature_invalid'],
          [kit.unboundToken(), 'dpop_token_unbound'],
        ] as const) {
          const { status, body } = await send(api, token, { changes: forged });
          expect([status, body.isBound]).toEqual([200, false]);
          expect(reported.at(-1)?.refusal.code).toBe(code);
        }
        expect(recorded).toEqual([]);
        const { body } = await send(api, ofPhone, { changes });
        expect([body.isBound, body.keyThumbprint]).toEqual([true, phone.jkt]);
        expect(recorded).toHaveLength(1);
      });
    });

    it('a replayed proof is unbound, though the token is bound to the certificate, too', async () => {
      await withApi({ binding: 'report' }, async (api) => {
        const token = tokenFor({ jkt: phone.jkt, 'x5t#S256': pki.alice.thumbprint });
        const proof = phone.proof(token);
        const bodies = [];
        for (let i = 0; i < 2; i += 1) {
          const request = call(pki, api, '/', pki.alice).set('Authorization', `DPoP ${token}`);
          bodies.push((await request.set('DPoP', proof)).body);
        }
        expect(bodies).toMatchObject([{ isBound: true, keyThumbprint: phone.jkt }, { isBound: false }]);
        expect(bodies[1]).not.toHaveProperty('keyThumbprint');
        expect(reported.map(({ refusal }) => refusal.code)).toEqual(['dpop_proof_replayed']);
      });
    });

    it('what is no fault of the client refuses as ever: a nonce, the store', async () => {
      const nonce = { secret: 'n'.repeat(32) };
      await withApi({ binding: 'report', dpop: { ...dpop, nonce } }, async (api) => {
        expect((await send(api, tokenFor())).body.error).toBe('use_dpop_nonce');
      });
      const store = { add: () => Promise.reject(new Error('away')) };
      await withApi({ binding: 'report', dpop: { ...dpop, store } }, async (api) => {
        expect((await send(api, tokenFor())).status).toBe(503);
      });
    });
  });

  describe('the FAPI profiles', () => {
    it('FAPI 2.0 takes either method', async () => {
      await withApi({ profile: 'fapi2-security' }, async (api) => {
        expect((await send(api, tokenFor())).status).toBe(200);
        const bound = tokenFor({ 'x5t#S256': pki.alice.thumbprint });
        const byCertificate = call(pki, api, '/', pki.alice).auth(bound, { type: 'bearer' });
        expect((await byCertificate).status).toBe(200);
        expect((await call(pki, api, '/').auth(bound, { type: 'bearer' })).status).toBe(401);
        expect((await send(api, tokenFor(), { by: stranger })).status).toBe(401);
      });
    });

    it('FAPI 2.0 refuses RS256 at start-up, and offers its own algorithms', async () => {
      const rs256 = { ...dpop, algorithms: ['RS256'] as const };
      expect(() => createApi(framework, { ...kit.options, profile: 'fapi2-security', dpop: rs256 })).toThrow(
        'dpop.algorithms',
      );
      await withApi({ profile: 'fapi2-security' }, async (api) => {
        const { headers } = await call(pki, api, '/');
        expect(headers['www-authenticate']).toBe(
          'Bearer realm="api", DPoP realm="api", algs="PS256 ES256 EdDSA Ed25519"',
        );
      });
    });

    it('FAPI 1.0 takes certificates alone', () => {
      expect(() => createApi(framework, { ...kit.options, profile: 'fapi1-advanced', dpop })).toThrow('dpop');
    });
  });

  it('guards answer under the scheme of the request', async () => {
    await withApi({}, async (api) => {
      const answer = await send(api, tokenFor(), { path: '/payments' });
      expect(answer.status).toBe(403);
      expect(answer.headers['www-authenticate']).toMatch(
        /^DPoP realm="api", error="insufficient_scope", .*scope="payments:write", algs="[^"]+", Bearer realm="api"$/,
      );
      const scoped = tokenFor({ jkt: phone.jkt }, ['payments:write']);
      expect((await send(api, scoped, { path: '/payments' })).status).toBe(200);
    });
  });

  it('a browser may read nonce and challenge where CORS exposes them, on 401 and 200', async () => {
    const { listener } = createApi(framework, {
      ...kit.options,
      dpop: { ...dpop, nonce: { secret: 'n'.repeat(32), maxAge: 30 } },
    });
    // As the page on DPoP says it, before mtlsBound().
    const server = createServer(mutualTls(pki), (req, res) => {
      res.setHeader('Access-Control-Allow-Origin', 'https://app.example.com');
      res.setHeader('Access-Control-Expose-Headers', 'DPoP-Nonce, WWW-Authenticate');
      if (req.method === 'OPTIONS') {
        res.setHeader('Access-Control-Allow-Headers', 'Authorization, DPoP').writeHead(204).end();
      } else {
        listener(req, res);
      }
    });
    const api = { url: `https://127.0.0.1:${await listen(server)}` } as TestApi;
    try {
      const token = tokenFor();
      const first = await send(api, token);
      const exposed = (first.headers['access-control-expose-headers'] as string).toLowerCase().split(', ');
      expect(first.status).toBe(401);
      for (const name of ['dpop-nonce', 'www-authenticate']) {
        expect(first.headers).toHaveProperty(name);
        expect(exposed).toContain(name);
      }
      const claims = { nonce: first.headers['dpop-nonce'] as string };
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 11_000 });
      const later = await send(api, token, { changes: { claims } });
      expect(later.status).toBe(200);
      expect(later.headers['access-control-allow-origin']).toBe('https://app.example.com');
      expect(later.headers).toHaveProperty('dpop-nonce');
    } finally {
      vi.useRealTimers();
      await close(server);
    }
  });

  it('refusals and a lost store are counted by their codes', async () => {
    client.register.clear();
    const stop = observeByPrometheus(client);
    const store = { add: () => Promise.reject(new Error('away')) };
    await withApi({ dpop: { ...dpop, store, onStoreFailure: 'accept' } }, async (api) => {
      const token = tokenFor();
      const changes = { claims: { jti: 'one' } };
      await send(api, token, { changes });
      await send(api, token, { changes });
      await send(api, token, { by: stranger });
    });
    const text = await client.register.metrics();
    stop();
    client.register.clear();
    expect(text).toMatch(/mtls_bound_requests_total\{[^}]*code="dpop_proof_replayed"[^}]*\} 1/);
    expect(text).toMatch(/mtls_bound_requests_total\{[^}]*code="dpop_key_mismatch"[^}]*\} 1/);
    expect(text).toMatch(/mtls_bound_requests_total\{[^}]*outcome="admitted"[^}]*\} 1/);
    expect(text).toMatch(/mtls_bound_problems_total\{code="dpop_store_failed"\} 1/);
    expect(problems.at(-1)?.message).toMatch(/^dpop\.store: .*; proofs are accepted once in each process$/);
    expect(refused.at(-1)?.explanation.hintCode).toBe('dpop_key_replaced');
  });
});
