import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { jwtAccessTokens, type ResourceServerOptions } from '@mtls-bound/core';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks, startApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import {
  answer,
  type Behaviour,
  type FaultyServer,
  goodClaims,
  goodMetadata,
  startFaultyServer,
} from '../../support/faulty-server.js';
import { createPki, type Pki } from '../../support/pki.js';

let pki: Pki;
let server: FaultyServer;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});
beforeEach(async () => {
  server = await startFaultyServer(pki);
  server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));
  return () => server.close();
});
afterAll(() => vi.restoreAllMocks());

const options = (more: ResourceServerOptions = {}): ResourceServerOptions => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: 'a-secret',
  audience,
  floodGuard: false,
  ...more,
  http: { ca: pki.ca.cert, timeout: 2, ...more.http },
});

describe.each(frameworks)('%s', (framework) => {
  it('a metadata document that fails for good stops no introspection, and no request waits for it', async () => {
    const api = await startApi(
      framework,
      pki,
      options({
        authorizationServerMetadataMaxAge: 1,
        circuitBreaker: { maxFailures: 2, retryInterval: 0.1 },
        http: { maxConcurrent: 4 },
      }),
    );
    const status = async (token: string) =>
      (await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' })).status;
    try {
      expect(await status('first')).toBe(200);
      await sleep(1_100);
      // An outage of all of it opens both breakers, and only introspection comes back.
      const good = server.introspection;
      server.metadata = answer(503, '');
      server.introspection = answer(503, '');
      for (let i = 0; i < 4; i += 1) {
        expect(await status(`outage-${i}`)).toBe(503);
      }
      server.introspection = good;
      await vi.waitFor(async () => expect(await status(`probe-${randomUUID()}`)).toBe(200), {
        timeout: 5_000,
      });
      const statuses: number[] = [];
      for (let i = 0; i < 20; i += 1) {
        statuses.push(await status(`after-${i}`));
        await sleep(20);
      }
      expect(statuses).toEqual(Array.from({ length: 20 }, () => 200));
      // A document that never comes holds no place of the four.
      server.metadata = () => undefined;
      await sleep(1_100);
      const later: number[] = [];
      for (let i = 0; i < 5; i += 1) {
        later.push(await status(`later-${i}`));
      }
      expect(later).toEqual([200, 200, 200, 200, 200]);
    } finally {
      await api.close();
    }
  });

  const retry = { 'retry-after': '12' };
  const html = { 'content-type': 'text/html' };
  it.each<[string, 'metadata' | 'introspection' | 'keys', Behaviour, string, string | undefined]>([
    ['429', 'metadata', answer(429, '', retry), 'temporarily_unavailable', '12'],
    ['503', 'metadata', answer(503, '', retry), 'temporarily_unavailable', '12'],
    ['403', 'metadata', answer(403, ''), 'temporarily_unavailable', '5'],
    ['403 with Retry-After', 'metadata', answer(403, '', retry), 'temporarily_unavailable', '12'],
    ['404', 'metadata', answer(404, ''), 'server_error', undefined],
    ['429', 'keys', answer(429, '', retry), 'temporarily_unavailable', '12'],
    ['503', 'keys', answer(503, '', retry), 'temporarily_unavailable', '12'],
    ['429', 'introspection', answer(429, '', retry), 'temporarily_unavailable', '12'],
    [
      '403 in HTML',
      'introspection',
      answer(403, '<p>', { ...retry, ...html }),
      'temporarily_unavailable',
      '12',
    ],
    ['403 in JSON', 'introspection', answer(403, {}, retry), 'server_error', undefined],
    [
      '401 in HTML with a challenge',
      'introspection',
      answer(401, '<p>', { ...html, 'www-authenticate': 'Basic' }),
      'server_error',
      undefined,
    ],
  ])(
    '%s of %s: the client is told what to expect',
    async (_title, endpoint, behaviour, error, retryAfter) => {
      const isJwt = endpoint === 'keys';
      server.metadata =
        endpoint === 'metadata'
          ? behaviour
          : answer(200, { ...goodMetadata(server.issuer), jwks_uri: `${server.issuer}/jwks` });
      server.introspection = endpoint === 'metadata' ? server.introspection : behaviour;
      const api = await startApi(framework, pki, options(isJwt ? { tokens: jwtAccessTokens() } : {}));
      const token = isJwt ? await madeUpJwt(server.issuer) : 'a-token';
      try {
        const response = await call(pki, api, '/', pki.alice).auth(token, { type: 'bearer' });
        expect([response.status, response.body.error, response.headers['retry-after']]).toEqual([
          503,
          error,
          retryAfter,
        ]);
        expect(api.handled()).toBe(0);
      } finally {
        await api.close();
      }
    },
  );
});

function madeUpJwt(issuer: string): Promise<string> {
  return new SignJWT({ iss: issuer })
    .setProtectedHeader({ alg: 'HS256', kid: 'k', typ: 'at+jwt' })
    .sign(new Uint8Array(32))
    .then((jwt) => {
      const header = Buffer.from(JSON.stringify({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })).toString(
        'base64url',
      );
      return [header, ...jwt.split('.').slice(1)].join('.');
    });
}
