import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type {
  ResourceServerOptions,
  Revocation,
  RevocationOptions,
  SharedCacheOptions,
} from '@mtls-bound/core';
import type { frameworks } from './apis.js';
import type { Identity } from './pki.js';

export interface FleetOptions {
  readonly size: number;
  /** Worker threads of this process, instead of processes. */
  readonly threads?: boolean;
  /** What passes between processes: no functions. */
  readonly options: ResourceServerOptions;
  readonly redisUrl?: string;
  readonly secret?: string;
  /** With a shared cache. */
  readonly shares?: Partial<SharedCacheOptions>;
  /** With a channel of revocations. */
  readonly spreads?: Partial<RevocationOptions>;
}

/** Several processes with one API each, in turns of Express and Koa, behind what stands for a proxy: plain HTTP and a header. */
export interface Fleet {
  readonly members: readonly Member[];
  close(): Promise<void>;
}

export interface Member {
  readonly framework: (typeof frameworks)[number];
  send(token: string, identity: Identity): Promise<number>;
  /** `spread`, or the code of the refusal. */
  revoke(revocation: Revocation): Promise<string>;
  /** Heap after a collection, and how many requests were let in. */
  measure(): Promise<{ heapUsed: number; handled: number }>;
  /** Rejects unless it ends by itself when asked: nothing of ours keeps it alive. */
  end(): Promise<void>;
}

const program = fileURLToPath(new URL('./fleet-process.mjs', import.meta.url));

export async function startFleet({ size, ...settings }: FleetOptions): Promise<Fleet> {
  const members = await Promise.all(Array.from({ length: size }, (_, i) => startMember(i, settings)));
  return {
    members,
    async close() {
      await Promise.all(members.map((member) => member.end()));
    },
  };
}

async function startMember(
  index: number,
  { threads = false, ...settings }: Omit<FleetOptions, 'size'>,
): Promise<Member> {
  const framework = index % 2 === 0 ? 'Koa' : 'Express';
  const child = threads
    ? asThread(new Worker(program))
    : fork(program, { execArgv: ['--no-warnings', '--expose-gc'] });
  child.send({ framework, ...settings });
  const [{ port }] = (await once(child as ChildProcess, 'message')) as [{ port: number }];
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  return {
    framework,
    async measure() {
      child.send({ measure: true });
      return reply(child, 'heapUsed');
    },
    end: () => end(child),
    send: (token, identity) => sendTo(port, agent, token, identity),
    async revoke(revocation) {
      child.send({ revoke: revocation });
      return (await reply<{ revoked: string }>(child, 'revoked')).revoked;
    },
  };
}

function sendTo(port: number, agent: Agent, token: string, identity: Identity): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      // NGINX's $ssl_client_escaped_cert.
      'x-ssl-client-cert': encodeURIComponent(identity.cert),
    };
    request({ host: '127.0.0.1', port, agent, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    })
      .on('error', reject)
      .end();
  });
}

/** What a process and a worker thread have in common. */
type Child = Pick<ChildProcess, 'on' | 'off' | 'once'> & { send(message: object): unknown; kill(): unknown };

/** The next message with this member: others may be meant for somebody else who waits. */
function reply<T>(child: Child, name: string): Promise<T> {
  return new Promise((resolve) => {
    const listener = (message: T & object): void => {
      if (name in message) {
        child.off('message', listener);
        resolve(message);
      }
    };
    child.on('message', listener);
  });
}

function asThread(worker: Worker): Child {
  return Object.assign(worker, {
    send: (message: object) => worker.postMessage(message),
    kill: () => worker.terminate(),
  }) as unknown as Child;
}

async function end(child: Child): Promise<void> {
  const exited = once(child as ChildProcess, 'exit');
  child.send({ close: true });
  const late = setTimeout(() => child.kill(), 10_000);
  const [code, signal] = await exited;
  clearTimeout(late);
  if (code !== 0) {
    throw new Error(`a member of the fleet did not end by itself: ${code ?? signal}`);
  }
}
