import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Core, pin } from './cores.js';
import { profiles } from './settings.js';

/** A process of ours that does what it is asked to, one thing at a time. */
export interface Child {
  readonly pid: number;
  ask<T>(call: string, argument?: unknown): Promise<T>;
  stop(): Promise<void>;
}

interface Start {
  readonly core: Core;
  readonly environment?: Readonly<Record<string, string>>;
  readonly nodeOptions?: readonly string[];
  /** Names the folder of its profiles, one for each thread; without a name there is none. */
  readonly profile?: string;
}

interface Answer {
  readonly result?: unknown;
  readonly error?: string;
}

/** Starts a module that calls `whenAsked`. */
export async function startChild(
  module: URL,
  { core, environment, nodeOptions = [], profile }: Start,
): Promise<Child> {
  const profiling =
    profiles === undefined || profile === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${join(profiles, profile.replaceAll(/\W+/g, '-'))}`];
  const child = fork(fileURLToPath(module), {
    execArgv: [...process.execArgv, '--no-warnings', ...nodeOptions, ...profiling],
    env: { ...process.env, NODE_ENV: 'production', ...environment },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const pid = child.pid as number;
  pin(core, pid);
  const exited = once(child, 'exit');
  return {
    pid,
    async ask<T>(call: string, argument?: unknown) {
      const answer = await answered(child, exited, { call, argument });
      if (answer.error !== undefined) {
        throw new Error(`${call}: ${answer.error}`);
      }
      return answer.result as T;
    },
    async stop() {
      if (child.connected) {
        child.disconnect();
      }
      await exited;
    },
  };
}

async function answered(child: ChildProcess, exited: Promise<unknown>, question: object): Promise<Answer> {
  const answer = once(child, 'message') as Promise<[Answer]>;
  child.send(question);
  const died = exited.then((): never => {
    throw new Error('the process ended before it answered');
  });
  const [message] = await Promise.race([answer, died]);
  return message;
}

/** In the child: the functions that the parent may call, until it goes. */
export function whenAsked(functions: Readonly<Record<string, (argument: never) => unknown>>): void {
  process.on('message', async ({ call, argument }: { call: string; argument: unknown }) => {
    let answer: Answer;
    try {
      answer = { result: await functions[call]?.(argument as never) };
    } catch (error) {
      answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
    process.send?.(answer);
  });
  // Not by a signal: a profile is written on the way out.
  process.on('disconnect', () => process.exit());
}
