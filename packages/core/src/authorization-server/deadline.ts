/**
 * The clock of a question: everything that the question consists of stops, or is given up, when its
 * time is over.
 */
export class Clock {
  #isOver = false;
  #isStopped = false;
  #controller: AbortController | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #stop: () => void;

  private constructor(start: (end: () => void) => () => void) {
    this.#stop = start(() => this.#end());
  }

  /** Starts a clock whose time is over after this many seconds, unless it is stopped before. */
  static start(seconds: number): Clock {
    return new Clock((end) => {
      // After a stall of this process the timer fires first, though the answer may have arrived:
      // Node reads it before `end`.
      const timer = setTimeout(() => setImmediate(end), seconds * 1000);
      return () => clearTimeout(timer);
    });
  }

  /** Follows a signal: the time is over when it is aborted. */
  static of(signal: AbortSignal): Clock {
    const clock = new Clock((end) => {
      signal.addEventListener('abort', end, { once: true });
      return () => signal.removeEventListener('abort', end);
    });
    if (signal.aborted) {
      clock.#end();
    }
    return clock;
  }

  static isClock(value: unknown): value is Clock {
    return typeof value === 'object' && value !== null && #isOver in value;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Aborted when the time is over. Made for code that can't do without it: it costs microseconds. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isOver) {
        this.#controller.abort();
      }
    }
    return this.#controller.signal;
  }

  /** Calls `listener` when the time is over. Returns what prevents this. */
  whenOver(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** The time is not over from now on, if it has not been before. */
  stop(): void {
    this.#isStopped = true;
    this.#stop();
  }

  #end(): void {
    if (this.#isStopped) {
      return;
    }
    this.#isOver = true;
    for (const listener of this.#listeners) {
      listener();
    }
    this.#listeners.clear();
    this.#controller?.abort();
  }
}

/** Gives `work` a clock whose time is over after this many seconds, or when the signal is aborted. */
export async function withClock<T>(
  limit: number | AbortSignal,
  work: (clock: Clock) => Promise<T>,
): Promise<T> {
  const clock = typeof limit === 'number' ? Clock.start(limit) : Clock.of(limit);
  try {
    return await work(clock);
  } finally {
    clock.stop();
  }
}

/** Gives `work` a signal that is aborted after this many seconds. */
export function withDeadline<T>(seconds: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return withClock(seconds, (clock) => work(clock.signal));
}

/** Thrown when the time of a clock is over. */
export class TimeIsOver extends Error {
  override readonly name = 'TimeIsOver';
}

/** Rejects with `TimeIsOver` when the time is over, even if `work` never settles. */
export function untilOver<T>(clock: Clock, work: () => T | PromiseLike<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    if (clock.isOver) {
      reject(new TimeIsOver());
      return;
    }
    const forget = clock.whenOver(() => reject(new TimeIsOver()));
    new Promise<T>((settle) => settle(work())).then(resolve, reject).finally(forget);
  });
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
