// The authorization server is asked about a JWT that was verified here: what either says counts, and the answer replaces nothing that the
// JWT says of its binding, its time or its scopes.
import {
  type ClientCertificate,
  introspection,
  jwtAccessTokens,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { type GuardedApi, guardedApi } from '../../support/guarded-api.js';
import { MemoryLog } from '../../support/memory-log.js';
import { boundClaims } from '../../support/pretend-server.js';

const issuer = 'https://as.example.com';
const secret = 'a secret of at least 32 characters';
let alice: TestKit;
let bob: TestKit;
let keys: Awaited<ReturnType<typeof generateKeyPair>>;
let jwks: object;
let answer: object;
let asked = 0;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  [alice, bob, keys] = await Promise.all([
    createTestKit({ issuer }),
    createTestKit({ issuer }),
    generateKeyPair('ES256'),
  ]);
  jwks = { keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256', use: 'sig' }] };
});
beforeEach(() => {
  asked = 0;
});

const fetch = async (url: unknown): Promise<Response> => {
  if (String(url).endsWith('/keys')) {
    return Response.json(jwks);
  }
  if (String(url).endsWith('/introspect')) {
    asked += 1;
    return Response.json(answer);
  }
  return Response.json({
    issuer,
    jwks_uri: `${issuer}/keys`,
    introspection_endpoint: `${issuer}/introspect`,
    tls_client_certificate_bound_access_tokens: true,
  });
};

const now = () => Math.floor(Date.now() / 1000);
const jwt = (claims: Record<string, unknown> = {}) =>
  new SignJWT({ ...boundClaims(alice.certificate), iss: issuer, iat: now() - 200, jti: 'jwt-1', ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt' })
    .sign(keys.privateKey);

/** What an authorization server answers that leaves out each optional member. */
const bare = { active: true };

interface Way {
  readonly path: string;
  /** Undefined without a log. */
  readonly log?: () => MemoryLog;
}

const unreadLog = () => Object.assign(new MemoryLog(), { failure: new Error('the log is away') });
const ways: [string, Way][] = [
  ['from before the log of revocations began', { path: '/', log: () => new MemoryLog() }],
  ['while the log of revocations is not read', { path: '/', log: unreadLog }],
  ['on a route with requireActive()', { path: '/active' }],
];

describe.each(frameworks)('%s', (framework) => {
  describe.each(ways)('a JWT %s', (_way, { path, log }) => {
    let api: GuardedApi | undefined;
    afterEach(async () => {
      vi.useRealTimers();
      await api?.server.close();
      api = undefined;
    });

    const start = (options: ResourceServerOptions = {}): GuardedApi => {
      const certificates: Record<string, ClientCertificate> = {
        alice: alice.certificate,
        bob: bob.certificate,
      };
      api = guardedApi(framework, {
        issuer,
        audience,
        clientId: 'api',
        clientSecret: 'a-client-secret',
        certificate: ({ headers }) => certificates[String(headers['x-client'])],
        floodGuard: false,
        http: { fetch: fetch as typeof globalThis.fetch },
        tokens: jwtAccessTokens({ introspection: introspection() }),
        ...(log && { revocations: { log: log(), secret, maxWait: 0.05 } }),
        ...options,
      });
      return api;
    };
    const outcome = async (guarded: GuardedApi, token: string, client = 'alice') => {
      const { status, body } = await guarded.answer(token, path, { 'x-client': client });
      return { status, body };
    };

    it.each(['required', 'when-bound'] as const)(
      'stays bound to its certificate, with an answer without cnf and the binding %s',
      async (binding) => {
        answer = bare;
        const guarded = start({ binding });
        const token = await jwt();
        expect(await outcome(guarded, token)).toMatchObject({ status: 200, body: { isBound: true } });
        for (const client of ['bob', 'without a certificate']) {
          expect((await outcome(guarded, token, client)).status).toBe(401);
        }
        expect(asked).toBeGreaterThan(0);
      },
    );

    it('that is bound to nothing passes for the holder of the certificate in the answer alone', async () => {
      answer = { ...bare, cnf: { 'x5t#S256': alice.certificate.thumbprint } };
      const guarded = start({ binding: 'when-bound' });
      const token = await jwt({ cnf: undefined });
      const statuses = [];
      for (const client of ['alice', 'bob']) {
        statuses.push((await outcome(guarded, token, client)).status);
      }
      expect(statuses).toEqual([200, 401]);
    });

    it('differs from an opaque token, which is refused; introspection() alone accepts both', async () => {
      answer = { ...bare, ...boundClaims(alice.certificate) };
      const byJwt = start();
      expect((await outcome(byJwt, 'opaque')).status).toBe(401);
      expect((await outcome(byJwt, await jwt())).status).toBe(200);
      await byJwt.server.close();
      const byIntrospection = start({ tokens: introspection() });
      for (const token of ['opaque', await jwt()]) {
        expect((await outcome(byIntrospection, token)).status).toBe(200);
      }
    });

    it('ends at its exp, with an answer without exp', async () => {
      answer = bare;
      const guarded = start({ clockTolerance: 0 });
      const exp = now() + 20;
      const token = await jwt({ exp });
      const { status, body } = await outcome(guarded, token);
      expect([status, body.expiresAt]).toEqual([200, new Date(exp * 1000).toISOString()]);
      vi.useFakeTimers({ toFake: ['Date'], now: exp * 1000 });
      expect((await outcome(guarded, token)).status).toBe(401);
    });

    it.each<[string, () => object, string]>([
      ['an exp that is earlier', () => ({ exp: now() - 60 }), 'exp'],
      ['an nbf that is to come', () => ({ nbf: now() + 600 }), 'nbf'],
      ['the cnf of another certificate', () => boundTo(bob), 'cnf'],
      ['a further method in cnf', () => ({ cnf: { jkt: 'key' } }), 'cnf'],
      ['another audience', () => ({ aud: 'https://other.example.com' }), 'aud'],
      ['another subject', () => ({ sub: 'another' }), 'sub'],
      ['another client', () => ({ client_id: 'another' }), 'client_id'],
      ['another jti', () => ({ jti: 'another' }), 'jti'],
      ['another token_type', () => ({ token_type: 'DPoP' }), 'token_type'],
      ['active: false', () => ({ active: false }), 'active'],
    ])('is refused by an answer with %s', async (_title, changes) => {
      answer = { ...bare, ...changes() };
      const guarded = start();
      expect((await outcome(guarded, await jwt())).status).toBe(401);
      expect(asked).toBeGreaterThan(0);
    });

    it.each<[string, object, object, string[]]>([
      ['no scope', {}, { scope: 'read write' }, ['read', 'write']],
      ['more scopes', { scope: 'read everything' }, { scope: 'read' }, ['read']],
      ['fewer scopes', { scope: 'read' }, { scope: 'read write' }, ['read']],
      ['other scopes', { scope: 'everything' }, { scope: 'read' }, []],
      ['an empty scope', { scope: '' }, { scope: 'read' }, []],
    ])(
      'has the scopes that both name, with %s in the answer',
      async (_title, inAnswer, inToken, expected) => {
        answer = { ...bare, ...inAnswer };
        const { status, body } = await outcome(start(), await jwt({ ...inToken }));
        expect([status, body.scopes, body.claims.scope]).toEqual([200, expected, expected.join(' ')]);
      },
    );
  });
});

function boundTo({ certificate }: TestKit): object {
  return { cnf: { 'x5t#S256': certificate.thumbprint } };
}
