// The token source of the user's own that the page shows, in both adapters.
import type { ClientCertificate, RefusedEvent } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import * as expressMtls from 'express-mtls';
import * as koaMtls from 'koa-mtls';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { type GuardedApi, guardedApi } from '../../support/guarded-api.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { pageOptions } from './page-options.js';

const page = 'docs/reference/authorization-servers/own-check.md';
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
let alice: TestKit;
let bob: TestKit;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  [alice, bob] = await Promise.all([createTestKit(), createTestKit()]);
});

/** As Authlete answers about a token that it knows. */
const known = (changes: object = {}) => ({
  type: 'introspectionResponse',
  resultCode: 'A056001',
  resultMessage: '[A056001] The access token is valid.',
  action: 'OK',
  clientId: 4326385670,
  clientIdAlias: 'alice',
  subject: '1001',
  scopes: ['accounts:read', 'payments:write'],
  existent: true,
  usable: true,
  sufficient: true,
  refreshable: false,
  expiresAt: Date.now() + 600_000,
  accessTokenResources: ['https://api.example.com'],
  certificateThumbprint: alice.certificate.thumbprint,
  ...changes,
});

const unknown = {
  resultCode: 'A057301',
  action: 'UNAUTHORIZED',
  existent: false,
  usable: false,
  clientId: 0,
  expiresAt: 0,
};

interface Sent {
  readonly url: string;
  readonly token: unknown;
  readonly authorization: string | null;
}

describe.each(frameworks)('%s', (framework) => {
  let api: GuardedApi;
  let answer: () => Response;
  let sent: Sent[];
  beforeEach(() => {
    sent = [];
    answer = () => Response.json(known());
    const certificates: Record<string, ClientCertificate> = {
      alice: alice.certificate,
      bob: bob.certificate,
    };
    const options = pageOptions(
      page,
      "Authlete's own check",
      framework === 'Express' ? expressMtls : koaMtls,
      { 'process.env.API_TOKEN': "'an-api-token'" },
    );
    api = guardedApi(framework, {
      ...options,
      certificate: ({ headers }) => certificates[String(headers['x-client'])],
      http: {
        fetch: (async (url: unknown, request: RequestInit) => {
          sent.push({
            url: String(url),
            token: JSON.parse(String(request.body)).token,
            authorization: new Headers(request.headers).get('authorization'),
          });
          return answer();
        }) as typeof globalThis.fetch,
      },
    });
  });
  afterEach(() => api.server.close());

  const ask = async (client = 'alice', path = '/') => {
    const { status, body } = await api.answer('a-token', path, { 'x-client': client });
    return { status, code: status < 400 ? '' : refused.at(-1)?.refusal.code, body };
  };

  it('a good client is accepted, and the next request is answered from the cache', async () => {
    const { status, body } = await ask();
    expect(status).toBe(200);
    expect(body).toMatchObject({
      clientId: '4326385670',
      subject: '1001',
      scopes: ['accounts:read', 'payments:write'],
      isBound: true,
    });
    expect((await ask()).status).toBe(200);
    expect(sent).toEqual([
      {
        url: 'https://api.authlete.com/api/auth/introspection',
        token: 'a-token',
        authorization: 'Bearer an-api-token',
      },
    ]);
  });

  it('a stolen token is refused, also from the cache', async () => {
    expect(await ask('bob')).toMatchObject({ status: 401, code: 'certificate_mismatch' });
    expect((await ask()).status).toBe(200);
    expect(await ask('bob')).toMatchObject({ status: 401, code: 'certificate_mismatch' });
  });

  it.each<[string, () => object, number, string]>([
    ['an unbound token', () => known({ certificateThumbprint: null }), 401, 'token_unbound'],
    ['an unknown token', () => unknown, 401, 'token_inactive'],
    ['a token that lacks a scope', () => known({ action: 'FORBIDDEN' }), 401, 'token_inactive'],
    [
      'a token of another API',
      () => known({ accessTokenResources: ['https://other.example.com'] }),
      401,
      'token_wrong_audience',
    ],
    ['a token of no API', () => known({ accessTokenResources: null }), 401, 'token_wrong_audience'],
    ['an expired token', () => known({ expiresAt: Date.now() - 100_000 }), 401, 'token_expired'],
    [
      'a token that is not usable',
      () => known({ usable: false }),
      503,
      'authorization_server_invalid_answer',
    ],
    [
      'trouble at the server',
      () => ({ ...unknown, action: 'INTERNAL_SERVER_ERROR' }),
      503,
      'authorization_server_invalid_answer',
    ],
    ['an answer without action', () => ({}), 503, 'authorization_server_invalid_answer'],
  ])('%s', async (_title, given, status, code) => {
    answer = () => Response.json(given());
    expect(await ask()).toMatchObject({ status, code });
  });

  it('an error status, and no JSON, are trouble and not cached', async () => {
    answer = () => new Response('', { status: 500 });
    expect(await ask()).toMatchObject({ status: 503, code: 'authorization_server_invalid_answer' });
    answer = () => new Response('<html>');
    expect(await ask()).toMatchObject({ status: 503, code: 'internal_error' });
    answer = () => Response.json(known());
    expect((await ask()).status).toBe(200);
  });

  it('requireActive() asks again', async () => {
    await ask();
    expect((await ask('alice', '/active')).code).toBe('');
    expect(sent).toHaveLength(2);
    answer = () => Response.json(unknown);
    expect(await ask('alice', '/active')).toMatchObject({ status: 401, code: 'token_inactive' });
  });

  it('after a revocation of the subject the server is asked again', async () => {
    await ask();
    await api.server.revoke({ subject: '1001' });
    expect((await ask()).status).toBe(200);
    expect(sent).toHaveLength(2);
  });
});
