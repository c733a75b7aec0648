import type { IncomingMessage, ServerResponse } from 'node:http';
import type { SecureServerOptions } from 'node:http2';
import { createServer, type Server } from 'node:https';
import express from 'express';
import * as expressMtls from 'express-mtls';
import express4 from 'express4';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import Koa2 from 'koa2';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';

type Options = expressMtls.ResourceServerOptions;

/** The frameworks that a test of an adapter runs in. */
export const frameworks = ['Express', 'Koa'] as const;
export type Framework = (typeof frameworks)[number] | 'Express 4' | 'Koa 2';

/** What a request that was let in gets back: the `Authorization` as JSON, and how often a handler ran. */
export interface TestApi {
  readonly url: string;
  readonly port: number;
  /** How many requests reached a handler behind the middleware. */
  handled(): number;
  close(): Promise<void>;
}

export type Listener = (req: IncomingMessage, res: ServerResponse) => void;

/**
 * An API over mutual TLS with the routes `/` (guarded by `mtlsBound(options)`), `/payments` (and by
 * `requireScopes('payments:write')`), `/active` (and by `requireActive()`), `/policy` (and by `guard(policy)`), `/form` (a
 * form parser ran before), `/revocations`, and `/unguarded` (`requireScopes()` alone).
 */
export async function startApi(
  framework: Framework,
  pki: Pki,
  options?: Options,
  policy?: expressMtls.RoutePolicy,
): Promise<TestApi> {
  const { listener, handled } = createApi(framework, options, policy);
  const server = createServer(mutualTls(pki), listener);
  return serve(server, handled);
}

export async function serve(server: Server, handled: () => number): Promise<TestApi> {
  const port = await listen(server);
  return { url: `https://127.0.0.1:${port}`, port, handled, close: () => close(server) };
}

/** The TLS options that the docs tell users to set: ask for a certificate, and leave its check to the binding. */
export function mutualTls(pki: Pki): SecureServerOptions {
  return {
    cert: pki.server.cert,
    key: pki.server.key,
    ca: pki.ca.cert,
    requestCert: true,
    rejectUnauthorized: false,
  };
}

export function createApi(
  framework: Framework,
  options?: Options,
  policy: expressMtls.RoutePolicy = () => undefined,
): { listener: Listener; handled: () => number; resourceServer: expressMtls.ResourceServer } {
  switch (framework) {
    case 'Express':
      return expressApi(express, options, policy);
    case 'Express 4':
      return expressApi(express4, options, policy);
    case 'Koa':
      return koaApi(Koa, options, policy);
    case 'Koa 2':
      return koaApi(Koa2, options, policy);
  }
}

function expressApi(
  framework: typeof express,
  options: Options | undefined,
  policy: expressMtls.RoutePolicy,
) {
  const app = framework();
  let handled = 0;
  const handler: express.RequestHandler = (req, res) => {
    handled += 1;
    res.json({ frozen: Object.isFrozen(req.auth), ...req.auth });
  };
  const guard = expressMtls.mtlsBound(options);
  app.post('/unguarded/revocations', expressMtls.revocationEndpoint('tokens:revoke'));
  app.get('/unguarded', expressMtls.requireScopes('payments:write'), handler);
  app.use('/form', framework.urlencoded({ extended: false }));
  app.use(guard);
  app.get('/payments', expressMtls.requireScopes('payments:write'), handler);
  app.get('/both', expressMtls.requireScopes('accounts:read', 'payments:write'), handler);
  app.get('/active', expressMtls.requireActive(), handler);
  app.get('/policy', expressMtls.guard(policy), handler);
  app.post('/revocations', expressMtls.revocationEndpoint('tokens:revoke'));
  app.post(
    '/parsed/revocations',
    framework.urlencoded({ extended: false }),
    expressMtls.revocationEndpoint('tokens:revoke'),
  );
  app.post('/echo', (req, res) => {
    handled += 1;
    req.pipe(res);
  });
  app.use(handler);
  return { listener: app as Listener, handled: () => handled, resourceServer: guard.resourceServer };
}

/** What body parsers for Koa do: leave the form at ctx.request.body. */
const parseForm: Koa.Middleware = async (ctx, next) => {
  const chunks: Buffer[] = [];
  for await (const chunk of ctx.req) {
    chunks.push(chunk as Buffer);
  }
  Object.assign(ctx.request, {
    body: Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString())),
  });
  await next();
};

function koaApi(Framework: typeof Koa, options: Options | undefined, policy: koaMtls.RoutePolicy) {
  const app = new Framework();
  let handled = 0;
  const handler: Koa.Middleware<koaMtls.MtlsBoundState> = (ctx) => {
    handled += 1;
    ctx.body = { frozen: Object.isFrozen(ctx.state.auth), ...ctx.state.auth };
  };
  const guard = koaMtls.mtlsBound(options);
  const at = (path: string, ...chain: Koa.Middleware[]): void => {
    const [first, second] = chain as [Koa.Middleware, Koa.Middleware?];
    app.use(async (ctx, next) => {
      if (ctx.path !== path) {
        await next();
      } else {
        await first(ctx, second === undefined ? next : async () => second(ctx, next));
      }
    });
  };
  at('/unguarded/revocations', koaMtls.revocationEndpoint('tokens:revoke'));
  at('/unguarded', koaMtls.requireScopes('payments:write'), handler as Koa.Middleware);
  at('/form', parseForm);
  app.use(guard as Koa.Middleware);
  at('/payments', koaMtls.requireScopes('payments:write'), handler as Koa.Middleware);
  at('/both', koaMtls.requireScopes('accounts:read', 'payments:write'), handler as Koa.Middleware);
  at('/active', koaMtls.requireActive(), handler as Koa.Middleware);
  at('/policy', koaMtls.guard(policy), handler as Koa.Middleware);
  at('/revocations', koaMtls.revocationEndpoint('tokens:revoke'));
  at('/parsed/revocations', parseForm, koaMtls.revocationEndpoint('tokens:revoke'));
  at('/echo', (ctx) => {
    handled += 1;
    ctx.body = ctx.req;
  });
  app.use(handler as Koa.Middleware);
  return {
    listener: app.callback() as Listener,
    handled: () => handled,
    resourceServer: guard.resourceServer,
  };
}
