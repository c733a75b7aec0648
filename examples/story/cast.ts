import { createServer, type Server } from 'node:https';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import {
  audience,
  jwtAudience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../test/support/authorization-server.js';
import { close, listen } from '../../test/support/loopback.js';
import { createPki, type Pki } from '../../test/support/pki.js';

export type ApiName = 'Express' | 'Koa' | 'JWT';

export interface Api {
  readonly url: string;
  /** What the API is called in a token's `aud`. */
  readonly audience: string;
}

/** Everyone in the story. */
export interface Story {
  readonly pki: Pki;
  readonly authorizationServer: TestAuthorizationServer;
  readonly clients: ReturnType<typeof testClients>;
  /** The same API three times: with introspection in each framework, and with JWT access tokens. */
  readonly apis: Readonly<Record<ApiName, Api>>;
  end(): Promise<void>;
}

export async function startStory(): Promise<Story> {
  const pki = await createPki();
  const authorizationServer = await startAuthorizationServer(pki);
  const { issuer, secrets } = authorizationServer;
  const http = { ca: pki.ca.cert };
  const introspecting = { issuer, clientId: 'api', clientSecret: secrets.api, audience, http };
  const validating = { issuer, audience: jwtAudience, http, tokens: expressMtls.jwtAccessTokens() };
  const tls = {
    cert: pki.server.cert,
    key: pki.server.key,
    ca: pki.ca.cert,
    requestCert: true,
    rejectUnauthorized: false,
  };
  const servers = {
    Express: createServer(tls, expressApi(introspecting)),
    Koa: createServer(tls, koaApi(introspecting)),
    JWT: createServer(tls, expressApi(validating)),
  };
  const apiOn = async (server: Server, name: string): Promise<Api> => ({
    url: `https://127.0.0.1:${await listen(server)}`,
    audience: name,
  });
  const apis = {
    Express: await apiOn(servers.Express, audience),
    Koa: await apiOn(servers.Koa, audience),
    JWT: await apiOn(servers.JWT, jwtAudience),
  };
  return {
    pki,
    authorizationServer,
    clients: testClients(pki),
    apis,
    end: async () => {
      await Promise.all([...Object.values(servers).map(close), authorizationServer.stop()]);
    },
  };
}

function expressApi(options: expressMtls.ResourceServerOptions) {
  const { mtlsBound, requireScopes } = expressMtls;
  const app = express();
  app.use(mtlsBound(options));
  app.get('/accounts', (req, res) => {
    res.json({ accounts: [], client: req.auth?.clientId });
  });
  app.get('/payments', requireScopes('payments:write'), (req, res) => {
    res.json({ payments: [], client: req.auth?.clientId });
  });
  return app;
}

function koaApi(options: koaMtls.ResourceServerOptions) {
  const { mtlsBound, requireScopes } = koaMtls;
  const app = new Koa();
  app.use(mtlsBound(options));
  app.use(async (ctx, next) => {
    await (ctx.path === '/payments' ? requireScopes('payments:write')(ctx, next) : next());
  });
  app.use((ctx) => {
    ctx.body = { [ctx.path.slice(1)]: [], client: ctx.state.auth.clientId };
  });
  return app.callback();
}
