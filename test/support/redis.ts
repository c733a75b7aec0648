import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type RedisClientType } from '@redis/client';
import { close, listen } from './loopback.js';
import type { Pki } from './pki.js';
import { findProgram } from './programs.js';

export interface RedisSettings {
  /** Further arguments of `redis-server`. */
  readonly options?: readonly string[];
  /** Keeps what it stores on disk. By default it keeps nothing. */
  readonly isPersistent?: boolean;
  /** Speaks TLS alone, with the server's certificate. */
  readonly tls?: Pki;
  /** Runs as a sentinel, with this configuration. */
  readonly sentinel?: readonly string[];
}

/** A real redis-server. */
export interface TestRedis {
  readonly url: string;
  readonly port: number;
  /** The process id. */
  readonly pid: number;
  kill(): Promise<void>;
  /** Starts it again on its port. It is empty unless the server is persistent. */
  start(): Promise<void>;
  /** Stops the process by SIGSTOP, until `SIGCONT`. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
  /** Sends one command on a connection of its own. */
  command(...args: string[]): Promise<unknown>;
  /** How many clients are connected, without the one that asks. */
  connections(): Promise<number>;
}

export async function startRedis(settings: RedisSettings = {}): Promise<TestRedis> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'mtls-bound-redis-'));
  const { tls } = settings;
  const options = optionsOf(settings, port, folder);
  const url = `${tls ? 'rediss' : 'redis'}://127.0.0.1:${port}`;
  const socket = tls ? { tls: true as const, ca: tls.ca.cert } : {};
  let running: ChildProcess | undefined;
  process.once('exit', () => {
    running?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  async function withClient<T>(use: (client: RedisClientType) => Promise<T>): Promise<T> {
    const client: RedisClientType = createClient({ url, socket: { ...socket, reconnectStrategy: false } });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await use(client);
    } finally {
      client.destroy();
    }
  }

  const redis: TestRedis = {
    url,
    port,
    get pid() {
      return running?.pid ?? 0;
    },
    async kill() {
      if (running !== undefined && running.exitCode === null && running.signalCode === null) {
        running.kill('SIGKILL');
        await once(running, 'exit');
      }
    },
    async start() {
      running = spawn(findProgram('redis-server') ?? 'redis-server', options, { stdio: 'ignore' });
      for (let attempt = 0; attempt < 200; attempt += 1) {
        try {
          await withClient((client) => client.sendCommand(['PING']));
          return;
        } catch {
          await sleep(50);
        }
      }
      throw new Error('redis-server does not answer');
    },
    signal: (name) => void running?.kill(name),
    command: (...args) => withClient((client) => client.sendCommand(args)),
    connections: () =>
      withClient(async (client) => {
        const list = String(await client.sendCommand(['CLIENT', 'LIST', 'TYPE', 'normal']));
        const listeners = String(await client.sendCommand(['CLIENT', 'LIST', 'TYPE', 'pubsub']));
        return `${list}${listeners}`.trim().split('\n').length - 1;
      }),
  };
  await redis.start();
  return redis;
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  const port = await listen(probe);
  await close(probe);
  return port;
}

function optionsOf(
  { options = [], isPersistent = false, tls, sentinel }: RedisSettings,
  port: number,
  folder: string,
): string[] {
  if (sentinel !== undefined) {
    const file = join(folder, 'sentinel.conf');
    writeFileSync(file, [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, ...sentinel, ''].join('\n'));
    return [file, '--sentinel'];
  }
  const keeps = isPersistent
    ? ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
    : ['--appendonly', 'no', '--save', ''];
  return [
    ...(tls ? ['--port', '0', ...tlsOptions(tls, port, folder)] : ['--port', `${port}`]),
    ...['--bind', '127.0.0.1', '--dir', folder, ...keeps, ...options],
  ];
}

function tlsOptions(pki: Pki, port: number, folder: string): string[] {
  const write = (name: string, text: string): string => {
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  return [
    ...['--tls-port', `${port}`, '--tls-auth-clients', 'no'],
    ...['--tls-cert-file', write('cert.pem', pki.server.cert)],
    ...['--tls-key-file', write('key.pem', pki.server.key)],
    ...['--tls-ca-cert-file', write('ca.pem', pki.ca.cert)],
  ];
}
