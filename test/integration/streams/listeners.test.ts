// Requests of one connection leave nothing behind on it.
import { Agent, createServer, get, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, expect, it, vi } from 'vitest';
import { frameworks, type Listener } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

let server: Server;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
afterEach(async () => {
  agent.destroy();
  await close(server);
});

function listener(framework: (typeof frameworks)[number]): Listener {
  const options = { ...kit.options, cache: { maxAge: 60 } };
  if (framework === 'Express') {
    const app = express();
    const policy = expressMtls.guard(async () => undefined);
    app.use(expressMtls.fapiHeaders(), expressMtls.mtlsBound(options), policy, (req, res) => {
      res.json(req.auth?.signal.aborted);
    });
    return app as Listener;
  }
  const app = new Koa();
  app.use(koaMtls.fapiHeaders()).use(koaMtls.mtlsBound(options) as Koa.Middleware);
  app.use(koaMtls.guard(async () => undefined) as Koa.Middleware);
  app.use((ctx) => {
    ctx.body = String(ctx.state.auth.signal.aborted);
  });
  return app.callback() as Listener;
}

it.each(frameworks)(
  '%s: 500 requests add no listener and no timer to their connection',
  async (framework) => {
    const sockets = new Set<Socket>();
    server = createServer(listener(framework)).on('connection', (socket) => sockets.add(socket));
    await listen(server);
    const { port } = server.address() as AddressInfo;
    const send = (token: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const headers = {
          authorization: `Bearer ${token}`,
          'x-test-client-certificate': kit.certificate.thumbprint,
        };
        get({ port, agent, headers }, (res) => res.resume().on('end', () => resolve(res.statusCode))).on(
          'error',
          reject,
        );
      });
    const held = (): unknown =>
      [...sockets].map((socket) => socket.eventNames().map((name) => [name, socket.listenerCount(name)]));
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const token = kit.boundToken();
    const statuses: unknown[] = [await send(token), await send('made-up')];
    const before = held();
    const timersBefore = timers();
    for (let i = 0; i < 250; i += 1) {
      statuses.push(await send(token), await send(`made-up-${i}`));
    }
    expect(held()).toEqual(before);
    // A timer from before may have ended meanwhile.
    expect(timers()).toBeLessThanOrEqual(timersBefore);
    expect(sockets.size).toBe(1);
    expect([...new Set(statuses)]).toEqual([200, 401]);
  },
);
