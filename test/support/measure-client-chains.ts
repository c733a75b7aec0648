// How long Node and the proxies of this machine take for a handshake with a chain that a client made to cost them time:
//   node --import tsx test/support/measure-client-chains.ts
import 'reflect-metadata';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import { fileURLToPath } from 'node:url';
import { mutualTls } from './apis.js';
import { costlyChain } from './costly-chain.js';
import { shortestHandshake } from './handshake-times.js';
import { close, listen } from './loopback.js';
import { createPki, type Identity, type Pki } from './pki.js';
import { findProgram } from './programs.js';
import { type ProxyStart, startProxy } from './real-proxies.js';

type Row = Pick<ProxyStart, 'program' | 'config' | 'replace'>;

const rows: Readonly<Record<string, Row>> = {
  NGINX: { program: 'nginx', config: 'nginx/nginx.conf' },
  'NGINX, optional': {
    program: 'nginx',
    config: 'nginx/nginx.conf',
    replace: { optional_no_ca: 'optional' },
  },
  'Apache httpd': { program: 'apache2', config: 'apache/apache.conf' },
  'Apache httpd, optional': {
    program: 'apache2',
    config: 'apache/apache.conf',
    replace: { optional_no_ca: 'optional' },
  },
  'HAProxy with ca-ignore-err all': {
    program: 'haproxy',
    config: 'haproxy/haproxy.cfg',
    replace: { 'crt-ignore-err all': 'crt-ignore-err all ca-ignore-err all' },
  },
  HAProxy: { program: 'haproxy', config: 'haproxy/haproxy.cfg' },
  Caddy: { program: 'caddy', config: 'caddy/Caddyfile' },
  Envoy: { program: 'envoy', config: 'envoy/envoy.yaml' },
};

if (process.send) {
  process.once('message', serveNode);
} else {
  await measure();
}

/** In a process of its own, as Node verifies on the thread that runs JavaScript. */
async function serveNode(pki: unknown): Promise<void> {
  const server = createServer(mutualTls(pki as Pki), (_req, res) => res.end());
  process.send?.(await listen(server));
}

async function measure(): Promise<void> {
  const pki = await createPki();
  const clients = [undefined, pki.selfSignedEc, await costlyChain(2550, 405)];
  print('', 'no certificate', 'self-signed', 'costly chain');
  const child = fork(fileURLToPath(import.meta.url));
  child.send(pki);
  const [port] = (await once(child, 'message')) as [number];
  await printTimes(`Node ${process.version}`, port, clients);
  child.kill();
  const api = createPlainServer((_req, res) => res.end());
  const upstream = await listen(api);
  for (const [title, row] of Object.entries(rows)) {
    if (findProgram(row.program) === undefined) {
      print(title, 'not installed');
      continue;
    }
    const proxy = await startProxy({ ...row, pki, upstream, secret: 'secret' });
    await printTimes(title, proxy.port, clients);
    await proxy.close();
  }
  await close(api);
}

async function printTimes(title: string, port: number, clients: readonly (Identity | undefined)[]) {
  const times: string[] = [];
  for (const client of clients) {
    times.push(`${Math.round(await shortestHandshake(port, client))} ms`);
  }
  print(title, ...times);
}

function print(title: string, ...columns: readonly string[]): void {
  const padded = columns.map((column) => column.padStart(16));
  process.stdout.write(`${title.padEnd(32)}${padded.join('')}\n`);
}
