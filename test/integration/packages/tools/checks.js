// What a bundle and a test runner have to do: an Express and a Koa API over TLS let the good client in, and refuse another client
// with the good client's token. Then the test kit.
import assert from 'node:assert';
import { createServer } from 'node:https';
import { createTestKit } from '@mtls-bound/core/testing';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { ask, listening, startAuthorizationServer, tls } from './authorization-server.js';

// These look into the certificate, so that the libraries for it are loaded too.
const certificatePolicy = { extendedKeyUsage: 'clientAuth' };
const subject = { CN: 'client_id' };

function expressApi(options) {
  const app = express();
  app.use(expressMtls.mtlsBound(options));
  app.get('/', expressMtls.requireCertificateSubject(subject), (req, res) => {
    res.send(req.auth.clientId);
  });
  return app;
}

function koaApi(options) {
  const app = new Koa();
  app.use(koaMtls.mtlsBound(options)).use(koaMtls.requireCertificateSubject(subject));
  app.use((ctx) => {
    ctx.body = ctx.state.auth.clientId;
  });
  return app.callback();
}

export const { mtlsBound } = expressMtls;

export async function checkApis() {
  const { server, options } = await startAuthorizationServer();
  for (const api of [expressApi, koaApi]) {
    const served = createServer(tls, api({ ...options, certificatePolicy }));
    const port = await listening(served);
    try {
      assert.equal(await ask(port, 'good'), '200 client');
      assert.match(await ask(port, 'other'), /^401 .*invalid_token/);
    } finally {
      served.close();
    }
  }
  server.close();
  server.closeAllConnections();
}

export async function checkTestKit() {
  const kit = await createTestKit();
  const served = createServer(tls, expressApi({ ...kit.options }));
  const port = await listening(served);
  const certificate = await kit.createCertificate({ subject: 'CN=client' });
  const other = await kit.createCertificate({ subject: 'CN=client' });
  const headers = { authorization: `Bearer ${kit.boundToken({ clientId: 'client', certificate })}` };
  const withCertificate = (presented) => {
    const all = { ...headers };
    kit.withCertificate({ set: (name, value) => Object.assign(all, { [name]: value }) }, presented);
    return all;
  };
  try {
    assert.equal(await ask(port, 'good', withCertificate(certificate)), '200 client');
    assert.match(await ask(port, 'good', withCertificate(other)), /^401 .*invalid_token/);
  } finally {
    served.close();
  }
}

/** A route behind DPoP, as a user tests it: the right key, another key, and the same token under Bearer. */
export async function checkProofs() {
  const kit = await createTestKit();
  const options = { ...kit.options, dpop: { origin: 'https://api.example.com' } };
  const expressApp = express()
    .use(expressMtls.mtlsBound(options))
    .get('/', (req, res) => res.send(req.auth.clientId));
  const koaApp = new Koa().use(koaMtls.mtlsBound(options)).use((ctx) => {
    ctx.body = ctx.state.auth.clientId;
  });
  const token = kit.boundToken({ clientId: 'client', key: kit.key });
  const withProof = (wanted) => {
    const all = {};
    const request = {
      method: 'GET',
      url: '/',
      set: (name, value) => Object.assign(all, { [name.toLowerCase()]: value }),
    };
    kit.withProof(request, token, wanted);
    return all;
  };
  for (const api of [expressApp, koaApp.callback()]) {
    const served = createServer(tls, api);
    const port = await listening(served);
    try {
      assert.equal(await ask(port, 'good', withProof()), '200 client');
      assert.match(await ask(port, 'good', withProof({ key: kit.otherKey })), /^401 .*invalid_token/);
      assert.match(await ask(port, 'good', { authorization: `Bearer ${token}` }), /^401 .*invalid_token/);
    } finally {
      served.close();
    }
  }
}
