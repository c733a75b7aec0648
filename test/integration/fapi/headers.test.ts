import { createServer } from 'node:https';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import type supertest from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import { frameworks, type Listener, mutualTls, serve, type TestApi } from '../../support/apis.js';
import { audience } from '../../support/audience.js';
import { call } from '../../support/calls.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { recordedEvents } from '../../support/recorded-events.js';
import { challengeOf, expectRefusal } from '../../support/refusals.js';
import { useFaultyServer } from '../../support/suites.js';

type Options = expressMtls.ResourceServerOptions;

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();
const refused = recordedEvents<expressMtls.RefusedEvent>('mtls-bound:refused');
vi.spyOn(console, 'error').mockImplementation(() => undefined);
server.introspection = answer(200, goodClaims(server.issuer, pki.alice.thumbprint));

const options = (more: Options = {}): Options => ({
  issuer: server.issuer,
  clientId: 'api',
  clientSecret: 'secret',
  audience,
  cache: { maxAge: 0 },
  http: { ca: pki.ca.cert, timeout: 0.5 },
  ...more,
});

const id = '3F2504E0-4F89-41D3-9A0C-0305E82C3301';
const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** An API with the routes `/` (answers with what was read) and `/thrown` (its handler throws). */
async function start(
  framework: (typeof frameworks)[number],
  {
    headers = {},
    more = {},
    metadata = false,
  }: { headers?: object; more?: Options; metadata?: boolean } = {},
): Promise<TestApi> {
  let listener: Listener;
  if (framework === 'Express') {
    const app = express();
    const guard = expressMtls.mtlsBound(options(more));
    app.use(expressMtls.fapiHeaders(headers));
    if (metadata) {
      app.use(expressMtls.protectedResourceMetadata(guard));
    }
    app.use(guard);
    app.use((req, res) => {
      if (req.path === '/thrown') {
        throw new Error('of the handler');
      }
      res.json(req.fapi);
    });
    listener = app as Listener;
  } else {
    const app = new Koa();
    app.silent = true;
    const guard = koaMtls.mtlsBound(options(more));
    app.use(koaMtls.fapiHeaders(headers) as Koa.Middleware);
    if (metadata) {
      app.use(koaMtls.protectedResourceMetadata(guard));
    }
    app.use(guard as Koa.Middleware);
    app.use((ctx) => {
      if (ctx.path === '/thrown') {
        throw new Error('of the handler');
      }
      ctx.body = ctx.state.fapi;
    });
    listener = app.callback() as Listener;
  }
  return serve(createServer(mutualTls(pki), listener), () => 0);
}

describe.each(frameworks)('%s: fapiHeaders()', (framework) => {
  async function answers(
    send: (api: TestApi) => supertest.Test,
    setup: Parameters<typeof start>[1] = {},
  ): Promise<supertest.Response> {
    const api = await start(framework, setup);
    try {
      return await send(api);
    } finally {
      await api.close();
    }
  }
  const good = (api: TestApi, path = '/') => call(pki, api, path, pki.alice).auth('t', { type: 'bearer' });

  it.each<[string, number, (api: TestApi) => supertest.Test, Options?]>([
    ['success', 200, (api) => good(api)],
    ['no credentials', 401, (api) => call(pki, api, '/', pki.alice)],
    ['another certificate', 401, (api) => call(pki, api, '/', pki.bob).auth('t', { type: 'bearer' })],
    ['a malformed request', 400, (api) => call(pki, api, '/', pki.alice).set('authorization', 'Bearer a b')],
    ['a certificate that is refused', 403, (api) => good(api), { certificatePolicy: { issuer: 'CN=x' } }],
    ['trouble', 503, (api) => good(api), { issuer: 'https://127.0.0.1:9' }],
    ['an error of the handler', 500, (api) => good(api, '/thrown')],
  ])(
    'R148 R149: the answer to %s has the id of the request or a new one, and Date',
    async (_title, status, send, more = {}) => {
      const echoed = await answers((api) => send(api).set('x-fapi-interaction-id', id), { more });
      expect([echoed.status, echoed.headers['x-fapi-interaction-id']]).toEqual([status, id]);
      expect(Math.abs(Date.parse(echoed.headers.date ?? '') - Date.now())).toBeLessThan(5_000);
      const made = await answers((api) => send(api), { more });
      expect(made.status).toBe(status);
      expect(made.headers['x-fapi-interaction-id']).toMatch(uuid);
    },
  );

  it('R150: a malformed id is replaced, and refused with 400 where one is required', async () => {
    const send = (api: TestApi) => good(api).set('x-fapi-interaction-id', '<script>');
    const replaced = await answers(send);
    expect([replaced.status, replaced.body.interactionId]).toEqual([200, expect.stringMatching(uuid)]);
    expect(replaced.headers['x-fapi-interaction-id']).toBe(replaced.body.interactionId);
    const refusal = await answers(send, { headers: { interactionId: 'required' } });
    await expectRefusal(refusal, { status: 400, error: 'invalid_request' });
    expect(refusal.headers['x-fapi-interaction-id']).toMatch(uuid);
  });

  it('R150: a required id that is missing gives 400, and one that is sent is accepted', async () => {
    const headers = { interactionId: 'required' };
    await expectRefusal(await answers((api) => good(api), { headers }), {
      status: 400,
      error: 'invalid_request',
    });
    const accepted = await answers((api) => good(api).set('x-fapi-interaction-id', id), { headers });
    expect([accepted.status, accepted.body.interactionId]).toEqual([200, id]);
  });

  it('R149: the id goes to the authorization server and into the event of a refusal', async () => {
    await answers((api) => good(api).set('x-fapi-interaction-id', id));
    expect(server.requests.at(-1)?.headers['x-fapi-interaction-id']).toBe(id);
    await answers((api) =>
      call(pki, api, '/', pki.bob).auth('t', { type: 'bearer' }).set('x-fapi-interaction-id', id),
    );
    expect(refused.at(-1)?.interactionId).toBe(id);
  });

  it('R151: the handler gets the address of the customer and the date of the login', async () => {
    const sent = {
      'x-fapi-customer-ip-address': '198.51.100.119',
      'x-fapi-auth-date': 'Tue, 11 Sep 2012 19:43:31 GMT',
    };
    const { body } = await answers((api) => good(api).set(sent));
    expect(body).toEqual({
      interactionId: expect.stringMatching(uuid),
      customerIpAddress: '198.51.100.119',
      authDate: '2012-09-11T19:43:31.000Z',
    });
  });
});

describe.each(frameworks)('%s: protectedResourceMetadata()', (framework) => {
  const resourceMetadata = {
    resource: 'https://api.example.com/v1',
    scopesSupported: ['accounts:read'],
    members: { resource_name: 'Accounts' },
  };

  it('R128 R129 R130 R131 R132 R135: the document is at its path, without a token or a certificate', async () => {
    const api = await start(framework, { more: { resourceMetadata }, metadata: true });
    try {
      const response = await call(pki, api, '/.well-known/oauth-protected-resource/v1');
      expect(response.status).toBe(200);
      expect(response.headers['content-type']).toMatch(/^application\/json/);
      expect(response.headers['cache-control']).toBe('public, max-age=3600');
      expect(response.body).toEqual({
        resource: 'https://api.example.com/v1',
        authorization_servers: [server.issuer],
        bearer_methods_supported: ['header'],
        scopes_supported: ['accounts:read'],
        tls_client_certificate_bound_access_tokens: true,
        resource_name: 'Accounts',
      });
      expect((await call(pki, api, '/.well-known/oauth-protected-resource')).status).toBe(401);
    } finally {
      await api.close();
    }
  });

  it('R128 R130: the document of a resource without a path has only the members that are configured', async () => {
    const more: Options = {
      resourceMetadata: { resource: 'https://api.example.com/' },
      binding: 'when-bound',
    };
    const api = await start(framework, { more, metadata: true });
    try {
      const response = await call(pki, api, '/.well-known/oauth-protected-resource?x');
      expect(response.body).toEqual({
        resource: 'https://api.example.com/',
        authorization_servers: [server.issuer],
        bearer_methods_supported: ['header'],
        tls_client_certificate_bound_access_tokens: false,
      });
    } finally {
      await api.close();
    }
  });

  it('R133 R134: challenges point to the document, whatever Host says', async () => {
    const api = await start(framework, { more: { resourceMetadata }, metadata: true });
    try {
      for (const request of [
        call(pki, api, '/'),
        call(pki, api, '/', pki.bob).auth('t', { type: 'bearer' }),
      ]) {
        const response = await request.set('host', 'localhost');
        const challenge = await challengeOf(response.headers['www-authenticate'] ?? '');
        expect(challenge.resource_metadata).toBe(
          'https://api.example.com/.well-known/oauth-protected-resource/v1',
        );
      }
    } finally {
      await api.close();
    }
  });

  it('a wrong resourceMetadata is refused at start-up', async () => {
    await expect(start(framework, { more: { resourceMetadata: {} as never } })).rejects.toThrow(
      'resourceMetadata.resource: ',
    );
  });

  it('protectedResourceMetadata() is refused at start-up without the option resourceMetadata', async () => {
    await expect(start(framework, { metadata: true })).rejects.toThrow(
      'resourceMetadata: expected { resource }, got nothing',
    );
  });
});

it.each(frameworks)('%s: fapiHeaders() refuses a wrong option', async (framework) => {
  await expect(start(framework, { headers: { interactionId: 'maybe' } })).rejects.toThrow(
    'fapiHeaders().interactionId: ',
  );
});
