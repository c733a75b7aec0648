// A request that used its signal leaves nothing behind: no watcher, no timer, no listener.
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage, type Server } from 'node:http';
import {
  type ClientHttp2Session,
  connect,
  createServer as createHttp2Server,
  type Http2Server,
} from 'node:http2';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  type Authorization,
  createResourceServer,
  type NodeRequest,
  type ResourceServer,
} from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { countWatches } from '../../support/counted-watches.js';
import { close, listen } from '../../support/loopback.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');
const headers = { authorization: 'Bearer tok-1' };
const started = channel('http.server.request.start');
const watching = countWatches();
/** A busy machine collects garbage late. */
const patience = { timeout: 20_000 };
let kit: TestKit;
let resourceServer: ResourceServer;
let signals: WeakRef<AbortSignal>[];
let server: Server | Http2Server | undefined;
const sessions: ClientHttp2Session[] = [];

beforeAll(async () => {
  kit = await createTestKit();
});
beforeEach(() => {
  const authorizationServer = pretendServer(() => boundClaims(kit.certificate));
  resourceServer = createResourceServer(optionsOver(authorizationServer, kit.certificate));
  signals = [];
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const session of sessions.splice(0)) {
    session.destroy();
  }
  if (server !== undefined) {
    await close(server as Server);
    server = undefined;
  }
  await resourceServer.close();
  expect(started.hasSubscribers).toBe(false);
});

async function use(req: NodeRequest): Promise<void> {
  const { signal } = (await resourceServer.authorize(req)) as Authorization;
  signal.addEventListener('abort', () => undefined);
  signals.push(new WeakRef(signal));
}

/** A timer or a watcher that was left would hold its signal. */
async function held(): Promise<number> {
  for (let i = 0; i < 5; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
  }
  return signals.filter((signal) => signal.deref() !== undefined).length;
}

async function expectNothingLeft(): Promise<void> {
  await vi.waitFor(() => expect(watching()).toBe(0), patience);
  await vi.waitFor(async () => expect(await held()).toBe(0), patience);
}

async function serveHttp(onRequest: (req: IncomingMessage) => void = () => undefined): Promise<number> {
  server = createServer(async (req, res) => {
    onRequest(req);
    await use(req);
    res.end();
  });
  return listen(server);
}

it('10,000 requests on connections that stay open', async () => {
  const sockets = new Set<Socket>();
  const port = await serveHttp(({ socket }) => sockets.add(socket));
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  const send = async (): Promise<void> => {
    const [response] = await once(get({ host: '127.0.0.1', port, agent, headers }), 'response');
    await once(response.resume(), 'end');
  };
  const turns = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) {
      await send();
    }
  };
  await turns(20);
  const [socket = expect.fail()] = sockets;
  const listeners = socket.listenerCount('close');
  await Promise.all(Array.from({ length: 20 }, () => turns(499)));
  expect(signals).toHaveLength(10_000);
  expect(sockets.size).toBeLessThanOrEqual(20);
  expect(socket.listenerCount('close')).toBe(listeners);
  await expectNothingLeft();
  agent.destroy();
}, 120_000);

it('requests in a pipeline leave nothing behind on their connection', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const port = await serveHttp();
  const socket = connectTcp(port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tok-1\r\n\r\n'.repeat(50));
  let text = '';
  socket.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  await vi.waitFor(() => expect(text.split('HTTP/1.1 200 OK')).toHaveLength(51), patience);
  expect(warned.mock.calls.filter(([warning]) => String(warning).includes('MaxListeners'))).toEqual([]);
  await expectNothingLeft();
  socket.destroy();
});

it('requests whose client goes before the response leave nothing behind', async () => {
  server = createServer((req) => use(req));
  const port = await listen(server);
  const sent = get({ host: '127.0.0.1', port, headers });
  sent.on('error', () => undefined);
  await vi.waitFor(() => expect(watching()).toBe(1), patience);
  sent.destroy();
  await expectNothingLeft();
});

it('an upgraded connection leaves nothing behind when it is closed, and not before', async () => {
  server = createServer();
  server.on('upgrade', async (req, socket) => {
    await use(req);
    socket.resume().on('end', () => socket.end());
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
  });
  const port = await listen(server);
  const upgrade = { Connection: 'Upgrade', Upgrade: 'x' };
  const sent = get({ host: '127.0.0.1', port, headers: { ...headers, ...upgrade } });
  const [, socket] = await once(sent, 'upgrade');
  expect(watching()).toBe(1);
  expect(await held()).toBe(1);
  socket.destroy();
  await expectNothingLeft();
});

it('requests of HTTP/2, each when its stream is closed', async () => {
  server = createHttp2Server(async (req, res) => {
    await use(req);
    res.end();
  });
  await listen(server);
  const { port } = server.address() as AddressInfo;
  const session = connect(`http://127.0.0.1:${port}`);
  sessions.push(session);
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      const stream = session.request({ ':path': '/', ...headers });
      await once(stream.resume(), 'close');
    }),
  );
  expect(signals).toHaveLength(50);
  await expectNothingLeft();
});

describe('a signal that fired or went with close()', () => {
  const ends: [string, () => Promise<void>][] = [
    ['revocation', () => resourceServer.revoke({ subject: 'user-1' })],
    ['close()', () => resourceServer.close()],
  ];
  it.each(ends)('%s', async (_, end) => {
    server = createServer((req, res) => use(req).then(() => res.flushHeaders()));
    const sent = get({ host: '127.0.0.1', port: await listen(server), headers });
    const [response] = await once(sent, 'response');
    expect(watching()).toBe(1);
    await end();
    expect(watching()).toBe(0);
    response.destroy();
    await expectNothingLeft();
  });
});
