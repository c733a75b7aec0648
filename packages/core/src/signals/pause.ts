import { setTimeout as sleep } from 'node:timers/promises';

/** Seconds of the pause after the first failure, and of the longest one. */
const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 60;

/**
 * Returns the seconds to pause after this many failures in a row: twice as many after each one, and up to a
 * half less by chance, so that the processes of a fleet do not ask at the same time. At least `atLeast`.
 */
export function pauseAfter(failures: number, atLeast = 0): number {
  const most = Math.min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE);
  return Math.max(atLeast, most * (1 - Math.random() / 2));
}

/**
 * Waits this many seconds, or until the signal is aborted. Keeps no process alive. Never rejects.
 */
export async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  if (seconds > 0) {
    await sleep(seconds * 1000, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
