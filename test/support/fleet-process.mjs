// One process of a fleet: an API behind a proxy, from the built packages as users run them. Told what to be, and what to
// do, over Node's channel to its parent. Runs as a process or as a worker thread.
import { createServer } from 'node:http';
import { parentPort } from 'node:worker_threads';
import KeyvRedis from '@keyv/redis';
import { createClient, createSentinel } from '@redis/client';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Keyv from 'keyv';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';

process.on('warning', () => undefined);

const parent = parentPort ?? process;
const tell = (message) => (parentPort ? parentPort.postMessage(message) : process.send(message));

const settings = await new Promise((resolve) => parent.once('message', resolve));
const { framework, redisUrl, sentinels, secret, shares, spreads, keeps, logOptions, isJwt, options } =
  settings;

const newClient = () =>
  sentinels
    ? createSentinel({ name: sentinels.name, sentinelRootNodes: sentinels.nodes })
    : createClient({ url: redisUrl, socket: { reconnectStrategy: 200 } });
const client =
  (redisUrl || sentinels) &&
  (await newClient()
    .on('error', () => undefined)
    .connect());
const adapter = shares && new KeyvRedis(redisUrl);
const all = {
  ...options,
  ...(isJwt && { tokens: koaMtls.jwtAccessTokens() }),
  certificate: koaMtls.proxyHeader(koaMtls.nginx(), { trust: ['loopback'] }),
  ...(shares && {
    sharedCache: {
      store: new Keyv({ store: adapter, useKeyPrefix: false }),
      secret,
      lock: koaMtls.redisLock(client),
      ...shares,
    },
  }),
  ...(spreads && { revocations: { channel: koaMtls.redisChannel(client), secret, ...spreads } }),
  ...(keeps && { revocations: { log: koaMtls.redisLog(client, logOptions), secret, ...keeps } }),
};

const { listener, resourceServer } = framework === 'Koa' ? koaApi() : expressApi();
let handled = 0;

const server = createServer({ keepAlive: true }, listener).listen(0, '127.0.0.1', () => {
  tell({ port: server.address().port });
});

function koaApi() {
  const guard = koaMtls.mtlsBound(all);
  const app = new Koa();
  app.use(guard);
  app.use((ctx) => {
    handled += 1;
    ctx.body = 'in';
  });
  return { listener: app.callback(), resourceServer: guard.resourceServer };
}

function expressApi() {
  const guard = expressMtls.mtlsBound(all);
  const app = express();
  app.use(guard, (_req, res) => {
    handled += 1;
    res.send('in');
  });
  return { listener: app, resourceServer: guard.resourceServer };
}

// A parent that is gone can't ask it to end.
process.on('disconnect', () => process.exit());

parent.on('message', async ({ revoke, close, measure }) => {
  if (measure) {
    globalThis.gc?.();
    tell({ heapUsed: process.memoryUsage().heapUsed, handled });
  }
  if (revoke !== undefined) {
    const failure = await resourceServer.revoke(revoke).then(
      () => null,
      (error) => error.code,
    );
    tell({ revoked: failure ?? 'spread' });
  }
  if (close) {
    server.close();
    server.closeAllConnections();
    await resourceServer.close();
    await client?.destroy();
    await adapter?.disconnect(true);
    if (parentPort) {
      parentPort.close();
    } else {
      process.removeAllListeners('disconnect');
      process.disconnect();
    }
  }
});
