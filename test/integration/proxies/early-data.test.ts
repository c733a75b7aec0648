// TLS early data (0-RTT, RFC 8446 §2.3), which an attacker can record and send again: Node and the configurations that the
// pages show accept none. OpenSSL's client sends it, as Node's can't.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import express, { type RequestHandler } from 'express';
import { describe, expect, it } from 'vitest';
import { textOf } from '../../docs/pages.js';
import { mutualTls } from '../../support/apis.js';
import { close, listen } from '../../support/loopback.js';
import { createPki } from '../../support/pki.js';
import { describeReal, findProgram } from '../../support/programs.js';
import { startProxy } from '../../support/real-proxies.js';
import { useFolder } from '../../support/suites.js';

const pki = await createPki();
const folder = useFolder();
writeFileSync(join(folder, 'client.pem'), pki.alice.cert);
writeFileSync(join(folder, 'client.key'), pki.alice.key);
const requestOf = (method: string, path: string): string =>
  `${method} ${path} HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;

/** Runs OpenSSL's client, and returns what it prints until the server ends the connection, or until this matches. */
async function openssl(
  port: number,
  args: readonly string[],
  input: string,
  until?: RegExp,
): Promise<string> {
  const to = ['-connect', `127.0.0.1:${port}`, '-servername', 'api.example.com', '-tls1_3', '-ign_eof'];
  const identity = ['-cert', 'client.pem', '-key', 'client.key'];
  const program = spawn('openssl', ['s_client', ...to, ...identity, ...args], { cwd: folder });
  let printed = '';
  for (const stream of [program.stdout, program.stderr]) {
    stream.setEncoding('latin1').on('data', (text) => {
      printed += text;
      if (until?.test(printed)) {
        program.kill('SIGKILL');
      }
    });
  }
  program.stdin.on('error', () => undefined).write(input);
  const end = setTimeout(() => program.kill('SIGKILL'), 5000);
  await once(program, 'close');
  clearTimeout(end);
  return printed;
}

const outcome = /Early data was (?:not sent|rejected|accepted)/;

/** What a client is told that it may send early, and what becomes of a request that it sends so. */
async function earlyDataAt(port: number): Promise<{ max: readonly string[]; outcome: string | undefined }> {
  const session = join(folder, 'session.pem');
  rmSync(session, { force: true });
  const first = await openssl(port, ['-sess_out', 'session.pem'], requestOf('GET', '/first'));
  expect(first).toMatch(/HTTP\/1\.1 200/);
  writeFileSync(join(folder, 'early.txt'), requestOf('POST', '/early'));
  const max = new Set([...first.matchAll(/Max Early Data: (\d+)/g)].map(([, bytes = '']) => bytes));
  if (!existsSync(session)) {
    return { max: [...max], outcome: undefined };
  }
  const second = await openssl(port, ['-sess_in', 'session.pem', '-early_data', 'early.txt'], '', outcome);
  return { max: [...max], outcome: outcome.exec(second)?.[0] };
}

const hasOpenssl = findProgram('openssl') !== undefined;

describe('Node', () => {
  it.runIf(hasOpenssl)('takes no early data', async () => {
    const api = createTlsServer(mutualTls(pki), (_req, res) => res.end('ok'));
    const port = await listen(api);
    try {
      expect(await earlyDataAt(port)).toEqual({ max: ['0'], outcome: 'Early data was not sent' });
    } finally {
      await close(api);
    }
  });
});

const shown = [
  ['nginx', 'nginx/nginx.conf'],
  ['nginx', 'nginx/fapi.conf'],
  ['haproxy', 'haproxy/haproxy.cfg'],
  ['apache2', 'apache/apache.conf'],
  ['caddy', 'caddy/Caddyfile'],
  ['envoy', 'envoy/envoy.yaml'],
] as const;

for (const [program, config] of shown) {
  describeReal(program, `the configuration ${config}`, () => {
    it.runIf(hasOpenssl)('takes no early data', async () => {
      const api = createServer((_req, res) => res.end('ok'));
      const upstream = await listen(api);
      const proxy = await startProxy({ program, config, pki, upstream, secret: 'a-secret-of-this-test' });
      try {
        const { max, outcome } = await earlyDataAt(proxy.port);
        expect(max.filter((bytes) => bytes !== '0')).toEqual([]);
        expect(outcome).not.toBe('Early data was accepted');
      } finally {
        await proxy.close();
        await close(api);
      }
    });
  });
}

/** Forwards to a port, and keeps what the client sends before the server answers. */
async function startRecorder(port: number) {
  const recorded: Buffer[] = [];
  let hasAnswered = false;
  const sockets = new Set<Socket>();
  const recorder = createTcpServer((client) => {
    const server = connect(port, '127.0.0.1');
    for (const socket of [client, server]) {
      sockets.add(socket.on('error', () => undefined));
    }
    client.on('data', (data) => {
      if (!hasAnswered) {
        recorded.push(data);
      }
      server.write(data);
    });
    server.on('data', (data) => {
      hasAnswered = true;
      client.write(data);
    });
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
  });
  const ownPort = await listen(recorder as never);
  return {
    port: ownPort,
    recorded,
    end: async () => {
      for (const socket of sockets) {
        socket.destroy();
      }
      await close(recorder as never);
    },
  };
}

const accepted = 'Early data was accepted';

describeReal('nginx', 'a proxy', () => {
  it.runIf(hasOpenssl)(
    'that accepts early data forwards a recorded request again, and the lines of the guide answer 425',
    async () => {
      const guide = textOf('docs/guides/tls.md');
      const [, lines = ''] = /```js\n(app\.use\(\(req[\s\S]*?early-data[\s\S]*?)```/.exec(guide) ?? [];
      const [directive = ''] = /proxy_set_header Early-Data \$ssl_early_data;/.exec(guide) ?? [];
      const app = express();
      const arrived: string[] = [];
      const answered: number[] = [];
      app.use((req, res, next) => {
        const isAlice = req.headers['x-ssl-client-cert'] === encodeURIComponent(pki.alice.cert);
        arrived.push(`${req.method} ${req.url} ${req.headers['early-data']} ${isAlice}`);
        res.on('finish', () => answered.push(res.statusCode));
        next();
      });
      new Function('app', lines)({ use: (handler: RequestHandler) => app.use(handler) });
      app.use((_req, res) => res.send('ok'));
      const api = createServer(app);
      const upstream = await listen(api);
      const proxy = await startProxy({
        program: 'nginx',
        config: 'nginx/nginx.conf',
        pki,
        upstream,
        secret: 'a-secret-of-this-test',
        replace: {
          'ssl http2;': 'ssl;',
          'ssl_protocols ': 'ssl_early_data on; ssl_protocols ',
          'proxy_set_header   Host $host;': `proxy_set_header Host $host; ${directive}`,
        },
      });
      try {
        let recorded: readonly Buffer[] = [];
        let told = '';
        // A client may get its ticket too late to send early data, so the recording is tried three times.
        for (let attempt = 1; attempt <= 3 && !told.includes(accepted); attempt += 1) {
          arrived.length = 0;
          answered.length = 0;
          const recorder = await startRecorder(proxy.port);
          try {
            await openssl(proxy.port, ['-sess_out', 'session.pem'], requestOf('GET', '/first'));
            writeFileSync(join(folder, 'early.txt'), requestOf('POST', '/early'));
            const args = ['-sess_in', 'session.pem', '-early_data', 'early.txt'];
            told = await openssl(recorder.port, args, '');
            ({ recorded } = recorder);
          } finally {
            await recorder.end();
          }
        }
        expect(told).toContain(accepted);
        const before = ['GET /first undefined true', 'POST /early 1 true'];
        expect(arrived).toEqual(before);
        // The attacker has no key: it sends the recorded bytes, and can't end the handshake.
        for (let copy = 1; copy <= 2; copy += 1) {
          const attacker = connect(proxy.port, '127.0.0.1').on('error', () => undefined);
          attacker.write(Buffer.concat(recorded));
          await expect.poll(() => arrived.length, { timeout: 5000 }).toBe(before.length + copy);
          await sleep(50);
          attacker.destroy();
        }
        expect(arrived.slice(before.length)).toEqual(['POST /early 1 true', 'POST /early 1 true']);
        await expect.poll(() => answered).toEqual([200, 425, 425, 425]);
      } finally {
        await proxy.close();
        await close(api);
      }
    },
    30_000,
  );
});
