/**
 * Gives `work` a signal that is aborted after this many seconds. The signal is the one clock of a
 * question: everything that the question consists of stops, or is given up, when the signal is
 * aborted.
 */
export async function withDeadline<T>(
  seconds: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const clock = new AbortController();
  // After a stall of this process the timer fires first, though the answer may have arrived: Node
  // reads it before `abort`.
  const timer = setTimeout(() => setImmediate(() => clock.abort()), seconds * 1000);
  try {
    return await work(clock.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects with the signal's reason when it is aborted, even if `work` never settles. */
export async function untilAborted<T>(signal: AbortSignal, work: () => T | Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let giveUp = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    giveUp = () => reject(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
  });
  try {
    return await Promise.race([Promise.resolve().then(work), aborted]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
