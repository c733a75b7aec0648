// What outlives the check of its request ends with the token: an event stream, a WebSocket, a request to an upstream.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { request } from 'node:https';
import { createClient } from '@redis/client';
import { type RedisLogClient, type ResourceServerOptions, redisLog } from 'express-mtls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { close, listen } from '../../support/loopback.js';
import { MemoryLog } from '../../support/memory-log.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, type PretendServer, pretendServer } from '../../support/pretend-server.js';
import { describeReal } from '../../support/programs.js';
import { startRedis, type TestRedis } from '../../support/redis.js';
import { type StreamingApi, startStreamingApi, streamingFrameworks } from '../../support/streaming-api.js';

const secret = 'a secret of at least 32 characters';
let pki: Pki;
let authorizationServer: PretendServer;
let upstream: Server;
let upstreamUrl: string;
let claims: Record<string, unknown>;
let apis: StreamingApi[];
const webSockets: WebSocket[] = [];

beforeAll(async () => {
  pki = await createPki();
  // Never answers.
  upstream = createServer(() => undefined);
  upstreamUrl = `http://127.0.0.1:${await listen(upstream)}`;
});
afterAll(async () => {
  await close(upstream);
});
beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  apis = [];
  claims = {};
  authorizationServer = pretendServer(() => boundClaims(pki.alice, claims));
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const webSocket of webSockets.splice(0)) {
    webSocket.terminate();
  }
  await Promise.all(apis.map((api) => api.close()));
});

function connectTo(port: number, options: ClientOptions): WebSocket {
  const webSocket = new WebSocket(`wss://127.0.0.1:${port}`, options);
  webSocket.on('error', () => undefined);
  webSockets.push(webSocket);
  return webSocket;
}

type Framework = (typeof streamingFrameworks)[number];
type More = Partial<ResourceServerOptions>;

async function start(framework: Framework, more: More): Promise<StreamingApi> {
  const { certificate: _, ...options } = optionsOver(authorizationServer, undefined, more);
  const api = await startStreamingApi(framework, pki, options, upstreamUrl);
  apis.push(api);
  return api;
}

const clientOf = (pki: Pki, { cert, key }: Identity = pki.alice) => ({ ca: pki.ca.cert, cert, key });
const headers = { authorization: 'Bearer tok-1' };

/** Frames that break RFC 6455. */
const badFrames: [string, number[]][] = [
  ['a reserved bit', [0xc1, 0x80, 0, 0, 0, 0]],
  ['a frame without a mask', [0x81, 0x01, 0x61]],
  ['a text that is no UTF-8', [0x81, 0x81, 0, 0, 0, 0, 0xff]],
  ['an unknown opcode', [0x83, 0x80, 0, 0, 0, 0]],
  ['a close code of one byte', [0x88, 0x81, 0, 0, 0, 0, 0x03]],
];

/** What runs on, and how it ended. */
interface Running {
  readonly isOpen: () => boolean;
  readonly ended: Promise<string>;
}

const kinds: Record<string, (api: StreamingApi) => Promise<Running>> = {
  'an event stream': async ({ port }) => {
    const sent = request({ host: '127.0.0.1', port, path: '/events', headers, ...clientOf(pki) }).end();
    const [response] = await once(sent, 'response');
    const [first] = await once(response.setEncoding('utf8'), 'data');
    let text = first;
    response.on('data', (more: string) => {
      text += more;
    });
    const ended = once(response, 'end').then(() => /event: end\ndata: (\w+)/.exec(text)?.[1] ?? text);
    return { isOpen: () => response.statusCode === 200 && !response.complete, ended };
  },
  'a WebSocket': async ({ port }) => {
    const webSocket = connectTo(port, { headers, ...clientOf(pki) });
    await once(webSocket, 'open');
    webSocket.send('hello');
    expect(String((await once(webSocket, 'message'))[0])).toBe('echo hello');
    const ended = once(webSocket, 'close').then(([code, reason]) => `${code === 1008 ? '' : code}${reason}`);
    return { isOpen: () => webSocket.readyState === WebSocket.OPEN, ended };
  },
  'a request to an upstream': async (api) => {
    const received = once(upstream, 'request');
    const { port } = api;
    const sent = request({ host: '127.0.0.1', port, path: '/upstream', headers, ...clientOf(pki) }).end();
    const [asked] = await received;
    const aborted = once(asked.socket, 'close');
    const ended = once(sent, 'response').then(async ([response]) => {
      response.resume();
      await aborted;
      expect(response.statusCode).toBe(401);
      return String((api.failures[0] as { code?: unknown }).code);
    });
    return { isOpen: () => api.failures.length === 0, ended };
  },
};

function endsByRevocation(framework: Framework, optionsOf: (process: 0 | 1) => More): void {
  it.each(Object.keys(kinds))('%s ends when another process revokes', async (kind) => {
    const [api, other] = await Promise.all([start(framework, optionsOf(0)), start(framework, optionsOf(1))]);
    const running = await kinds[kind]?.(api);
    await other.resourceServer.revoke({ subject: 'user-2' });
    await other.resourceServer.revoke({ clientId: 'bob' });
    expect(running?.isOpen()).toBe(true);
    await other.resourceServer.revoke({ subject: 'user-1' });
    expect(await running?.ended).toBe('token_inactive');
  });
}

describe.each(streamingFrameworks)('%s', (framework) => {
  let log: MemoryLog;
  beforeEach(() => {
    log = new MemoryLog();
  });

  endsByRevocation(framework, () => ({ revocations: { log, secret } }));

  it.each(Object.keys(kinds))('%s ends when the token expires', async (kind) => {
    claims = { exp: Math.floor(Date.now() / 1000) + 2 };
    const running = await kinds[kind]?.(await start(framework, { clockTolerance: 0 }));
    expect(await running?.ended).toBe('token_expired');
  });

  it('refuses an upgrade without a good token, with the answer that a route gives', async () => {
    const { port } = await start(framework, {});
    const refused: [string, Record<string, string>, Identity, number, string][] = [
      ['no token', {}, pki.alice, 401, 'Bearer realm="api"'],
      ['the certificate of another client', headers, pki.bob, 401, 'invalid_token'],
      ['two tokens', { authorization: 'Bearer a b' }, pki.alice, 400, 'invalid_request'],
    ];
    for (const [name, given, identity, status, challenge] of refused) {
      const options = { headers: given, ...clientOf(pki, identity) };
      const webSocket = connectTo(port, options);
      const [, response] = await once(webSocket, 'unexpected-response');
      expect({ name, status: response.statusCode }).toEqual({ name, status });
      expect(response.headers['www-authenticate']).toContain(challenge);
    }
    claims = { scope: 'payments:write' };
    const other = { authorization: 'Bearer tok-2' };
    const webSocket = connectTo(port, { headers: other, ...clientOf(pki) });
    const [, response] = await once(webSocket, 'unexpected-response');
    expect(response.statusCode).toBe(403);
  });

  it.each(badFrames)('a client that sends %s ends its own WebSocket alone', async (_title, frame) => {
    const uncaught: unknown[] = [];
    const note = (error: unknown): void => void uncaught.push(error);
    process.on('uncaughtExceptionMonitor', note);
    const api = await start(framework, {});
    const innocent = await kinds['a WebSocket']?.(api);
    const webSocket = connectTo(api.port, { headers, ...clientOf(pki) });
    const [{ socket }] = await once(webSocket, 'upgrade');
    socket.write(Buffer.from(frame));
    await once(webSocket, 'close');
    process.removeListener('uncaughtExceptionMonitor', note);
    expect(uncaught).toEqual([]);
    expect(innocent?.isOpen()).toBe(true);
  });

  it('refuses an upgrade over TLS 1.2, where another handshake may be under way', async () => {
    const { port } = await start(framework, {});
    const options = { headers, ...clientOf(pki), maxVersion: 'TLSv1.2' } as const;
    const webSocket = connectTo(port, options);
    const [, response] = await once(webSocket, 'unexpected-response');
    expect(response.statusCode).toBe(400);
    expect(response.headers['www-authenticate']).toContain('The TLS version');
  });
});

describeReal('redis-server', 'with Redis', () => {
  let redis: TestRedis;
  const connect = async (): Promise<RedisLogClient & { destroy(): void }> => {
    const client = createClient({ url: redis.url });
    client.on('error', () => undefined);
    return client.connect() as Promise<never>;
  };
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis?.kill();
  });

  describe.each(streamingFrameworks)('%s', (framework) => {
    let clients: Awaited<ReturnType<typeof connect>>[];
    let name: string;
    beforeEach(async () => {
      clients = await Promise.all([connect(), connect()]);
      name = randomUUID();
    });
    afterEach(async () => {
      await Promise.all(apis.splice(0).map((api) => api.close()));
      for (const client of clients) {
        client.destroy();
      }
    });
    endsByRevocation(framework, (of) => ({
      revocations: { log: redisLog(clients[of] ?? expect.fail(), { name }), secret },
    }));
  });
});
