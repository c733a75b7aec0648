// An application may give a request members of its own. None of them has a request taken for one of HTTP/2, or ends the process.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { http2StreamOf } from '../../../packages/core/src/request/http2-request.js';
import { readRequestBody } from '../../../packages/core/src/request/request-body.js';
import { frameworks } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

let server: Server | undefined;
let port: number;
afterEach(async () => {
  vi.useRealTimers();
  await (server && close(server));
  server = undefined;
});

type Api = { readonly listener: RequestListener; readonly resourceServer: expressMtls.ResourceServer };

/** `/signals` receives signals, `/events` is an event stream that its signal ends, and `members` are set before all else. */
function api(framework: (typeof frameworks)[number], members: object): Api {
  const signals = { transmitter: kit.options.issuer, audience: kit.options.audience };
  if (framework === 'Express') {
    const app = express();
    const guard = expressMtls.mtlsBound(kit.options);
    app.use((req, _res, next) => {
      Object.assign(req, members);
      next();
    });
    app.post('/signals', expressMtls.sharedSignals(guard, signals));
    app.use(guard).post('/revocations', expressMtls.revocationEndpoint('tokens:revoke'));
    app.get('/events', (req, res) => {
      req.auth?.signal.addEventListener('abort', () => res.end('end'));
      res.write('begin ');
    });
    return { listener: app, resourceServer: guard.resourceServer };
  }
  const app = new Koa();
  const guard = koaMtls.mtlsBound(kit.options);
  const receive = koaMtls.sharedSignals(guard, signals) as Koa.Middleware;
  app.use((ctx, next) => {
    Object.assign(ctx.req, members);
    return ctx.path === '/signals' ? receive(ctx, next) : next();
  });
  app.use(guard as Koa.Middleware);
  app.use((ctx, next) => {
    if (ctx.path !== '/events') {
      return next();
    }
    ctx.respond = false;
    ctx.res.statusCode = 200;
    ctx.state.auth.signal.addEventListener('abort', () => ctx.res.end('end'));
    ctx.res.write('begin ');
  });
  app.use(koaMtls.revocationEndpoint('tokens:revoke') as Koa.Middleware);
  return { listener: app.callback(), resourceServer: guard.resourceServer };
}

const streams: [string, unknown][] = [
  ['an object', { id: 'live-1' }],
  ['null', null],
  ['undefined', undefined],
  ['a text', 'live-1'],
  ['an object that says that it is closed', { destroyed: true, session: undefined }],
];

const headOf = (line: string, headers: Record<string, string>) =>
  `${line} HTTP/1.1\r\n${Object.entries({ host: 'api', ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;

const bearing = (token: string) => ({
  authorization: `Bearer ${token}`,
  'x-test-client-certificate': kit.certificate.thumbprint,
});

/** Sends the head of a request, and what comes back until the connection is closed. */
async function exchange(head: string, onAnswer: (answer: string) => void = () => undefined): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined).write(head);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
    onAnswer(answer);
  });
  await new Promise((resolve) => socket.on('close', resolve));
  return answer;
}

const paths = ['/signals', '/revocations'] as const;

describe.each(frameworks)('%s, where the application sets req.stream', (framework) => {
  it.each(streams)('to %s: the signal of a request fires at a revocation', async (_title, stream) => {
    const { listener, resourceServer } = api(framework, { stream });
    server = createServer(listener);
    port = await listen(server);
    const token = kit.boundToken();
    let isRevoked = false;
    const head = headOf('GET /events', { ...bearing(token), connection: 'close' });
    const answer = await exchange(head, (soFar) => {
      if (soFar.includes('begin') && !isRevoked) {
        isRevoked = true;
        void resourceServer.revoke({ token });
      }
    });
    expect(answer).toMatch(/^HTTP\/1\.1 200/);
    expect(answer).toContain('end');
  });

  it.each(paths.flatMap((path) => streams.map(([title, stream]) => [path, title, stream] as const)))(
    'and a body for %s never ends, to %s: it is answered 400, and its connection closed',
    async (path, _title, stream) => {
      server = createServer(api(framework, { stream }).listener);
      port = await listen(server);
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      const arrived = once(server, 'request') as Promise<[IncomingMessage]>;
      const headers =
        path === '/signals'
          ? { 'content-type': 'application/secevent+jwt' }
          : {
              ...bearing(kit.boundToken({ scopes: ['tokens:revoke'] })),
              'content-type': 'application/x-www-form-urlencoded',
            };
      const answer = exchange(`${headOf(`POST ${path}`, { ...headers, 'content-length': '100' })}abc`);
      const [req] = await arrived;
      await vi.waitUntil(() => req.listenerCount('data') > 0);
      vi.advanceTimersByTime(10_000);
      expect(await answer).toMatch(/^HTTP\/1\.1 400/);
    },
  );
});

it('a stand-in of a request has no stream of HTTP/2, whatever it says', () => {
  expect(http2StreamOf({ stream: { session: {} }, httpVersionMajor: 2 } as never)).toBeUndefined();
});

describe('a body that never ends, of a request whose members change while it is read', () => {
  const errors = {
    tooLarge: () => new Error('too large'),
    gone: () => new Error('gone'),
    late: () => new Error('late'),
    encoded: () => new Error('encoded'),
    charset: () => new Error('charset'),
  };

  it.each<[string, number, object, string]>([
    ['to another socket', 70_000, { socket: {} }, 'too large'],
    ['to no listenerCount()', 10, { listenerCount: undefined }, 'listenerCount is not a function'],
    ['to no removeListener()', 10, { removeListener: undefined }, 'late'],
  ])('%s: no error reaches the timer', async (_title, size, members, expected) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const req = new Readable({ read: () => undefined });
    const body = readRequestBody(req as never, errors);
    Object.assign(req, members);
    req.push(Buffer.alloc(size));
    const outcome = body.catch((error: Error) => error.message);
    await new Promise(setImmediate);
    expect(() => vi.advanceTimersByTime(10_000)).not.toThrow();
    expect(await outcome).toContain(expected);
  });
});
