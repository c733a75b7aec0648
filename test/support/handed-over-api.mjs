// An API that listens on a socket which another process opened and handed over as descriptor 3, as systemd does. Prints a token
// that is bound to the certificate with the thumbprint that it is given.
import { createServer } from 'node:http';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';

const [framework, trust, thumbprint] = process.argv.slice(2);
const kit = await createTestKit();
const certificate = expressMtls.proxyHeader(expressMtls.nginx(), { trust });
const options = { ...kit.options, certificate };

function expressApi() {
  const app = express();
  app.use(expressMtls.mtlsBound(options), (_req, res) => res.json({}));
  return app;
}

function koaApi() {
  const app = new Koa();
  app.use(koaMtls.mtlsBound(options)).use((ctx) => {
    ctx.body = {};
  });
  return app.callback();
}

createServer(framework === 'Express' ? expressApi() : koaApi()).listen({ fd: 3 }, () => {
  process.stdout.write(`${kit.boundToken({ claims: { cnf: { 'x5t#S256': thumbprint } } })}\n`);
});
