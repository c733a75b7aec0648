import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server, type ServerOptions } from 'node:https';
import express, { type RequestHandler } from 'express';
import * as expressMtls from 'express-mtls';
import Koa, { type Middleware } from 'koa';
import * as koaMtls from 'koa-mtls';

export type ApiName = 'Express' | 'Koa' | 'JWT';

/** The settings of the APIs. They can be sent to another process. */
export interface ApiSettings {
  readonly tls: ServerOptions;
  /** For opaque tokens, which the APIs introspect. */
  readonly introspecting: expressMtls.ResourceServerOptions;
  /** For JWT access tokens. */
  readonly validating: expressMtls.ResourceServerOptions;
}

/** The functions of the packages that the APIs use. */
export interface Parts {
  readonly express: {
    mtlsBound(options: expressMtls.ResourceServerOptions): RequestHandler | RequestHandler[];
    requireScopes(scope: string): RequestHandler;
  };
  readonly koa: {
    mtlsBound(options: koaMtls.ResourceServerOptions): Middleware;
    requireScopes(scope: string): Middleware;
  };
  readonly jwtAccessTokens: typeof expressMtls.jwtAccessTokens;
}

/** The packages as an application imports them. */
export const parts = {
  express: expressMtls,
  koa: koaMtls,
  jwtAccessTokens: expressMtls.jwtAccessTokens,
} as unknown as Parts;

/** One API in three forms: with introspection in each framework, and with JWT access tokens. */
export function createApis(
  { tls, introspecting, validating }: ApiSettings,
  from: Parts = parts,
): Record<ApiName, Server> {
  const jwt = { ...validating, tokens: from.jwtAccessTokens() };
  return {
    Express: createServer(tls, expressApi(from.express, introspecting)),
    Koa: createServer(tls, koaApi(from.koa, introspecting)),
    JWT: createServer(tls, expressApi(from.express, jwt)),
  };
}

type Listener = (req: IncomingMessage, res: ServerResponse) => void;

function expressApi(
  { mtlsBound, requireScopes }: Parts['express'],
  options: expressMtls.ResourceServerOptions,
): Listener {
  const app = express();
  app.use(mtlsBound(options));
  app.get('/accounts', (req, res) => {
    res.json({ accounts: [], client: req.auth?.clientId });
  });
  app.get('/payments', requireScopes('payments:write'), (req, res) => {
    res.json({ payments: [], client: req.auth?.clientId });
  });
  return app as Listener;
}

function koaApi(
  { mtlsBound, requireScopes }: Parts['koa'],
  options: koaMtls.ResourceServerOptions,
): Listener {
  const app = new Koa();
  app.use(mtlsBound(options));
  const payments = requireScopes('payments:write');
  app.use(async (ctx, next) => {
    await (ctx.path === '/payments' ? payments(ctx, next) : next());
  });
  app.use((ctx) => {
    ctx.body = { [ctx.path.slice(1)]: [], client: ctx.state.auth.clientId };
  });
  return app.callback() as Listener;
}
