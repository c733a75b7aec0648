import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/**
 * Runs Node with these arguments, returns the first line that the program writes, and ends it. Does not wait for the
 * program to end by itself: a busy Node can hang while it ends, long after the work is done.
 *
 * @returns how the program ended, if it ends without a line
 */
export async function resultLineOf(args: readonly string[], limitSeconds: number): Promise<string> {
  const child = spawn(process.execPath, [...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close') as Promise<[code: number | null, signal: string | null]>;
  const late = setTimeout(() => child.kill('SIGKILL'), limitSeconds * 1000);
  try {
    for await (const line of createInterface(child.stdout)) {
      return line;
    }
    const [code, signal] = await closed;
    return `it ended with ${code ?? signal}, without a result`;
  } finally {
    clearTimeout(late);
    child.kill('SIGKILL');
    await closed;
  }
}
