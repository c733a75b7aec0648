import { createServer } from 'node:http';
import { apache, caddy, haproxy, nginx, type ProxyPreset, proxyHeader } from '@mtls-bound/core';
import { mtlsBound } from 'express-mtls';
import { expect, it, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { audience } from '../../support/authorization-server.js';
import { answer, goodClaims } from '../../support/faulty-server.js';
import { close, listen } from '../../support/loopback.js';
import type { Identity, Pki } from '../../support/pki.js';
import { describeReal } from '../../support/programs.js';
import { type ProxyProgram, startProxy } from '../../support/real-proxies.js';
import { useFaultyServer } from '../../support/suites.js';

const secret = 'the-secret-of-this-test-run';

vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
const { pki, server } = await useFaultyServer();
server.introspection = (req, res, body) => {
  const name = new URLSearchParams(body).get('token') as keyof Pki;
  answer(200, goodClaims(server.issuer, pki[name].thumbprint))(req, res, body);
};

interface Row {
  readonly program: ProxyProgram;
  readonly config: string;
  readonly preset: ProxyPreset;
  readonly forged: readonly [string, string];
  readonly replace?: Readonly<Record<string, string>>;
}

/** An API that answers upgrade requests as docs/guides/streams.md shows, and any other request with 404. */
async function behind(row: Row, use: (port: number) => Promise<void>): Promise<void> {
  const { resourceServer } = mtlsBound({
    issuer: server.issuer,
    clientId: 'api',
    clientSecret: 'secret',
    audience,
    http: { ca: pki.ca.cert },
    certificate: proxyHeader(row.preset, {
      trust: 'loopback',
      secret: { header: 'x-proxy-secret', value: secret },
    }),
  });
  const sockets = new WebSocketServer({ noServer: true });
  const api = createServer((_req, res) => res.writeHead(404).end());
  api.on('upgrade', async (req, socket, head) => {
    try {
      socket.on('error', () => socket.destroy());
      await resourceServer.authorize(req);
      sockets.handleUpgrade(req, socket, head, (webSocket) => {
        webSocket.on('error', () => webSocket.terminate());
        webSocket.on('message', (message) => webSocket.send(`echo ${message}`));
      });
    } catch (thrown) {
      resourceServer.answerUpgrade(thrown, req);
    }
  });
  const upstream = await listen(api);
  try {
    const { program, config, replace } = row;
    const proxy = await startProxy({ program, config, pki, upstream, secret, ...(replace && { replace }) });
    try {
      await use(proxy.port);
    } finally {
      await proxy.close();
    }
  } finally {
    for (const webSocket of sockets.clients) {
      webSocket.terminate();
    }
    await close(api);
  }
}

/** What the client receives for its first message, or the status of the answer that is no WebSocket. */
function outcome(
  port: number,
  identity: 'alice' | 'bob' | undefined,
  headers: Record<string, string> = {},
): Promise<unknown> {
  const { cert, key }: Partial<Identity> = identity === undefined ? {} : pki[identity];
  const tls = { servername: 'api.example.com', ca: pki.ca.cert, ...(identity && { cert, key }) };
  return new Promise((resolve, reject) => {
    const webSocket = new WebSocket(`wss://127.0.0.1:${port}/events`, {
      ...(tls as object),
      headers: { Host: 'api.example.com', Authorization: 'Bearer alice', ...headers },
    });
    webSocket.on('error', reject);
    webSocket.on('unexpected-response', (req, res) => {
      req.destroy();
      resolve(res.statusCode);
    });
    webSocket.on('open', () => webSocket.send('hello'));
    webSocket.on('message', (message) => {
      webSocket.terminate();
      resolve(String(message));
    });
  });
}

const encoded = encodeURIComponent(pki.alice.cert);
const base64 = pki.alice.der.toString('base64');
const rows: readonly Row[] = [
  {
    program: 'nginx',
    config: 'nginx/websockets.conf',
    preset: nginx(),
    forged: ['X-SSL-Client-Cert', encoded],
  },
  {
    program: 'haproxy',
    config: 'haproxy/haproxy.cfg',
    preset: haproxy(),
    forged: ['X-SSL-Client-Cert', base64],
  },
  {
    program: 'apache2',
    config: 'apache/apache.conf',
    preset: apache(),
    forged: ['X-SSL-Client-Cert', pki.alice.cert.replaceAll('\n', ' ')],
    // In the file of the page, behind the address of the API.
    replace: { '/\n  </Location>': '/ upgrade=websocket\n  </Location>' },
  },
  { program: 'caddy', config: 'caddy/Caddyfile', preset: caddy(), forged: ['Client-Cert', `:${base64}:`] },
];

for (const row of rows) {
  describeReal(row.program, `a WebSocket through ${row.config}`, () => {
    it('opens for a client with its own token and certificate, and for no other', () =>
      behind(row, async (port) => {
        const forged = Object.fromEntries([row.forged]);
        expect(await outcome(port, 'alice')).toBe('echo hello');
        expect(await outcome(port, 'bob')).toBe(401);
        expect(await outcome(port, 'bob', forged)).toBe(401);
        expect(await outcome(port, undefined, forged)).toBe(401);
      }));
  });
}

describeReal('nginx', 'a WebSocket through nginx/nginx.conf', () => {
  it('does not open: NGINX sends the request on as one without an upgrade', () =>
    behind({ ...rows[0], config: 'nginx/nginx.conf' } as Row, async (port) => {
      expect(await outcome(port, 'alice')).toBe(404);
    }));
});
