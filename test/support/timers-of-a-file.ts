// The setup of the unit suite, whose files share a process: a timer that one file leaves would publish problems into the
// tests of the next.
import { afterAll } from 'vitest';

type Start = (this: unknown, ...args: unknown[]) => NodeJS.Timeout;

const RUNNING = Symbol.for('mtls-bound.test.timers');
const known = globalThis as { [RUNNING]?: Set<NodeJS.Timeout> };

/** The timers that were started and not yet seen to end, one set for all files: a setup file runs before each. */
function startedTimers(): Set<NodeJS.Timeout> {
  if (known[RUNNING] === undefined) {
    const timers = new Set<NodeJS.Timeout>();
    globalThis.setTimeout = recorded(globalThis.setTimeout as unknown as Start, timers) as never;
    globalThis.setInterval = recorded(globalThis.setInterval as unknown as Start, timers) as never;
    known[RUNNING] = timers;
  }
  return known[RUNNING];
}

/** Wraps a function that starts timers, and records each one. Keeps what util.promisify() reads from the function. */
function recorded(start: Start, timers: Set<NodeJS.Timeout>): Start {
  return Object.defineProperties((...args: unknown[]) => {
    const timer = start(...args);
    timers.add(timer);
    return timer;
  }, Object.getOwnPropertyDescriptors(start)) as Start;
}

const timers = startedTimers();

afterAll(() => {
  for (const timer of timers) {
    clearTimeout(timer);
  }
  timers.clear();
});
