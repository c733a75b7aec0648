// One mtlsBound() for an application and for one of its routes: both check the proof of a request, which counts once.
import { createServer } from 'node:https';
import type { RefusedEvent } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { mutualTls, serve } from '../../support/apis.js';
import { call } from '../../support/calls.js';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import { createPki, type Pki } from '../../support/pki.js';
import { recordedEvents } from '../../support/recorded-events.js';

let pki: Pki;
let kit: TestKit;
const client = dpopClient();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
  kit = await createTestKit();
});

const newToken = (): string => kit.boundToken({ claims: { cnf: { jkt: client.jkt } } });
const inStore = () => {
  const names = new Set<string>();
  return { add: async (name: string) => names.size < names.add(name).size };
};

const mountedTwice = {
  express: (dpop: { origin: string }) => {
    const mtls = expressMtls.mtlsBound({ ...kit.options, dpop });
    const app = express().use(mtls);
    app.get('/', mtls, (req, res) => {
      res.send(req.auth?.keyThumbprint);
    });
    return app;
  },
  koa: (dpop: { origin: string }) => {
    const mtls = koaMtls.mtlsBound({ ...kit.options, dpop });
    const app = new Koa().use(mtls).use(mtls);
    app.use((ctx) => {
      ctx.body = ctx.state.auth?.keyThumbprint;
    });
    return app.callback();
  },
};

describe.each(['express', 'koa'] as const)('%s', (framework) => {
  it.each([
    ['in memory', () => ({})],
    ['in a store', () => ({ store: inStore() })],
  ])('a request passes the same mtlsBound() twice, and its proof is used up %s', async (_, more) => {
    const listener = mountedTwice[framework]({ origin: proofOrigin, ...more() });
    const api = await serve(createServer(mutualTls(pki), listener), () => 0);
    const token = newToken();
    const proof = client.proof(token);
    const send = () => call(pki, api, '/').set('Authorization', `DPoP ${token}`).set('DPoP', proof);
    const { status, text } = await send();
    expect([status, text]).toEqual([200, client.jkt]);
    expect((await send()).status).toBe(401);
    expect(refused.at(-1)?.refusal.code).toBe('dpop_proof_replayed');
    await api.close();
  });
});
