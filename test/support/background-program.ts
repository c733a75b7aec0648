import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { close, listen } from './loopback.js';

/**
 * Runs its arguments as a command, and ends it when standard input closes: when the test says so,
 * and as well when the test run ends early and says nothing.
 */
const untilInputCloses = `
  exec 3<&0
  "$@" </dev/null 3<&- &
  program=$!
  (cat <&3; kill "$program") >/dev/null 2>&1 &
  watch=$!
  wait "$program"
  code=$?
  kill "$watch" 2>/dev/null
  exit "$code"`;

/** The arguments for `/bin/sh` that run a program until the standard input of the shell closes. */
export function commandUntilInputCloses(program: string, args: readonly string[]): string[] {
  return ['-c', untilInputCloses, 'sh', program, ...args];
}

interface Server {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What it writes once it listens. */
  readonly sign: string;
}

interface RunningServer {
  /** Rejects, with the last of what the program wrote, if it ends before it listens. */
  readonly listening: Promise<void>;
  end(): Promise<void>;
}

/** Starts a server that runs until `end`, or until the test run ends. */
export function startServer({ program, args, cwd, env, sign }: Server): RunningServer {
  const child = spawn('/bin/sh', commandUntilInputCloses(program, args), { cwd, env });
  const exited = once(child, 'exit');
  const listening = new Promise<void>((resolve, reject) => {
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said = (said + text).slice(-20_000);
        if (said.includes(sign)) {
          resolve();
        }
      });
    }
    child.once('close', () => reject(new Error(`${program} did not start:\n${said}`)));
  });
  return {
    listening,
    end: async (): Promise<void> => {
      child.stdin.end();
      await exited;
    },
  };
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server as never);
  await close(server as never);
  return port;
}
