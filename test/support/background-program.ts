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

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server as never);
  await close(server as never);
  return port;
}
