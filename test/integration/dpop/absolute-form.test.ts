// A client may send the whole URL as request target (RFC 9112 §3.2.2): its path counts as the framework reads it, and
// its host never does.
import { createServer, type RequestListener, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { RefusedEvent } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import mount from 'koa-mount';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { dpopClient, proofOrigin } from '../../support/dpop-client.js';
import { close, listen } from '../../support/loopback.js';
import { recordedEvents } from '../../support/recorded-events.js';

let kit: TestKit;
const client = dpopClient();
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');

beforeAll(async () => {
  kit = await createTestKit();
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  return () => vi.restoreAllMocks();
});

const options = () => ({ ...kit.options, dpop: { origin: proofOrigin } });

/** Each answers with the path that the framework read. */
const apis: Record<string, () => RequestListener> = {
  express: () =>
    express()
      .use(expressMtls.mtlsBound(options()))
      .use((req, res) => void res.send(req.path)),
  'express, in a mounted router': () => {
    const router = express.Router().use(expressMtls.mtlsBound(options()));
    router.use((req, res) => void res.send(`${req.baseUrl}${req.path}`));
    return express().use('/accounts', router);
  },
  'express 4, in a mounted router': () => {
    const router = express4.Router().use(expressMtls.mtlsBound(options()));
    router.use((req, res) => void res.send(`${req.baseUrl}${req.path}`));
    return express4().use('/accounts', router);
  },
  koa: () =>
    new Koa()
      .use(koaMtls.mtlsBound(options()))
      .use((ctx) => {
        ctx.body = ctx.path;
      })
      .callback(),
  'koa, mounted': () => {
    const accounts = new Koa().use(koaMtls.mtlsBound(options())).use((ctx) => {
      ctx.body = `/accounts${ctx.path}`;
    });
    return new Koa().use(mount('/accounts', accounts)).callback();
  },
  'koa 2, mounted': () => {
    const accounts = new Koa2().use(koaMtls.mtlsBound(options()) as never).use((ctx) => {
      ctx.body = `/accounts${ctx.path}`;
    });
    return new Koa2().use(mount('/accounts', accounts as never) as never).callback();
  },
};

async function send(listener: RequestListener, target: string, htu: string): Promise<[number, string]> {
  const server = createServer(listener);
  const port = await listen(server);
  const token = kit.unboundToken({ claims: { cnf: { jkt: client.jkt } } });
  const headers = { authorization: `DPoP ${token}`, dpop: client.proof(token, { claims: { htu } }) };
  try {
    return await new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port, path: target, headers }, (answer) => {
        text(answer).then((body) => resolve([answer.statusCode ?? 0, body]), reject);
      })
        .on('error', reject)
        .end();
    });
  } finally {
    await close(server);
  }
}

describe.each(Object.entries(apis))('%s', (_, start) => {
  it.each([
    ['https://api.example.com/accounts/1', '/accounts/1'],
    ['http://other.example:8080/accounts/1?a=b', '/accounts/1'],
    ['HTTPS://[::1]/accounts/1#a', '/accounts/1'],
  ])('R234: a proof for the configured origin and the path of %s counts', async (target, path) => {
    expect(await send(start(), target, `${proofOrigin}${path}`)).toEqual([200, path]);
  });

  it.each([
    ['https://other.example/accounts/1', 'https://other.example/accounts/1'],
    ['https://api.example.com/accounts/1', `${proofOrigin}/accounts`],
    ['https://api.example.com/accounts/https://api.example.com/a', `${proofOrigin}/a`],
    ['https://other.example@api.example.com/accounts/1', `${proofOrigin}/accounts/1`],
  ])('R234: the target %s, and a proof for %s: refused', async (target, htu) => {
    expect((await send(start(), target, htu))[0]).toBe(401);
    expect(refused.at(-1)?.refusal.code).toBe('dpop_proof_for_another');
  });
});

describe.each(['express', 'koa'])('%s reads the path of a target as it is compared', (framework) => {
  it.each([
    ['https://api.example.com', '/'],
    ['https://api.example.com?/a', '/'],
    ['https://api.example.com/?https://other.example/b', '/'],
    ['https://api.example.com//a', '//a'],
    ['https://api.example.com/https://other.example/b', '/https://other.example/b'],
    ['https://a_b.example/a;b=c', '/a;b=c'],
    ['https://127.0.0.1:65535/%7Ea', '/%7Ea'],
  ])('%s', async (target, path) => {
    const listener = apis[framework]?.() as RequestListener;
    expect(await send(listener, target, `${proofOrigin}${path}`)).toEqual([200, path]);
  });
});
