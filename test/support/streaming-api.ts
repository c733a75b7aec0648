import { addAbortListener } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { PassThrough } from 'node:stream';
import { scopesPolicy } from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { WebSocketServer } from 'ws';
import { frameworks, mutualTls } from './apis.js';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';

/** An API as docs/guides/streams.md builds it: `/events` is an event stream, `/upstream` a fetch, and an upgrade a WebSocket. */
export interface StreamingApi {
  readonly port: number;
  readonly resourceServer: expressMtls.ResourceServer;
  /** Why each fetch to the upstream failed. */
  readonly failures: readonly unknown[];
  close(): Promise<void>;
}

/** Express 4 does not catch the errors of async handlers. */
export const streamingFrameworks = [...frameworks, 'Express 4'] as const;

interface Routes {
  readonly resourceServer: expressMtls.ResourceServer;
  readonly server: Server;
  readonly failures: unknown[];
}

export async function startStreamingApi(
  framework: (typeof streamingFrameworks)[number],
  pki: Pki,
  options: expressMtls.ResourceServerOptions,
  upstream = '',
): Promise<StreamingApi> {
  const { resourceServer, server, failures } =
    framework === 'Koa'
      ? overKoa(pki, options, upstream)
      : overExpress(framework === 'Express 4' ? express4 : express, pki, options, upstream);
  acceptWebSockets(server, resourceServer);
  const port = await listen(server);
  return {
    port,
    resourceServer,
    failures,
    close: async () => {
      await close(server);
      await resourceServer.close();
    },
  };
}

function overExpress(
  framework: typeof express,
  pki: Pki,
  options: expressMtls.ResourceServerOptions,
  upstream: string,
): Routes {
  const app = framework();
  const failures: unknown[] = [];
  const guard = expressMtls.mtlsBound(options);
  app.use(guard);
  app.get(
    '/events',
    expressMtls.guarded((req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
      res.write('data: hello\n\n');
      addAbortListener(req.auth.signal, () =>
        res.end(`event: end\ndata: ${req.auth.signal.reason.code}\n\n`),
      );
    }),
  );
  app.get(
    '/upstream',
    expressMtls.guarded(async (req, res, next) => {
      try {
        res.send(await (await fetch(upstream, { signal: req.auth.signal })).text());
      } catch (error) {
        failures.push(error);
        next(error);
      }
    }),
  );
  app.get(
    '/used',
    expressMtls.guarded((req, res) => res.json(req.auth.signal.aborted)),
  );
  const quiet: express.ErrorRequestHandler = (error, _req, res, _next) => res.sendStatus(error.status);
  app.use(quiet);
  return { resourceServer: guard.resourceServer, server: createServer(mutualTls(pki), app), failures };
}

function overKoa(pki: Pki, options: koaMtls.ResourceServerOptions, upstream: string): Routes {
  const app = new Koa();
  app.silent = true;
  const failures: unknown[] = [];
  const guard = koaMtls.mtlsBound(options);
  app.use(guard);
  const routes = koaMtls.guarded(async (ctx) => {
    const { signal } = ctx.state.auth;
    if (ctx.path === '/events') {
      const stream = new PassThrough();
      ctx.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
      ctx.body = stream;
      stream.write('data: hello\n\n');
      addAbortListener(signal, () => stream.end(`event: end\ndata: ${signal.reason.code}\n\n`));
    } else if (ctx.path === '/upstream') {
      try {
        ctx.body = await (await fetch(upstream, { signal })).text();
      } catch (error) {
        failures.push(error);
        throw error;
      }
    } else {
      ctx.body = signal.aborted;
    }
  });
  app.use(routes);
  const server = createServer(mutualTls(pki), app.callback());
  return { resourceServer: guard.resourceServer, server, failures };
}

function acceptWebSockets(server: Server, resourceServer: expressMtls.ResourceServer): void {
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', async (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    try {
      socket.on('error', () => socket.destroy());
      const granted = await resourceServer.authorize(req);
      const auth = await resourceServer.require(req, granted, scopesPolicy(['accounts:read']));
      sockets.handleUpgrade(req, socket, head, (webSocket) => {
        const { signal } = auth;
        webSocket.on('error', () => webSocket.terminate());
        webSocket.on('message', (message) => {
          if (!signal.aborted) {
            webSocket.send(`echo ${message}`);
          }
        });
        addAbortListener(signal, () => {
          webSocket.close(1008, signal.reason.code);
          setTimeout(() => webSocket.terminate(), 1_000).unref();
        });
      });
    } catch (thrown) {
      resourceServer.answerUpgrade(thrown, req);
    }
  });
}
