// Whether this API can check tokens, before the first request asks it to.
import {
  createResourceServer,
  jwtAccessTokens,
  type ProblemEvent,
  type ResourceServer,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import request from 'supertest';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { answer, type FaultyServer, goodClaims, startFaultyServer } from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

const clientSecret = 'the-secret-of-the-client';

let pki: Pki;
let server: FaultyServer;
let api: ResourceServer;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});
beforeEach(async () => {
  server = await startFaultyServer(pki);
  server.introspection = answer(200, { active: false });
  api = createResourceServer(options());
  return async () => {
    await api.close();
    await server.close();
  };
});
afterAll(() => vi.restoreAllMocks());

const options = (more: expressMtls.ResourceServerOptions = {}): expressMtls.ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret,
  audience,
  http: { ca: pki.ca.cert, timeout: 5 },
  ...more,
});
const codeOf = (result: Promise<void>) =>
  result.then(
    () => 'ready',
    ({ code }: { code: string }) => code,
  );

describe('ready()', () => {
  it('resolves once the server says that a made-up token is not active', async () => {
    await expect(api.ready()).resolves.toBeUndefined();
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.body).toMatch(/token=[\w-]{43}/);
  });

  it('asks once for calls at the same time, and not again soon after a success', async () => {
    await Promise.all([api.ready(), api.ready()]);
    await api.ready();
    expect(server.requests).toHaveLength(1);
  });

  it('asks another made-up token after 10 seconds, and after a failure at once', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      await api.ready();
      vi.advanceTimersByTime(10_001);
      server.introspection = answer(401, {});
      expect(await codeOf(api.ready())).toBe('authorization_server_refused_credentials');
      server.introspection = answer(200, { active: false });
      expect(await codeOf(api.ready())).toBe('ready');
    } finally {
      vi.useRealTimers();
    }
    expect(new Set(server.requests.map(({ body }) => body)).size).toBe(3);
  });

  it.each<[string, () => void, string]>([
    [
      'our secret is wrong',
      () => {
        server.introspection = answer(401, { error: 'invalid_client' });
      },
      'authorization_server_refused_credentials',
    ],
    [
      'a made-up token is called active',
      () => {
        server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
      },
      'authorization_server_unsuitable',
    ],
    [
      'the metadata says another issuer',
      () => {
        server.metadata = answer(200, { issuer: 'https://other.example.com' });
      },
      'authorization_server_issuer_mismatch',
    ],
    [
      'the server fails',
      () => {
        server.introspection = answer(500, 'trouble');
      },
      'authorization_server_failed',
    ],
  ])('rejects where %s, and tells the operator', async (_title, spoil, code) => {
    spoil();
    expect(await codeOf(api.ready())).toBe(code);
    expect(problems.at(-1)?.code).toBe(code);
    expect(JSON.stringify(problems)).not.toContain(clientSecret);
  });

  it('rejects where nothing listens', async () => {
    await server.close();
    expect(await codeOf(api.ready())).toBe('authorization_server_unreachable');
  });

  it('rejects after close()', async () => {
    await api.close();
    expect(await codeOf(api.ready())).toBe('shutting_down');
  });

  it.each([
    ['a key', { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y' }] }, 200, 'ready'],
    ['no answer', {}, 404, 'authorization_server_failed'],
  ])('with jwtAccessTokens() fetches the keys: %s', async (_title, keys, status, outcome) => {
    server.introspection = answer(status, keys);
    const metadata = { jwks_uri: `${server.issuer}/jwks` };
    const jwts = createResourceServer(
      options({ tokens: jwtAccessTokens(), authorizationServerMetadata: metadata }),
    );
    expect(await codeOf(jwts.ready())).toBe(outcome);
    expect(server.requests.map(({ url }) => url)).toEqual(['/jwks']);
    await jwts.close();
  });

  it('asks nothing of a token source of the user that has no ready, and asks one that has', async () => {
    const kit = await createTestKit();
    await expect(createResourceServer(kit.options).ready()).resolves.toBeUndefined();
    const ready = () => Promise.reject(new Error('not yet'));
    const tokens = () => Object.assign(async () => 'token_inactive' as never, { ready });
    expect(await codeOf(createResourceServer({ ...kit.options, tokens }).ready())).toBe('internal_error');
  });
});

describe.each(frameworks)('%s: a route for a probe', (framework) => {
  it.each([
    [{ active: false }, 200, 204],
    [{ error: 'invalid_client' }, 401, 503],
  ])('where the authorization server answers %j: %s', async (body, status, expected) => {
    server.introspection = answer(status, body);
    const { listener, close } = framework === 'Express' ? expressProbe() : koaProbe();
    const response = await request(listener).get('/ready');
    expect(response.status).toBe(expected);
    expect(response.text).toBe(expected === 204 ? '' : 'authorization_server_refused_credentials');
    await close();
  });
});

function expressProbe() {
  const app = express();
  const guard = expressMtls.mtlsBound(options());
  app.get('/ready', async (_req, res) => {
    await guard.resourceServer.ready().then(
      () => res.sendStatus(204),
      ({ code }) => res.status(503).send(code),
    );
  });
  app.use(guard);
  return { listener: app, close: () => guard.resourceServer.close() };
}

function koaProbe() {
  const app = new Koa();
  const guard = koaMtls.mtlsBound(options());
  app.use(async (ctx, next) => {
    if (ctx.path !== '/ready') {
      await next();
      return;
    }
    await guard.resourceServer.ready().then(
      () => {
        ctx.status = 204;
      },
      ({ code }) => {
        ctx.status = 503;
        ctx.body = code;
      },
    );
  });
  app.use(guard);
  return { listener: app.callback(), close: () => guard.resourceServer.close() };
}
