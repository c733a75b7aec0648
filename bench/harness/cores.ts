import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

export type Core = 'server' | 'load';

const taskset = ['/usr/bin/taskset', '/bin/taskset'].find((path) => existsSync(path));

/** Servers and load generators must not take each other's time. */
const numbers: Readonly<Record<Core, string>> = { server: '1', load: '0' };

export const canPin = taskset !== undefined && availableParallelism() > 1;

/** A command as it is started on one core, or as it was where the system can't. */
export function pinned(core: Core, command: readonly string[]): readonly [string, ...string[]] {
  const [program = '', ...args] = command;
  return canPin && taskset !== undefined
    ? [taskset, '-c', numbers[core], program, ...args]
    : [program, ...args];
}

/** Moves a running process, with every thread that it has and will have, to one core. */
export function pin(core: Core, pid: number): void {
  if (canPin && taskset !== undefined) {
    execFileSync(taskset, ['-acp', numbers[core], String(pid)], { stdio: 'ignore' });
  }
}

/** Clock ticks a second in /proc, on every Linux that Node runs on. */
const TICKS = 100;

/** CPU seconds that a process and its children took so far; NaN where there is no /proc. */
export function cpuSeconds(pid: number): number {
  try {
    // The name in brackets may hold blanks.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    const own = (Number(stat[11]) + Number(stat[12])) / TICKS;
    return children === ''
      ? own
      : children.split(' ').reduce((sum, child) => sum + cpuSeconds(Number(child)), own);
  } catch {
    return Number.NaN;
  }
}
