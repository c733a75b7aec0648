// A signal that is asked for after the response is finished: it costs nothing, and does not fire later.
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Framework, frameworks, type Listener } from '../../support/apis.js';
import { countWatches } from '../../support/counted-watches.js';
import { close, listen } from '../../support/loopback.js';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');
const watching = countWatches();
/** A busy machine collects garbage late. */
const patience = { timeout: 20_000 };
let kit: TestKit;
let server: Server;
let resourceServer: expressMtls.ResourceServer;
let agent: Agent;
let connections: number;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});
beforeEach(() => {
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
  connections = 0;
});
afterEach(async () => {
  agent.destroy();
  await close(server);
  await resourceServer.close();
});

/** Asks for the signal of a request. */
type Ask = () => AbortSignal;

/** An API that works on after its answer. */
async function startApi(framework: Framework, use: (ask: Ask) => void): Promise<void> {
  const make = framework === 'Express' ? overExpress : overKoa;
  server = createServer(make(use)).on('connection', () => {
    connections += 1;
  });
  await listen(server);
}

function overExpress(use: (ask: Ask) => void): Listener {
  const guard = expressMtls.mtlsBound({ ...kit.options, cache: { maxAge: 60 } });
  resourceServer = guard.resourceServer;
  const app = express();
  app.use(guard, (req, res) => {
    res.once('finish', () => setImmediate(() => use(() => req.auth?.signal ?? expect.fail())));
    res.status(202).end();
  });
  return app as Listener;
}

function overKoa(use: (ask: Ask) => void): Listener {
  const guard = koaMtls.mtlsBound({ ...kit.options, cache: { maxAge: 60 } });
  resourceServer = guard.resourceServer;
  const app = new Koa();
  app.use(guard as Koa.Middleware).use((ctx) => {
    ctx.res.once('finish', () => setImmediate(() => use(() => ctx.state.auth.signal)));
    ctx.status = 202;
    ctx.body = '';
  });
  return app.callback() as Listener;
}

async function send(token: string): Promise<void> {
  const { port } = server.address() as AddressInfo;
  const headers = {
    authorization: `Bearer ${token}`,
    'x-test-client-certificate': kit.certificate.thumbprint,
  };
  const [response] = await once(get({ host: '127.0.0.1', port, agent, headers }), 'response');
  await once(response.resume(), 'end');
  expect(response.statusCode).toBe(202);
}

describe.each(frameworks)('%s', (framework) => {
  it('1,000 signals that are asked for after the response leave nothing on an open connection', async () => {
    const signals: WeakRef<AbortSignal>[] = [];
    await startApi(framework, (ask) => {
      const signal = ask();
      signal.addEventListener('abort', () => undefined);
      signals.push(new WeakRef(signal));
    });
    const token = kit.boundToken();
    for (let i = 0; i < 1_000; i += 1) {
      await send(token);
    }
    await vi.waitFor(() => expect(signals).toHaveLength(1_000), patience);
    expect([watching(), connections]).toEqual([0, 1]);
    // A timer or a listener that was left would hold its signal.
    const held = async (): Promise<number> => {
      await sleep(1);
      collectGarbage();
      return signals.filter((signal) => signal.deref() !== undefined).length;
    };
    await vi.waitFor(async () => expect(await held()).toBe(0), patience);
  }, 60_000);

  it('a signal that is asked for after the response stays silent at a later revocation', async () => {
    const signals: AbortSignal[] = [];
    await startApi(framework, (ask) => signals.push(ask()));
    const token = kit.boundToken();
    await send(token);
    await vi.waitFor(() => expect(signals).toHaveLength(1), patience);
    await resourceServer.revoke({ token });
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  });

  it('a signal that is asked for after the response and a revocation is aborted', async () => {
    const asks: Ask[] = [];
    await startApi(framework, (ask) => asks.push(ask));
    const token = kit.boundToken();
    await send(token);
    await vi.waitFor(() => expect(asks).toHaveLength(1), patience);
    await resourceServer.revoke({ token });
    expect(asks.map((ask) => ask().reason.code)).toEqual(['token_inactive']);
  });
});

describe('with a response that is not the one of the server', () => {
  it.each<[string, (req: IncomingMessage) => object]>([
    ['a ServerResponse of the application', (req) => new ServerResponse(req)],
    ['a stand-in', () => ({ getHeader: () => undefined, setHeader: () => undefined })],
  ])('%s, a signal stays silent once the response of the server is finished', async (_, makeResponse) => {
    const guard = expressMtls.mtlsBound({ ...kit.options, cache: { maxAge: 60 } });
    resourceServer = guard.resourceServer;
    const signals: (AbortSignal | undefined)[] = [];
    server = createServer((req, res) => {
      guard(req as express.Request, makeResponse(req) as express.Response, () => {
        signals.push((req as express.Request).auth?.signal);
        res.end();
      });
    });
    await listen(server);
    const token = kit.boundToken();
    const { port } = server.address() as AddressInfo;
    for (const _round of [1, 2]) {
      const headers = {
        authorization: `Bearer ${token}`,
        'x-test-client-certificate': kit.certificate.thumbprint,
      };
      const [answer] = await once(get({ host: '127.0.0.1', port, agent, headers }), 'response');
      answer.resume();
      await once(answer, 'end');
    }
    await sleep(20);
    await resourceServer.revoke({ token });
    expect(signals.map((signal) => signal?.aborted)).toEqual([false, false]);
  });
});
