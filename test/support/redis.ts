import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@redis/client';
import { close, listen } from './loopback.js';
import { findProgram } from './programs.js';

/** A real redis-server that keeps nothing on disk. */
export interface TestRedis {
  readonly url: string;
  kill(): Promise<void>;
  /** The same port, and nothing in it. */
  start(): Promise<void>;
}

export async function startRedis(): Promise<TestRedis> {
  const probe = createServer();
  const port = await listen(probe);
  await close(probe);
  let running: ChildProcess | undefined;
  const redis: TestRedis = {
    url: `redis://127.0.0.1:${port}`,
    async kill() {
      if (running !== undefined && running.exitCode === null && running.signalCode === null) {
        running.kill('SIGKILL');
        await once(running, 'exit');
      }
    },
    async start() {
      const program = findProgram('redis-server') ?? 'redis-server';
      const options = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
      running = spawn(program, options, { stdio: 'ignore' });
      process.once('exit', () => running?.kill('SIGKILL'));
      await answering(redis.url);
    },
  };
  await redis.start();
  return redis;
}

async function answering(url: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const client = createClient({ url, socket: { reconnectStrategy: false } });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.ping();
      client.destroy();
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new Error('redis-server does not answer');
}
