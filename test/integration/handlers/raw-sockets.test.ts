// Node gives CONNECT and upgrades to listeners of the server, with the bare connection. What is checked there by hand is decided as
// on a route: by the certificate of that very connection.

import { type IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect } from 'node:tls';
import { scopesPolicy } from '@mtls-bound/core';
import express from 'express';
import * as expressMtls from 'express-mtls';
import Koa from 'koa';
import * as koaMtls from 'koa-mtls';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type frameworks as all, frameworks, mutualTls } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import { createPki, type Identity, type Pki } from '../../support/pki.js';
import { boundClaims, optionsOver, pretendServer } from '../../support/pretend-server.js';

let pki: Pki;
beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  pki = await createPki();
});

let server: Server;
let accepted: number;
const ended = vi.fn();
beforeEach(() => {
  accepted = 0;
  ended.mockClear();
  process.on('unhandledRejection', ended).on('uncaughtException', ended);
});
afterEach(async () => {
  await close(server);
  process.off('unhandledRejection', ended).off('uncaughtException', ended);
  expect(ended).not.toHaveBeenCalled();
});

type Framework = (typeof all)[number];
type Decide = (req: IncomingMessage, socket: Duplex) => void;

/** The certificate comes from the TLS connection. */
function options(): expressMtls.ResourceServerOptions {
  const { certificate: _, ...more } = optionsOver(
    pretendServer((token) => (token === 'good' ? boundClaims(pki.alice) : { active: false })),
    undefined,
  );
  return more;
}

/** As docs/guides/streams.md shows it. */
function byResourceServer(framework: Framework): Decide {
  const { mtlsBound } = framework === 'Express' ? expressMtls : koaMtls;
  const { resourceServer } = mtlsBound(options());
  const decide = async (req: IncomingMessage, socket: Duplex): Promise<void> => {
    try {
      socket.on('error', () => socket.destroy());
      const granted = await resourceServer.authorize(req);
      await resourceServer.require(req, granted, scopesPolicy(['accounts:read']));
      accepted += 1;
      socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n');
    } catch (thrown) {
      resourceServer.answerUpgrade(thrown, req);
    }
  };
  return (req, socket) => void decide(req, socket);
}

/** The middleware itself, with a response that is put on the connection. */
function byMiddleware(framework: Framework): Decide {
  const handle = framework === 'Express' ? expressListener() : koaListener();
  return (req, socket) => {
    socket.on('error', () => socket.destroy());
    const res = new ServerResponse(req);
    res.shouldKeepAlive = false;
    res.assignSocket(req.socket);
    res.on('finish', () => req.socket.destroySoon());
    handle(req, res);
  };
}

function expressListener(): (req: IncomingMessage, res: ServerResponse) => void {
  const guard = expressMtls.mtlsBound(options());
  // Express answers CONNECT with 404, as its target is no path.
  return (req, res) => {
    Object.setPrototypeOf(res, express.response);
    guard(req as express.Request, res as express.Response, () => {
      accepted += 1;
      res.end();
    });
  };
}

function koaListener(): (req: IncomingMessage, res: ServerResponse) => void {
  const app = new Koa();
  app.use(koaMtls.mtlsBound(options())).use((ctx) => {
    accepted += 1;
    ctx.body = 'ok';
  });
  return (req, res) => void app.callback()(req, res);
}

/** Resolves with the answer on the bare connection, once the API has closed it. */
async function answerTo(
  decide: Decide,
  lines: string[],
  by?: Identity,
  more: ConnectionOptions = {},
  next?: string[],
): Promise<string> {
  server = createServer(mutualTls(pki), (req, res) => {
    if (req.url === '/quick') {
      res.writeHead(204).end();
    }
  });
  server.on('connect', decide).on('upgrade', decide);
  const port = await listen(server);
  return new Promise((resolve, reject) => {
    let answer = '';
    const to = { host: '127.0.0.1', port, ca: pki.ca.cert, servername: 'localhost', ...more };
    const client = connect({ ...to, ...(by && { cert: by.cert, key: by.key }) }, () =>
      client.write(`${lines.join('\r\n')}\r\n\r\n`),
    );
    client.on('data', (chunk) => {
      answer += chunk;
    });
    if (next !== undefined) {
      client.once('data', () => client.write(`${next.join('\r\n')}\r\n\r\n`));
    }
    client.on('error', reject).on('close', () => resolve(answer));
  });
}

const kinds: [string, string[]][] = [
  ['an upgrade', ['GET / HTTP/1.1', 'Host: api', 'Connection: Upgrade', 'Upgrade: websocket']],
  ['CONNECT', ['CONNECT api:443 HTTP/1.1', 'Host: api:443']],
];
const ways: [string, (framework: Framework) => Decide][] = [
  ['resourceServer', byResourceServer],
  ['the middleware', byMiddleware],
];
const good = 'Authorization: Bearer good';

/** What a client sends before an upgrade, on the same connection. */
const before: [string, string[]][] = [
  ['a request', ['GET /slow HTTP/1.1', 'Host: api', '', '']],
  ['two requests', ['GET /slow HTTP/1.1', 'Host: api', '', 'GET /slow HTTP/1.1', 'Host: api', '', '']],
];

describe.each(frameworks)('%s', (framework) => {
  describe.each(ways)('by %s', (_way, decideBy) => {
    describe.each(kinds)('%s', (_kind, head) => {
      it('with a token and the certificate that it is bound to is accepted', async () => {
        const answer = await answerTo(decideBy(framework), [...head, good], pki.alice);
        expect([answer.slice(0, 15), accepted]).toEqual(['HTTP/1.1 200 OK', 1]);
      });

      it.each<[string, string[], () => Identity | undefined, number, string]>([
        ['no token', [], () => pki.alice, 401, 'WWW-Authenticate: Bearer realm="api"'],
        ['a made-up token', ['Authorization: Bearer bad'], () => pki.alice, 401, 'error="invalid_token"'],
        ['the certificate of another client', [good], () => pki.bob, 401, 'error="invalid_token"'],
        ['no certificate', [good], () => undefined, 401, 'error="invalid_token"'],
        ['two tokens', [good, good], () => pki.alice, 400, 'error="invalid_request"'],
      ])(
        'with %s gets an answer on its connection, and is not accepted',
        async (_title, given, by, status, challenge) => {
          const answer = await answerTo(decideBy(framework), [...head, ...given], by());
          expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
          expect(answer).toContain(challenge);
          expect(answer).toMatch(/\r\nConnection: close\r\n/i);
          expect(accepted).toBe(0);
        },
      );

      it('over TLS 1.2 gets 400, as another handshake may be under way', async () => {
        const answer = await answerTo(decideBy(framework), [...head, good], pki.alice, {
          maxVersion: 'TLSv1.2',
        });
        expect(answer).toMatch(/^HTTP\/1\.1 400 /);
        expect(answer).toContain('The TLS version');
        expect(accepted).toBe(0);
      });
    });
  });

  describe.each(kinds)('by resourceServer, %s', (_kind, head) => {
    it.each(before)(
      'that is refused behind %s without an answer closes its connection alone',
      async (_title, first) => {
        const decide = byResourceServer(framework);
        const answer = await answerTo(decide, [...first, ...head, 'Authorization: Bearer bad'], pki.alice);
        expect([answer, accepted]).toEqual(['', 0]);
      },
    );

    it('that is refused after a request with an answer gets its own answer', async () => {
      const decide = byResourceServer(framework);
      const next = [...head, 'Authorization: Bearer bad'];
      const answer = await answerTo(decide, ['GET /quick HTTP/1.1', 'Host: api'], pki.alice, {}, next);
      expect(answer).toMatch(/^HTTP\/1\.1 204 .*HTTP\/1\.1 401 /s);
    });
  });
});
