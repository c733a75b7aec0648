import {
  type Authorization,
  introspection,
  jwtAccessTokens,
  type ProblemEvent,
  RequestRefused,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../support/authorization-server.js';
import { call } from '../../support/calls.js';
import {
  answer,
  type FaultyServer,
  goodClaims,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { generateP256 } from '../../support/key-pairs.js';
import { mismatch } from '../../support/mismatch.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { expectRefusal } from '../../support/refusals.js';

let pki: Pki;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});

describe.each(frameworks)('%s', (framework) => {
  async function withApi<T>(
    options: ResourceServerOptions,
    run: (status: (path: string, token: string) => Promise<number>) => Promise<T>,
  ): Promise<T> {
    const api = await startApi(framework, pki, {
      audience,
      http: { ca: pki.ca.cert, timeout: 0.5 },
      ...options,
    });
    try {
      return await run(
        async (path, token) => (await call(pki, api, path, pki.alice).auth(token, { type: 'bearer' })).status,
      );
    } finally {
      await api.close();
    }
  }

  describe('R62: with introspection(), of a real authorization server', () => {
    let server: TestAuthorizationServer;
    beforeAll(async () => {
      server = await startAuthorizationServer(pki);
    });
    afterAll(() => server?.stop());

    it('a revoked token is refused at once on such a route, and from then on everywhere', async () => {
      const { alice } = testClients(pki);
      const token = await server.token(alice);
      const options = { issuer: server.issuer, clientId: 'api', clientSecret: server.secrets.api };
      await withApi(options, async (status) => {
        expect([await status('/', token), await status('/active', token)]).toEqual([200, 200]);
        await server.revoke(alice, token);
        // The route without the guard still stands on what is remembered.
        expect(await status('/', token)).toBe(200);
        expect(await status('/active', token)).toBe(401);
        expect(await status('/', token)).toBe(401);
      });
    });

    it('each request is asked about, beside the one introspection that is remembered', async () => {
      const token = await server.token(testClients(pki).alice);
      const options = { issuer: server.issuer, clientId: 'api', clientSecret: server.secrets.api };
      const before = server.introspections();
      await withApi(options, async (status) => {
        for (let i = 0; i < 3; i += 1) {
          expect(await status('/active', token)).toBe(200);
        }
      });
      expect(server.introspections() - before).toBe(4);
    });
  });

  describe('R121: with jwtAccessTokens({ introspection: introspection() })', () => {
    const { privateKey, publicKey } = generateP256();
    let server: FaultyServer;
    let says: object;
    beforeAll(async () => {
      server = await startFaultyServer(pki);
      server.metadata = answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });
      const keys = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }] };
      server.introspection = (req, ...rest) =>
        req.url === '/jwks' ? answer(200, keys)(req, ...rest) : answer(200, says)(req, ...rest);
    });
    afterAll(() => server?.close());
    beforeEach(() => {
      says = goodClaims(server.issuer, pki.alice.thumbprint);
    });

    const options = (): ResourceServerOptions => ({
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'secret',
      tokens: jwtAccessTokens({ introspection: introspection() }),
    });
    const jwt = () => {
      const { active, token_type, ...claims } = goodClaims(server.issuer, pki.alice.thumbprint);
      return new SignJWT({ ...claims, jti: '1' })
        .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
        .sign(privateKey);
    };

    it.each<[string, () => object, number]>([
      ['active', () => says, 200],
      ['inactive', () => ({ active: false }), 401],
      ['of another certificate', () => goodClaims(server.issuer, pki.bob.thumbprint), 401],
      ['of another audience', () => goodClaims(server.issuer, pki.alice.thumbprint, { aud: 'x' }), 401],
      ['of no boolean', () => ({ active: 'true' }), 503],
    ])('the server says %s: on the guarded route that counts', async (_title, answered, expected) => {
      const token = await jwt();
      await withApi(options(), async (status) => {
        says = answered();
        expect(await status('/', token)).toBe(200);
        expect(await status('/active', token)).toBe(expected);
      });
    });

    it('without it the route is our own trouble, and the event says what to set', async () => {
      const api = await startApi(framework, pki, {
        ...options(),
        audience,
        http: { ca: pki.ca.cert },
        tokens: jwtAccessTokens(),
      });
      try {
        const response = await call(pki, api, '/active', pki.alice).auth(await jwt(), { type: 'bearer' });
        await expectRefusal(response, { status: 503, error: 'server_error', retryAfter: null });
        expect(problems.at(-1)?.message).toContain(
          'requireActive() needs jwtAccessTokens({ introspection: introspection() })',
        );
      } finally {
        await api.close();
      }
    });

    it('it needs a client id, and says so at start-up', async () => {
      const { clientId, clientSecret, ...rest } = options();
      await expect(startApi(framework, pki, { audience, ...rest })).rejects.toThrow(
        mismatch('clientId', 'nothing, and the environment variable MTLS_BOUND_CLIENT_ID is not set'),
      );
    });

    it('R188: guard() runs a policy of one’s own, which throws or rejects', async () => {
      const seen: Authorization[] = [];
      const policies = [
        ({ authorization }: { authorization: Authorization }) => {
          seen.push(authorization);
        },
        () => {
          throw new RequestRefused('scope_insufficient', { scope: 'x' });
        },
        () => Promise.reject(new RequestRefused('certificate_refused')),
        () => {
          throw new Error('of the policy');
        },
      ];
      const statuses = [];
      for (const policy of policies) {
        const api = await startApi(
          framework,
          pki,
          { ...options(), audience, http: { ca: pki.ca.cert } },
          policy,
        );
        try {
          const response = await call(pki, api, '/policy', pki.alice).auth(await jwt(), { type: 'bearer' });
          statuses.push(response.status);
          expect(api.handled()).toBe(response.status === 200 ? 1 : 0);
        } finally {
          await api.close();
        }
      }
      expect(statuses).toEqual([200, 403, 403, 503]);
      expect(seen.map(({ clientId }) => clientId)).toEqual(['alice']);
    });

    it('a guard before mtlsBound() lets nothing pass', async () => {
      await withApi(options(), async (status) => {
        expect(await status('/unguarded', await jwt())).toBe(503);
      });
    });
  });
});
