import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type {
  RedisLogOptions,
  ResourceServerOptions,
  Revocation,
  RevocationOptions,
  SharedCacheOptions,
} from '@mtls-bound/core';
import type { frameworks } from './apis.js';
import type { Identity } from './pki.js';
import { findProgram } from './programs.js';

export interface FleetOptions {
  readonly size: number;
  /** Worker threads of this process, instead of processes. */
  readonly threads?: boolean;
  /** What passes between processes: no functions. */
  readonly options: ResourceServerOptions;
  readonly redisUrl?: string;
  /** In place of `redisUrl`. */
  readonly sentinels?: { readonly name: string; readonly nodes: readonly object[] };
  readonly secret?: string;
  /** With a shared cache. */
  readonly shares?: Partial<SharedCacheOptions>;
  /** With a channel of revocations. */
  readonly spreads?: Partial<RevocationOptions>;
  /** With a log of revocations. */
  readonly keeps?: Partial<RevocationOptions>;
  readonly logOptions?: RedisLogOptions;
  /** Tokens are JWTs that the processes verify. */
  readonly isJwt?: boolean;
  /** By how much the clock of a process differs, as `faketime` takes it. Default: not at all. */
  readonly clocks?: readonly (string | undefined)[];
}

/** Several processes with one API each, in turns of Express and Koa, behind what stands for a proxy: plain HTTP and a header. */
export interface Fleet {
  readonly members: readonly Member[];
  close(): Promise<void>;
}

export interface Member {
  readonly framework: (typeof frameworks)[number];
  send(token: string, identity: Pick<Identity, 'cert'>): Promise<number>;
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
  /** Ends it at once, as the operating system may. */
  kill(): Promise<void>;
  /** `spread`, the code of the refusal, or `killed`. One at a time. */
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
  { threads = false, clocks = [], ...settings }: Omit<FleetOptions, 'size'>,
): Promise<Member> {
  const framework = index % 2 === 0 ? 'Koa' : 'Express';
  const child = threads ? asThread(new Worker(program)) : forkAt(clocks[index]);
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
    signal: (name) => void (child as ChildProcess).kill(name),
    async kill() {
      const exited = once(child as ChildProcess, 'exit');
      (child as ChildProcess).kill('SIGKILL');
      await exited;
    },
    send: (token, identity) => sendTo(port, agent, token, identity),
    async revoke(revocation) {
      if ((child as ChildProcess).connected === false) {
        return 'killed';
      }
      const exited = new Promise<string>((resolve) => child.once('exit', () => resolve('killed')));
      child.send({ revoke: revocation });
      const answer = reply<{ revoked: string }>(child, 'revoked').then(({ revoked }) => revoked);
      return Promise.race([answer, exited]);
    },
  };
}

/** A process whose wall clock differs. */
function forkAt(clock: string | undefined): ChildProcess {
  const node = ['--no-warnings', '--expose-gc'];
  if (clock === undefined) {
    return fork(program, { execArgv: node });
  }
  return fork(program, {
    execPath: findProgram('faketime') ?? 'faketime',
    execArgv: ['-f', clock, process.execPath, ...node],
    env: { ...process.env, FAKETIME_DONT_FAKE_MONOTONIC: '1' },
  });
}

function sendTo(
  port: number,
  agent: Agent,
  token: string,
  identity: Pick<Identity, 'cert'>,
): Promise<number> {
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

/** The next message with this member. Messages without it may be meant for another waiting call. */
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
  if ((child as ChildProcess).signalCode === 'SIGKILL') {
    return;
  }
  const exited = once(child as ChildProcess, 'exit');
  child.send({ close: true });
  const late = setTimeout(() => child.kill(), 25_000);
  const [code, signal] = await exited;
  clearTimeout(late);
  if (code !== 0) {
    throw new Error(`a member of the fleet did not end by itself: ${code ?? signal}`);
  }
}
