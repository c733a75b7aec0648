import { setTimeout as sleep } from 'node:timers/promises';
import { clientSecretPost } from '@mtls-bound/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Framework, startApi, type TestApi } from '../../support/apis.js';
import { audience, testClients } from '../../support/authorization-server.js';
import { call, rawCall } from '../../support/calls.js';
import { expectRefusal } from '../../support/refusals.js';
import { useAuthorizationServer } from '../../support/suites.js';

const { pki, server } = await useAuthorizationServer();
let clients: ReturnType<typeof testClients>;

clients = testClients(pki);

const everyFramework: Framework[] = ['Express', 'Express 4', 'Koa', 'Koa 2'];

describe.each(everyFramework)('%s answers, with a real authorization server', (framework) => {
  let api: TestApi;
  beforeAll(async () => {
    api = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: server.secrets.api,
      audience,
      http: { ca: pki.ca.cert },
    });
  });
  afterAll(() => api?.close());

  /** Expects that nothing behind the middleware runs and how often the authorization server is asked meanwhile. */
  async function refused(run: () => Promise<void>, introspections: number): Promise<void> {
    const before = { handled: api.handled(), asked: server.introspections() };
    await run();
    expect(api.handled()).toBe(before.handled);
    expect(server.introspections() - before.asked).toBe(introspections);
  }

  it.each(['alice', 'aliceEc', 'bob', 'selfSignedRsa', 'selfSignedEc'] as const)(
    'R2 R18 R76: 200 for %s with its own certificate, and the handler sees a frozen authorization',
    async (name) => {
      const client = clients[name];
      const token = await server.token(client);
      const response = await call(pki, api, '/', client.identity).auth(token, { type: 'bearer' });
      expect(response.status).toBe(200);
      expect(response.body).toMatchObject({
        frozen: true,
        clientId: client.clientId,
        scopes: ['accounts:read', 'payments:write'],
        certificate: { thumbprint: client.identity.thumbprint },
        claims: { active: true, cnf: { 'x5t#S256': client.identity.thumbprint } },
      });
      expect(new Date(response.body.expiresAt).getTime()).toBe(response.body.claims.exp * 1000);
    },
  );

  it('S1 R86 R87: 401 and no error code without credentials', () =>
    refused(async () => {
      await expectRefusal(await call(pki, api, '/', pki.alice), { status: 401 });
    }, 0));

  it('S2: 401 and no error code for another scheme', () =>
    refused(async () => {
      const response = await call(pki, api, '/', pki.alice).set('Authorization', 'Basic YTpi');
      await expectRefusal(response, { status: 401 });
    }, 0));

  it('S3 R91 R92: 400 invalid_request for malformed credentials', () =>
    refused(async () => {
      const response = await call(pki, api, '/', pki.alice).set('Authorization', 'Bearer a b');
      await expectRefusal(response, { status: 400, error: 'invalid_request' });
    }, 0));

  it('S4 R80: 400 invalid_request for two Authorization lines, though the first is good', async () => {
    const token = await server.token(clients.alice);
    const line = `Authorization: Bearer ${token}`;
    await refused(async () => {
      const { status, head } = await rawCall(pki, api, [line, line], pki.alice);
      expect(status).toBe(400);
      expect(head).toContain('error="invalid_request"');
    }, 0);
    expect((await rawCall(pki, api, [line], pki.alice)).status).toBe(200);
  });

  it('S6 R40: 401 invalid_token for a token that the server does not know', () =>
    refused(async () => {
      const response = await call(pki, api, '/', pki.alice).auth('made-up-token', { type: 'bearer' });
      await expectRefusal(response, { status: 401, error: 'invalid_token' });
    }, 1));

  it('S6: 401 invalid_token for a revoked token', async () => {
    const token = await server.token(clients.alice);
    await server.revoke(clients.alice, token);
    await refused(async () => {
      const response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
      await expectRefusal(response, { status: 401, error: 'invalid_token' });
    }, 1);
  });

  it('S6 R57: 401 invalid_token once the token has expired, though it was cached before', async () => {
    const token = await server.token(clients.hasty);
    const { status, body } = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
    expect(status).toBe(200);
    await sleep(Date.parse(body.expiresAt) - Date.now() + 100);
    await refused(async () => {
      const response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
      await expectRefusal(response, { status: 401, error: 'invalid_token' });
    }, 1);
  });

  it('S6 R51: 401 invalid_token for a token meant for another API', async () => {
    const token = await server.token({ ...clients.alice, resource: 'https://other.example.com' });
    await refused(async () => {
      const response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
      await expectRefusal(response, { status: 401, error: 'invalid_token' });
    }, 1);
  });

  it('S7 R3: 401 invalid_token for a stolen token with another certificate', async () => {
    const token = await server.token(clients.alice);
    await refused(async () => {
      const response = await call(pki, api, '/', pki.bob).auth(token, { type: 'bearer' });
      await expectRefusal(response, { status: 401, error: 'invalid_token' });
    }, 1);
  });

  it('S8 R4: 401 invalid_token without a certificate, and the server is not asked', async () => {
    const token = await server.token(clients.alice);
    await refused(async () => {
      const response = await call(pki, api, '/').auth(token, { type: 'bearer' });
      await expectRefusal(response, { status: 401, error: 'invalid_token' });
    }, 0);
  });

  it('S9 R12: 401 invalid_token for a token that is bound to nothing', async () => {
    const token = await server.token(clients.unbound);
    await refused(async () => {
      const response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
      await expectRefusal(response, { status: 401, error: 'invalid_token' });
    }, 1);
  });

  it('S10 R91 R97: 403 insufficient_scope names the scope that is missing', async () => {
    const token = await server.token({ ...clients.alice, scope: 'accounts:read' });
    expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
    await refused(async () => {
      await expectRefusal(await call(pki, api, '/payments', pki.alice).auth(token, { type: 'bearer' }), {
        status: 403,
        error: 'insufficient_scope',
        scope: 'payments:write',
      });
      await expectRefusal(await call(pki, api, '/both', pki.alice).auth(token, { type: 'bearer' }), {
        status: 403,
        error: 'insufficient_scope',
        scope: 'accounts:read payments:write',
      });
    }, 0);
  });

  it('200 on a route whose scopes the token has', async () => {
    const token = await server.token(clients.alice);
    expect((await call(pki, api, '/payments', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
    expect((await call(pki, api, '/both', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
  });

  it('the binding is looked at before the scope: a thief learns nothing of scopes', async () => {
    const token = await server.token({ ...clients.alice, scope: 'accounts:read' });
    const response = await call(pki, api, '/payments', pki.bob).auth(token, { type: 'bearer' });
    await expectRefusal(response, { status: 401, error: 'invalid_token' });
  });

  it('a guard without mtlsBound() before it lets nothing pass: 503', async () => {
    const token = await server.token(clients.alice);
    await refused(async () => {
      const response = await call(pki, api, '/unguarded', pki.alice).auth(token, { type: 'bearer' });
      await expectRefusal(response, { status: 503, error: 'server_error', retryAfter: null });
    }, 0);
  });

  it('S13 R190: 503 with Retry-After while the authorization server is down, and 200 when it is back', async () => {
    const token = await server.token(clients.alice);
    await server.stop();
    try {
      await refused(async () => {
        const response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
        await expectRefusal(response, { status: 503, error: 'temporarily_unavailable' });
      }, 0);
    } finally {
      await server.start();
    }
    expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
  });

  it('S14 R44: 503 and no invalid_token when the authorization server refuses our own credentials', async () => {
    const token = await server.token(clients.alice);
    const misconfigured = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId: 'api',
      clientSecret: 'not the secret',
      audience,
      http: { ca: pki.ca.cert },
    });
    try {
      const response = await call(pki, misconfigured, '/', pki.alice).auth(token, { type: 'bearer' });
      await expectRefusal(response, { status: 503, error: 'server_error', retryAfter: null });
      expect(misconfigured.handled()).toBe(0);
    } finally {
      await misconfigured.close();
    }
  });

  it("R12: binding 'when-bound' lets an unbound token pass, with and without a certificate, and no stolen one", async () => {
    const migrating = await startApi(framework, pki, {
      issuer: server.issuer,
      clientId: 'api-post',
      clientAuthentication: clientSecretPost(server.secrets['api-post']),
      audience,
      binding: 'when-bound',
      http: { ca: pki.ca.cert },
    });
    try {
      const unbound = await server.token(clients.unbound);
      const bound = await server.token(clients.alice);
      expect((await call(pki, migrating, '/').auth(unbound, { type: 'bearer' })).status).toBe(200);
      expect((await call(pki, migrating, '/', pki.bob).auth(unbound, { type: 'bearer' })).status).toBe(200);
      expect((await call(pki, migrating, '/', pki.alice).auth(bound, { type: 'bearer' })).status).toBe(200);
      for (const identity of [pki.bob, undefined]) {
        const response = await call(pki, migrating, '/', identity).auth(bound, { type: 'bearer' });
        await expectRefusal(response, { status: 401, error: 'invalid_token' });
      }
    } finally {
      await migrating.close();
    }
  });
});
