import { createServer } from 'node:https';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import {
  audience,
  startAuthorizationServer,
  type TestAuthorizationServer,
  testClients,
} from '../../test/support/authorization-server.js';
import { close, listen } from '../../test/support/loopback.js';
import { createPki, type Pki } from '../../test/support/pki.js';

/** Everyone in the story. */
export interface Story {
  readonly pki: Pki;
  readonly authorizationServer: TestAuthorizationServer;
  readonly clients: ReturnType<typeof testClients>;
  /** The same API twice, by the name of its framework. */
  readonly apis: Readonly<Record<'Express' | 'Koa', string>>;
  end(): Promise<void>;
}

export async function startStory(): Promise<Story> {
  const pki = await createPki();
  const authorizationServer = await startAuthorizationServer(pki);
  const options = {
    issuer: authorizationServer.issuer,
    clientId: 'api',
    clientSecret: authorizationServer.secrets.api,
    audience,
    http: { ca: pki.ca.cert },
  };
  const tls = {
    cert: pki.server.cert,
    key: pki.server.key,
    ca: pki.ca.cert,
    requestCert: true,
    rejectUnauthorized: false,
  };
  const servers = {
    Express: createServer(tls, expressApi(options)),
    Koa: createServer(tls, koaApi(options)),
  };
  const apis = {
    Express: `https://127.0.0.1:${await listen(servers.Express)}`,
    Koa: `https://127.0.0.1:${await listen(servers.Koa)}`,
  };
  return {
    pki,
    authorizationServer,
    clients: testClients(pki),
    apis,
    end: async () => {
      await Promise.all([close(servers.Express), close(servers.Koa), authorizationServer.stop()]);
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
