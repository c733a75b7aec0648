import type { ResourceServer, ResourceServerOptions } from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import request from 'supertest';
import type { frameworks } from './apis.js';

/** An API in this process whose routes are guarded: `/`, and `/active` by `requireActive()`. */
export interface GuardedApi {
  readonly server: ResourceServer;
  /** The status of the answer to a request with this token. */
  status(token: string, path?: string): Promise<number>;
  /** The answer, whose body is the `Authorization` of a request that was let in. */
  answer(token: string, path: string, headers: Record<string, string>): Promise<request.Response>;
  /** Posts a form to its revocation endpoint, with a token that grants `tokens:revoke`. */
  postRevocation(token: string, form: object): Promise<number>;
}

export function guardedApi(
  framework: (typeof frameworks)[number],
  options: ResourceServerOptions,
): GuardedApi {
  const { listener, server } = framework === 'Express' ? expressApi(options) : koaApi(options);
  return {
    server,
    status: async (token, path = '/') =>
      (await request(listener).get(path).auth(token, { type: 'bearer' })).status,
    answer: async (token, path, headers) =>
      request(listener).get(path).set(headers).auth(token, { type: 'bearer' }),
    postRevocation: async (token, form) =>
      (await request(listener).post('/revocations').auth(token, { type: 'bearer' }).type('form').send(form))
        .status,
  };
}

function expressApi(options: ResourceServerOptions) {
  const guard = expressMtls.mtlsBound(options);
  const app = express();
  app.use(guard);
  app.post('/revocations', expressMtls.revocationEndpoint('tokens:revoke'));
  app.get('/active', expressMtls.requireActive());
  app.use((req, res) => void res.json(req.auth));
  return { listener: app, server: guard.resourceServer };
}

function koaApi(options: ResourceServerOptions) {
  const guard = koaMtls.mtlsBound(options);
  const guards = new Map<string, Koa.Middleware>([
    ['/revocations', koaMtls.revocationEndpoint('tokens:revoke') as Koa.Middleware],
    ['/active', koaMtls.requireActive() as Koa.Middleware],
  ]);
  const app = new Koa();
  app.use(guard);
  app.use(async (ctx, next) => (guards.get(ctx.path) ?? pass)(ctx, next));
  app.use((ctx) => {
    ctx.body = ctx.state.auth;
  });
  return { listener: app.callback(), server: guard.resourceServer };
}

const pass: Koa.Middleware = (_ctx, next) => next();
