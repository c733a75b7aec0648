import { createHash } from 'node:crypto';
import type { ProblemEvent, ResourceServerOptions, RevocationChannel } from '@mtls-bound/core';
import { createResourceServer } from '@mtls-bound/core';
import { describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience, testClients } from '../../support/authorization-server.js';
import { call, post } from '../../support/calls.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { expectRefusal } from '../../support/refusals.js';
import { useAuthorizationServer } from '../../support/suites.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useAuthorizationServer();
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const secret = 'a secret of at least 32 characters';

const options = (more: ResourceServerOptions = {}): ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: server.secrets.api,
  audience,
  http: { ca: pki.ca.cert },
  ...more,
});

const hash = (token: string) => createHash('sha256').update(token).digest('base64url');

describe.each(frameworks)('%s: revocationEndpoint()', (framework) => {
  it.each<[string, (token: string) => Record<string, string>, string]>([
    ['token', (token) => ({ token, token_type_hint: 'access_token' }), '/revocations'],
    ['token_hash', (token) => ({ token_hash: hash(token) }), '/revocations'],
    ['sub', () => ({ sub: 'alice' }), '/revocations'],
    ['client_id', () => ({ client_id: 'alice' }), '/revocations'],
    ['x5t#S256', () => ({ 'x5t#S256': pki.alice.thumbprint }), '/revocations'],
    ['token, after a form parser', (token) => ({ token }), '/parsed/revocations'],
  ])('by %s: the token is not let in any more', async (_title, form, path) => {
    const { alice, revoker } = testClients(pki);
    const [token, authority] = [await server.token(alice), await server.token(revoker)];
    const api = await startApi(framework, pki, options());
    const status = async () => (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
    try {
      expect(await status()).toBe(200);
      await server.revoke(alice, token);
      expect(await status()).toBe(200);
      const claims = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
      const named = form(token);
      if ('sub' in named && claims.body.subject === undefined) {
        // oidc-provider names no sub for the client credentials grant.
        return;
      }
      const response = await post(pki, api, path, pki.proxy)
        .auth(authority, { type: 'bearer' })
        .type('form')
        .send(named);
      expect([response.status, response.text]).toEqual([200, '']);
      expect(response.headers['cache-control']).toBe('no-store');
      expect(await status()).toBe(401);
    } finally {
      await api.close();
    }
  });

  it('only with a token that is bound, and grants the scope', async () => {
    const { alice, revoker } = testClients(pki);
    const [ofAlice, ofRevoker] = [await server.token(alice), await server.token(revoker)];
    const api = await startApi(framework, pki, options());
    const send = (token: string, identity = pki.proxy, path = '/revocations') =>
      post(pki, api, path, identity)
        .auth(token, { type: 'bearer' })
        .type('form')
        .send({ client_id: 'alice' });
    try {
      await expectRefusal(await send(ofAlice, pki.alice), {
        status: 403,
        error: 'insufficient_scope',
        scope: 'tokens:revoke',
      });
      await expectRefusal(await send(ofRevoker, pki.alice), { status: 401, error: 'invalid_token' });
      expect((await send(ofRevoker, pki.proxy, '/unguarded/revocations')).status).toBe(503);
      expect((await send(ofRevoker)).status).toBe(200);
    } finally {
      await api.close();
    }
  });

  it.each<[string, string, string | object]>([
    ['nothing', 'application/x-www-form-urlencoded', ''],
    ['two things', 'application/x-www-form-urlencoded', 'token=a&client_id=b'],
    ['the same twice', 'application/x-www-form-urlencoded', 'token=a&token=b'],
    ['an empty value', 'application/x-www-form-urlencoded', 'token='],
    ['an unknown parameter', 'application/x-www-form-urlencoded', 'everything=1'],
    ['a name of every object', 'application/x-www-form-urlencoded', 'constructor=1'],
    ['JSON', 'application/json', '{"token":"a"}'],
    ['a type that only begins as that of a form', 'application/x-www-form-urlencodedx', 'token=a'],
    ['a value that is no UTF-8', 'application/x-www-form-urlencoded', 'sub=%FF'],
    ['too much', 'application/x-www-form-urlencoded', `token=${'a'.repeat(70_000)}`],
  ])('%s is 400', async (_title, type, body) => {
    const api = await startApi(framework, pki, options());
    const authority = await server.token(testClients(pki).revoker);
    try {
      const response = await post(pki, api, '/revocations', pki.proxy)
        .auth(authority, { type: 'bearer' })
        .type(type)
        .send(body as string);
      await expectRefusal(response, { status: 400, error: 'invalid_request' });
    } finally {
      await api.close();
    }
  });

  it.each([
    ['a value that is no UTF-8', 'sub=%FF'],
    ['a form without anything', '&&'],
  ])('%s is 400 after a parser too', async (_title, form) => {
    const api = await startApi(framework, pki, options());
    const authority = await server.token(testClients(pki).revoker);
    try {
      const response = await post(pki, api, '/parsed/revocations', pki.proxy)
        .auth(authority, { type: 'bearer' })
        .type('form')
        .send(form);
      await expectRefusal(response, { status: 400, error: 'invalid_request' });
    } finally {
      await api.close();
    }
  });

  it('503 with Retry-After when the others may not have heard of it (RFC 7009 §2.2.1); here it holds', async () => {
    const { alice, revoker } = testClients(pki);
    const channel: RevocationChannel = {
      publish: () => Promise.reject(new Error('no way')),
      subscribe: async () => async () => undefined,
    };
    const api = await startApi(framework, pki, options({ revocations: { channel, secret } }));
    const [token, authority] = [await server.token(alice), await server.token(revoker)];
    const status = async () => (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
    try {
      expect(await status()).toBe(200);
      await server.revoke(alice, token);
      const response = await post(pki, api, '/revocations', pki.proxy)
        .auth(authority, { type: 'bearer' })
        .type('form')
        .send({ token });
      await expectRefusal(response, { status: 503, error: 'temporarily_unavailable' });
      expect(problems.at(-1)?.message).toContain('revocations.channel: Error; it holds in this process');
      expect(await status()).toBe(401);
    } finally {
      await api.close();
    }
  });
});

describe('resourceServer.revoke()', () => {
  it.each([[undefined], [{}], ['token'], [{ token: '' }], [{ token: 7 }], [{ token: 'a', subject: 'b' }]])(
    'takes nothing like %j',
    async (given) => {
      const resourceServer = createResourceServer(options());
      await expect(resourceServer.revoke(given as never)).rejects.toThrow('revoke() takes one of { token }');
    },
  );

  it('a message that was not sealed with our secret, or is played back, counts for nothing', async () => {
    const sent: string[] = [];
    const listeners: ((message: string) => void)[] = [];
    const hear = (message: string) => listeners[0]?.(message);
    const channel: RevocationChannel = {
      publish: async (message) => sent.push(message),
      subscribe: async ({ message }) => {
        listeners.push(message);
        return async () => undefined;
      },
    };
    const { alice } = testClients(pki);
    const token = await server.token(alice);
    const api = await startApi('Koa', pki, options({ revocations: { channel, secret } }));
    const introspections = async () => {
      expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(200);
      return server.introspections(token);
    };
    try {
      const first = await introspections();
      hear('garbage');
      hear('');
      expect(await introspections()).toBe(first);
      expect(problems.map(({ code }) => code)).toContain('revocation_not_ours');
      const another = createResourceServer(options({ revocations: { channel, secret } }));
      await another.revoke({ token });
      // The others say no more than that their sender is there.
      const message = sent.at(-1) ?? '';
      expect(message).not.toContain(token);
      vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 400_000);
      hear(message);
      vi.mocked(Date.now).mockRestore();
      expect(await introspections()).toBe(first);
      hear(message);
      expect((await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status).toBe(401);
      await another.close();
    } finally {
      await api.close();
    }
  });
});
