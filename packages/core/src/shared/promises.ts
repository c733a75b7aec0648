/**
 * Returns whether a value is a promise, of any library: a function that must answer at once must not return
 * one. Also handles the rejection of the promise, because an unhandled rejection ends the process.
 */
export function isPromise(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || !('then' in value)) {
    return false;
  }
  ignoreRejection(value);
  return true;
}

/** Handles the rejection of a promise that another function may or may not wait for. */
export function ignoreRejection(promise: unknown): void {
  void ignore(promise);
}

async function ignore(value: unknown): Promise<void> {
  try {
    await value;
  } catch {
    // Whether the promise rejects does not matter to the caller.
  }
}

/**
 * Calls functions in order, without waiting between them, and resolves with their results. If one of them
 * throws, no rejection of another one stays unhandled.
 */
export function callAll<T extends readonly (() => unknown)[]>(
  calls: T,
): Promise<{ -readonly [I in keyof T]: Awaited<ReturnType<T[I]>> }> {
  const started = calls.map(async (call) => call());
  return Promise.all(started) as Promise<{ -readonly [I in keyof T]: Awaited<ReturnType<T[I]>> }>;
}

/**
 * Waits until every promise has settled. Works also if the application has replaced `Promise` by one
 * without `allSettled`.
 */
export async function untilAllSettled(promises: Iterable<Promise<unknown>>): Promise<void> {
  for (const settled of Array.from(promises, ignore)) {
    await settled;
  }
}
