import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
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

/**
 * Nanoseconds of processor that the threads of a process and of its children have taken so far; NaN
 * where there is no /proc with these figures.
 */
export function processorNanoseconds(pid: number): number {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.reduce((sum, task) => {
      const folder = `/proc/${pid}/task/${task}`;
      const [own] = readFileSync(`${folder}/schedstat`, 'utf8').split(' ');
      const children = readFileSync(`${folder}/children`, 'utf8').split(' ').filter(Boolean);
      return children.reduce((all, child) => all + processorNanoseconds(Number(child)), sum + Number(own));
    }, 0);
  } catch {
    return Number.NaN;
  }
}
