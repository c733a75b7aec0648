// A body that another middleware has read in part is not taken for a whole one. The client has sent it well, so the answer is 503.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { ProblemEvent, RefusedEvent } from '@mtls-bound/core';
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
let server: Server;
const problems = recordedEvents<ProblemEvent>('mtls-bound:problem');
const refused = recordedEvents<RefusedEvent>('mtls-bound:refused');
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  kit = await createTestKit();
});
afterEach(() => close(server));

/** What a middleware before the route does with a request. Returns what it makes of the body. */
type Before = (req: IncomingMessage) => unknown;

const taking: Record<string, Before> = {
  'has read a part': (req) => once(req, 'data').then(() => undefined),
  'has dropped a part': async (req) => {
    req.resume();
    await once(req, 'data');
  },
  'has read a part and paused': async (req) => {
    await once(req, 'data');
    req.pause();
  },
  'has read a part by read()': async (req) => {
    await once(req, 'readable');
    req.read(1);
  },
  'listens to readable': (req) => void req.on('readable', () => undefined),
  'iterates over it': (req) => void req[Symbol.asyncIterator]().next(),
  'has set the encoding hex': (req) => void req.setEncoding('hex'),
  'has set the encoding latin1': (req) => void req.setEncoding('latin1'),
};

const leaving: Record<string, Before> = {
  'does nothing': () => undefined,
  'takes its time': () => setImmediate(),
  'has paused it': (req) => void req.pause(),
  'has set the encoding UTF-8': (req) => void req.setEncoding('utf8'),
  'has read all as a text': async (req) => (await wholeOf(req)).toString(),
  'has read all as bytes': async (req) => new Uint8Array(await wholeOf(req)),
};

async function wholeOf(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

const signals = { transmitter: 'https://transmitter.example.com', audience: 'https://api.example.com' };

async function start(framework: (typeof frameworks)[number], before: Before): Promise<number> {
  if (framework === 'Express') {
    const guard = expressMtls.mtlsBound(kit.options);
    const app = express();
    app.use(async (req, _res, next) => {
      try {
        req.body = await before(req);
        next();
      } catch (error) {
        next(error);
      }
    });
    app.post('/signals', expressMtls.sharedSignals(guard, signals));
    app.post('/revocations', guard, expressMtls.revocationEndpoint('tokens:revoke'));
    server = createServer(app);
  } else {
    const guard = koaMtls.mtlsBound(kit.options);
    const receive = koaMtls.sharedSignals(guard, signals);
    const app = new Koa();
    app.use(async (ctx, next) => {
      Object.assign(ctx.request, { body: await before(ctx.req) });
      await (ctx.path === '/signals' ? receive(ctx, next) : next());
    });
    app.use(guard as Koa.Middleware);
    app.use(koaMtls.revocationEndpoint('tokens:revoke'));
    server = createServer(app.callback());
  }
  return listen(server);
}

/** What is sent in two packets, the status if it is read whole, and the reasons that an operator is given if it is not. */
const routes: [
  path: string,
  type: string,
  packets: [string, string],
  status: number,
  why: () => unknown[],
][] = [
  [
    '/revocations',
    'application/x-www-form-urlencoded',
    ['token_type_hint=x&sub=al', 'ice'],
    200,
    () => refused.map(({ refusal }) => refusal.detail),
  ],
  // No signature is good without the keys of a transmitter: it is refused once it is read.
  [
    '/signals',
    'application/secevent+jwt',
    ['not a', ' token'],
    400,
    () => problems.filter(({ code }) => code === 'signal_failed').map(({ message }) => message),
  ],
];

interface Answered {
  readonly status: number;
  readonly closes: boolean;
}

async function answerTo(
  port: number,
  path: string,
  type: string,
  packets: [string, string],
): Promise<Answered> {
  const socket = connect(port, '127.0.0.1').setNoDelay();
  let answer = '';
  socket.setEncoding('latin1').on('data', (chunk) => {
    answer += chunk;
  });
  const reading = once(server, 'request');
  const lines = [
    `POST ${path} HTTP/1.1`,
    'Host: api.example.com',
    `Authorization: Bearer ${kit.boundToken({ scopes: ['tokens:revoke'] })}`,
    `X-Test-Client-Certificate: ${kit.certificate.thumbprint}`,
    `Content-Type: ${type}`,
    `Content-Length: ${packets.join('').length}`,
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n${packets[0]}`);
  const [req] = (await reading) as [IncomingMessage];
  // The second packet comes when the first one is read, or waits in the request.
  await vi.waitUntil(() => req.readableDidRead || req.readableLength > 0 || answer !== '');
  await setImmediate();
  socket.write(packets[1]);
  await vi.waitUntil(() => answer.includes('\r\n\r\n'));
  socket.destroy();
  return { status: Number(answer.split(' ')[1]), closes: /^connection: close\r$/im.test(answer) };
}

describe.each(frameworks)('%s', (framework) => {
  describe.each(routes)('%s', (path, type, packets, status, why) => {
    it.each(Object.entries(taking))(
      'is answered 503, with the cause, where a middleware before %s',
      async (_title, before) => {
        const port = await start(framework, before);
        // The rest of the body would keep the connection open.
        expect(await answerTo(port, path, type, packets)).toEqual({ status: 503, closes: true });
        expect(why()).toEqual([
          expect.stringMatching(/another middleware has read the body of the request, or a part of it/),
        ]);
      },
    );

    it.each(Object.entries(leaving))(
      'reads the whole body where a middleware before %s',
      async (_title, before) => {
        const port = await start(framework, before);
        expect(await answerTo(port, path, type, packets)).toEqual({ status, closes: false });
        expect(why()).toEqual([]);
      },
    );
  });
});
