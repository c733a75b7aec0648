// Each refusal is one event, one line of the log and one count of the metric, also where no mtlsBound() decides.
import {
  observeByLog,
  observeByPrometheus,
  observeEvents,
  type ResourceServerOptions,
} from '@mtls-bound/core';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import * as client from 'prom-client';
import request from 'supertest';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createApi, type Framework, type Listener } from '../../support/apis.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) {
    end();
  }
});

const options = (more: ResourceServerOptions = {}) =>
  optionsOver(
    pretendServer(() => boundClaims(kit.certificate, { scope: 'tokens:revoke' })),
    kit.certificate,
    more,
  );
const deaf = {
  secret: 'a secret of at least thirty-two characters',
  channel: {
    publish: () => Promise.reject(new Error('away')),
    subscribe: async () => async () => undefined,
  },
};

const withFapiHeaders: Record<Framework, () => Listener> = {
  Express: () => expressWithFapi(express),
  'Express 4': () => expressWithFapi(express4),
  Koa: () => koaWithFapi(Koa),
  'Koa 2': () => koaWithFapi(Koa2),
};

function expressWithFapi(framework: typeof express): Listener {
  const app = framework();
  app.use(expressMtls.fapiHeaders({ interactionId: 'required' }), expressMtls.mtlsBound(options()));
  return app as Listener;
}

function koaWithFapi(Framework: typeof Koa): Listener {
  const app = new Framework();
  app.use(koaMtls.fapiHeaders({ interactionId: 'required' }) as Koa.Middleware);
  app.use(koaMtls.mtlsBound(options()) as Koa.Middleware);
  return app.callback() as Listener;
}

type Row = [code: string, status: number, send: (framework: Framework) => request.Test];
const api = (framework: Framework, more?: ResourceServerOptions) =>
  createApi(framework, options(more)).listener;
const rows: Row[] = [
  ['interaction_id_malformed', 400, (framework) => request(withFapiHeaders[framework]()).get('/')],
  [
    'revocation_malformed',
    400,
    (framework) => request(api(framework)).post('/revocations').type('form').send('x=1'),
  ],
  [
    'revocation_not_spread',
    503,
    (framework) =>
      request(api(framework, { revocations: deaf }))
        .post('/revocations')
        .type('form')
        .send('token=t'),
  ],
  ['internal_error', 503, (framework) => request(api(framework)).get('/unguarded')],
  [
    'internal_error',
    503,
    (framework) => request(api(framework)).post('/unguarded/revocations').send('token=t'),
  ],
  ['scope_insufficient', 403, (framework) => request(api(framework)).get('/payments')],
  ['token_inactive', 401, (framework) => request(createApi(framework, inactive()).listener).get('/')],
];
const inactive = () =>
  optionsOver(
    pretendServer(() => ({ active: false })),
    kit.certificate,
  );

describe.each<Framework>(['Express', 'Express 4', 'Koa', 'Koa 2'])('%s', (framework) => {
  it.each(rows)('%s (%i) is one event, one line and one count', async (code, status, send) => {
    const events: string[] = [];
    const lines: unknown[] = [];
    const registry = new client.Registry();
    const note = (line: { code?: string }, text: string) => {
      if (text.startsWith('request refused')) {
        lines.push(line.code);
      }
    };
    ends.push(
      observeEvents({ refused: ({ refusal }) => events.push(refusal.code) }),
      observeByLog({ info: note, warn: note, error: note } as never),
      observeByPrometheus(client, registry),
    );
    const response = await send(framework).auth('token', { type: 'bearer' });
    expect(response.status).toBe(status);
    expect(events).toEqual([code]);
    expect(lines).toEqual([code]);
    const counts = (await registry.metrics())
      .split('\n')
      .filter(
        (line) => line.includes('outcome="refused"') || line.startsWith('mtls_bound_route_refusals_total{'),
      );
    const isOfRoute = ['revocation_malformed', 'revocation_not_spread', 'scope_insufficient'].includes(code);
    expect(counts).toEqual([
      isOfRoute
        ? `mtls_bound_route_refusals_total{code="${code}"} 1`
        : `mtls_bound_requests_total{outcome="refused",code="${code}",bound=""} 1`,
    ]);
  });
});
