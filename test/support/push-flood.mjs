// An API with the push endpoint of Shared Signals, from the built packages, that is sent many tokens which no transmitter made.
// Writes what the requests were answered with, and ends.
import { createServer, request } from 'node:http';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';

process.on('warning', () => undefined);

const [framework, unit, count] = process.argv.slice(2);
const transmitter = 'https://transmitter.example.com';
const audience = 'https://api.example.com';

// The keys arrive when the server has read each request.
let unread = Number(count);
let release;
const allRead = new Promise((resolve) => {
  release = resolve;
});
const fetch = async (url) => {
  if (String(url).endsWith('/jwks')) {
    await allRead;
    return Response.json({ keys: [] });
  }
  return Response.json({ issuer: transmitter, jwks_uri: `${transmitter}/jwks` });
};

// On a busy machine they arrive late.
const http = { fetch, timeout: 50 };
const { listener, receiver } = framework === 'Koa' ? koaApi() : expressApi();
const server = createServer((req, res) => {
  req.once('end', () => {
    unread -= 1;
    if (unread === 0) {
      setImmediate(release);
    }
  });
  listener(req, res);
}).listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));

const encoded = (text) => Buffer.from(text).toString('base64url');
const header = encoded('{"alg":"ES256","kid":"made up","typ":"secevent+jwt"}');
const units = Array(Math.floor(48_500 / (unit.length + 1))).fill(unit);
const payload = encoded(`{"iss":"${transmitter}","iat":1,"x":[${units}]}`);
const body = Buffer.from(`${header}.${payload}.${Buffer.alloc(64, 1).toString('base64url')}`);

const answers = await Promise.all(Array.from({ length: Number(count) }, push));
receiver.close();
server.closeAllConnections();
server.close();
const counted = {};
for (const answer of answers) {
  counted[answer] = (counted[answer] ?? 0) + 1;
}
process.stdout.write(JSON.stringify(counted));

function push() {
  return new Promise((resolve, reject) => {
    const { port } = server.address();
    const headers = { 'content-type': 'application/secevent+jwt', 'content-length': body.length };
    request({ host: '127.0.0.1', port, method: 'POST', path: '/', headers, agent: false }, (res) => {
      res.resume();
      const retryAfter = res.headers['retry-after'];
      res.once('end', () =>
        resolve(retryAfter ? `${res.statusCode}, Retry-After: ${retryAfter}` : res.statusCode),
      );
    })
      .once('error', reject)
      .end(body);
  });
}

function guardOf({ mtlsBound, jwtAccessTokens }) {
  return mtlsBound({ issuer: transmitter, audience, tokens: jwtAccessTokens(), http });
}

function expressApi() {
  const receive = expressMtls.sharedSignals(guardOf(expressMtls), { transmitter, audience, http });
  return { listener: express().post('/', receive), receiver: receive.receiver };
}

function koaApi() {
  const receive = koaMtls.sharedSignals(guardOf(koaMtls), { transmitter, audience, http });
  return { listener: new Koa().use(receive).callback(), receiver: receive.receiver };
}
