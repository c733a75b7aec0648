import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { canPin, pinned } from './cores.js';
import { findProgram } from './program.js';

/** Takes the processor time that no other process wants, and ends when its parent process has ended. */
const loop =
  'const parent = process.ppid; for (let i = 0; i % 1e8 !== 0 || process.ppid === parent; i += 1);';

/**
 * Keeps the core of the load generator from falling asleep between two answers. To wake a core of a virtual machine costs the
 * server about as much as a check does, and the slower server pays it more often: that would be measured, not the server.
 */
export function keepAwake(): { stop(): Promise<void> } {
  const chrt = findProgram('chrt');
  if (!canPin || chrt === undefined) {
    return { stop: async () => undefined };
  }
  const [program, ...args] = pinned('load', [chrt, '--idle', '0', process.execPath, '-e', loop]);
  const child = spawn(program, args, { stdio: 'ignore' });
  const exited = once(child, 'exit');
  return {
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
