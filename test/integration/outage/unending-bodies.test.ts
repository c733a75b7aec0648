// A body without an end holds neither its connection of HTTP/1.1 nor its stream of HTTP/2, and no other request notices.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type Http2Server,
} from 'node:http2';
import { connect } from 'node:net';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const kit = await createTestKit();

let server: Server | Http2Server;
let session: ClientHttp2Session | undefined;
afterEach(async () => {
  vi.useRealTimers();
  session?.destroy();
  session = undefined;
  await close(server);
});

const signals = () => ({
  transmitter: kit.options.issuer,
  audience: kit.options.audience,
  authorizationHeader: 'Bearer secret-of-the-stream-31415',
});

function koaApp() {
  const app = new Koa();
  const guard = koaMtls.mtlsBound(kit.options);
  const receive = koaMtls.sharedSignals(guard, signals()) as Koa.Middleware;
  const revoke = koaMtls.revocationEndpoint('tokens:revoke') as Koa.Middleware;
  app.use((ctx, next) => (ctx.path === '/signals' ? receive(ctx, next) : next()));
  app.use(guard as Koa.Middleware);
  return app.use(revoke).callback();
}

function expressApp() {
  const app = express();
  const guard = expressMtls.mtlsBound(kit.options);
  app.post('/signals', expressMtls.sharedSignals(guard, signals()));
  return app.use(guard).post('/revocations', expressMtls.revocationEndpoint('tokens:revoke'));
}

const headersOf = (path: string): Record<string, string> =>
  path === '/signals'
    ? { authorization: signals().authorizationHeader, 'content-type': 'application/secevent+jwt' }
    : {
        authorization: `Bearer ${kit.boundToken({ scopes: ['tokens:revoke'] })}`,
        'x-test-client-certificate': kit.certificate.thumbprint,
        'content-type': 'application/x-www-form-urlencoded',
      };

/** Sends the request, and resolves when the endpoint reads the body, with the clock in the hands of the test. */
async function readingOf(send: () => void): Promise<void> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const arrived = once(server, 'request') as Promise<[IncomingMessage]>;
  send();
  const [req] = await arrived;
  await vi.waitUntil(() => req.listenerCount('data') > 0);
}

const paths = ['/revocations', '/signals'] as const;
const bodies = [
  ['never ends', 10],
  ['is too long and never ends', 70_000],
] as const;

describe.each(frameworks)('%s over HTTP/1.1', (framework) => {
  it.each(paths.flatMap((path) => bodies.map(([title, size]) => [path, title, size] as const)))(
    '%s: a body that %s is answered 400, and its connection closed',
    async (path, _title, size) => {
      server = createServer(framework === 'Express' ? expressApp() : koaApp());
      const port = await listen(server);
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk;
      });
      const closed = once(socket, 'close');
      const lines = Object.entries({ host: 'api', ...headersOf(path), 'content-length': '1000000' });
      const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      await readingOf(() => socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n${'a'.repeat(size)}`));
      vi.advanceTimersByTime(9_999);
      expect(socket.destroyed).toBe(false);
      vi.advanceTimersByTime(1);
      await closed;
      expect(answer).toMatch(/^HTTP\/1\.1 400/);
    },
  );
});

/** Express does not run on HTTP/2. */
describe('Koa over HTTP/2', () => {
  const open = (path: string): ClientHttp2Stream | undefined =>
    session?.request({ ':method': 'POST', ':path': path, ...headersOf(path) }, { endStream: false });

  it.each(paths.flatMap((path) => bodies.map(([title, size]) => [path, title, size] as const)))(
    '%s: a body that %s is answered 400, and its stream alone is closed',
    async (path, _title, size) => {
      server = createHttp2Server(koaApp());
      const port = await listen(server);
      session = connectHttp2(`http://127.0.0.1:${port}`);
      const stream = open(path);
      let status: unknown;
      let answer = '';
      stream?.setEncoding('utf8').on('response', (headers) => {
        status = headers[':status'];
      });
      stream?.on('data', (chunk) => {
        answer += chunk;
      });
      const closed = once(stream as ClientHttp2Stream, 'close');
      await readingOf(() => stream?.write('a'.repeat(size)));
      vi.advanceTimersByTime(9_999);
      expect(stream?.closed).toBe(false);
      vi.advanceTimersByTime(1);
      await closed;
      expect([status, JSON.parse(answer)]).toEqual([400, expect.any(Object)]);
      vi.useRealTimers();
      const another = open('/revocations');
      another?.end('sub=alice').resume();
      const [headers] = await once(another as ClientHttp2Stream, 'response');
      expect(headers[':status']).toBe(200);
    },
  );
});
