// Bodies that a client may send to revocationEndpoint(): each gets an answer, and an access log can still look at the request.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import type { ProblemEvent } from '@mtls-bound/core';
import { createTestKit, type TestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { frameworks } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import { recordedEvents } from '../../support/recorded-events.js';

let kit: TestKit;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});

let server: Server;
let logged: unknown[];
afterEach(() => close(server));

/** What a middleware before the endpoint does with a request. */
type Before = (req: IncomingMessage & { body?: unknown }) => unknown;

/** An API with an access log that looks at the client's address when the answer is finished or the client has gone. */
async function start(
  framework: (typeof frameworks)[number],
  before: Before = () => undefined,
): Promise<number> {
  logged = [];
  if (framework === 'Express') {
    const app = express();
    app.use(async (req, res, next) => {
      res.on('close', () => logged.push([res.statusCode, req.ip, req.secure]));
      await before(req);
      next();
    });
    app.use(expressMtls.mtlsBound(kit.options));
    app.post('/revocations', expressMtls.revocationEndpoint('tokens:revoke'));
    server = createServer(app);
  } else {
    const app = new Koa();
    app.use(async (ctx, next) => {
      const req: Parameters<Before>[0] = ctx.req;
      await before(req);
      Object.assign(ctx.request, { body: req.body });
      await next();
      logged.push([ctx.status, ctx.request.socket.remoteAddress, ctx.secure]);
    });
    app.use(koaMtls.mtlsBound(kit.options));
    app.use(koaMtls.revocationEndpoint('tokens:revoke'));
    server = createServer(app.callback());
  }
  return listen(server);
}

const formType = 'Content-Type: application/x-www-form-urlencoded';

const head = (length: number, connection = 'close', more: readonly string[] = [formType]) =>
  [
    'POST /revocations HTTP/1.1',
    'Host: api.example.com',
    `Connection: ${connection}`,
    `Authorization: Bearer ${kit.boundToken({ scopes: ['tokens:revoke'] })}`,
    `X-Test-Client-Certificate: ${kit.certificate.thumbprint}`,
    ...more,
    `Content-Length: ${length}`,
    '',
    '',
  ].join('\r\n');

describe.each(frameworks)('%s: revocationEndpoint()', (framework) => {
  it('answers 400 to a body that is too long, and the connection serves the next request', async () => {
    const port = await start(framework);
    const socket = connect(port, '127.0.0.1');
    let answers = '';
    socket.on('data', (chunk) => {
      answers += chunk;
    });
    socket.write(head(200_000, 'keep-alive') + 'a'.repeat(200_000));
    socket.write(`${head('sub=alice'.length)}sub=alice`);
    await once(socket, 'end');
    expect(answers.match(/HTTP\/1\.1 (\d+)/g)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 200']);
    await vi.waitFor(() => expect(logged).toHaveLength(2));
    expect(logged).toEqual([
      [400, '127.0.0.1', false],
      [200, '127.0.0.1', false],
    ]);
  });

  it('reads a form whose request another middleware has paused', async () => {
    const port = await start(framework, (req) => req.pause());
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.write(`${head('sub=alice'.length)}sub=alice`);
    await once(socket, 'end');
    expect(answer).toMatch(/^HTTP\/1\.1 200/);
  });

  it.each<[string, string, unknown, RegExp]>([
    ['a form that another middleware has read is answered 503', 'sub=alice', undefined, /^HTTP\/1\.1 503/],
    ['a form without parameters that a parser has read is answered 400', '&', {}, /^HTTP\/1\.1 400/],
    ['an empty body that another middleware has read is answered 400', '', undefined, /^HTTP\/1\.1 400/],
  ])('%s', async (_title, form, body, expected) => {
    const port = await start(framework, async (req) => {
      req.body = body;
      req.resume();
      await once(req, 'end');
    });
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.write(head(form.length) + form);
    await once(socket, 'end');
    expect(answer).toMatch(expected);
  });

  it.each([
    [
      'a form that never ends is answered 400, and its connection closed',
      'sub=al',
      /^HTTP\/1\.1 400.*\r\nconnection: close\r\n/is,
    ],
    [
      'the connection of a form that is too long and never ends is closed',
      'a'.repeat(70_000),
      /^HTTP\/1\.1 400/,
    ],
  ])('%s', async (_title, body, expected) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const port = await start(framework);
      const socket = connect(port, '127.0.0.1');
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk;
      });
      const ended = new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve));
      const reading = new Promise<IncomingMessage>((resolve) => server.once('request', resolve));
      socket.write(head(1_000_000, 'keep-alive') + body);
      const req = await reading;
      await vi.waitUntil(() => req.listenerCount('data') > 0);
      vi.advanceTimersByTime(9_999);
      expect(socket.destroyed).toBe(false);
      vi.advanceTimersByTime(1);
      await ended;
      expect(answer).toMatch(expected);
    } finally {
      vi.useRealTimers();
    }
  });

  const plain = Buffer.from('sub=alice');
  const bytesOf: Before = async (req) => {
    req.body = await buffer(req);
  };
  /** A parser of a framework, which reads the encoding and the charset itself. */
  const parse =
    (parser: ReturnType<typeof express.text>): Before =>
    (req) =>
      new Promise((resolve) => parser(req as never, {} as never, resolve));
  const formOf = parse(express.urlencoded({ extended: false }));
  const textOf = parse(express.text({ type: '*/*' }));
  const rawOf = parse(express.raw({ type: '*/*' }));
  const jsonOf = parse(express.json());
  const unread: Before = () => undefined;
  it.each<[string, readonly string[], Buffer, Before, number]>([
    ['Content-Encoding: gzip', [formType, 'Content-Encoding: gzip'], gzipSync(plain), unread, 400],
    ['Content-Encoding that is not true', [formType, 'Content-Encoding: br'], plain, unread, 400],
    [
      'Content-Encoding twice',
      [formType, 'Content-Encoding: identity', 'Content-Encoding: x'],
      plain,
      unread,
      400,
    ],
    ['Content-Encoding: Identity', [formType, 'Content-Encoding: Identity'], plain, unread, 200],
    ['gzip that a form parser has read', [formType, 'Content-Encoding: gzip'], gzipSync(plain), formOf, 200],
    ['gzip that a text parser has read', [formType, 'Content-Encoding: gzip'], gzipSync(plain), textOf, 200],
    ['a form that a form parser has read', [formType], plain, formOf, 200],
    ['a form that a text parser has read', [formType], plain, textOf, 200],
    ['a form that a parser of bytes has read', [formType], plain, rawOf, 200],
    ['a form behind a parser of JSON', [formType], plain, jsonOf, 200],
    ['gzip that was read as it is', [formType, 'Content-Encoding: gzip'], gzipSync(plain), bytesOf, 400],
    ['charset=iso-8859-1', [`${formType};charset=iso-8859-1`], plain, unread, 400],
    ['charset = "UTF-16"', [`${formType} ; x=y; CharSet = "UTF-16"`], plain, unread, 400],
    ['two charsets', [`${formType}; charset=utf-8; charset=utf-7`], plain, unread, 400],
    ['an unnamed charset', [`${formType}; charset=`], plain, unread, 400],
    ['charset*', [`${formType}; charset*=utf-8''utf-7`], plain, unread, 400],
    ['charset=utf-16 of bytes', [`${formType}; charset=utf-16`], plain, bytesOf, 400],
    ['charset="UTF-8"', [`${formType}; charset="UTF-8"`], plain, unread, 200],
    ['charset=UTF-8 of bytes', [`${formType}; charset=UTF-8`], plain, bytesOf, 200],
    ['Content-Type twice', [formType, formType], plain, unread, 400],
  ])('%s: is answered as its encoding says', async (_title, headers, body, before, expected) => {
    const port = await start(framework, before);
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.write(head(body.length, 'close', headers));
    socket.write(body);
    await once(socket, 'end');
    expect(Number(answer.split(' ', 2)[1])).toBe(expected);
  });

  it('a compressed transfer is answered 400', async () => {
    const port = await start(framework);
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    const [top = ''] = head(0, 'close', [formType, 'Transfer-Encoding: gzip, chunked']).split(
      'Content-Length',
    );
    socket.write(`${top}\r\n9\r\nsub=alice\r\n0\r\n\r\n`);
    await once(socket, 'end');
    expect(answer).toMatch(/^HTTP\/1\.1 400.*invalid_request/s);
  });

  it('reports no fault of ours for a client that goes away', async () => {
    const port = await start(framework);
    const socket = connect(port, '127.0.0.1');
    socket.write(`${head(1_000)}sub=al`);
    await once(socket, 'connect');
    await new Promise((resolve) => server.once('request', resolve));
    socket.destroy();
    await vi.waitFor(() => expect(logged).toHaveLength(1));
    expect(problems.map(({ code }) => code)).not.toContain('internal_error');
  });
});
