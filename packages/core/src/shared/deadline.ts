/**
 * The deadline of a question. Everything that the question consists of ends or is given up when its
 * time is over. It can be stopped before, once the question is answered.
 */
export class Deadline {
  #isOver = false;
  #isStopped = false;
  #controller: AbortController | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #stop: () => void;

  private constructor(start: (end: () => void) => () => void) {
    this.#stop = start(() => this.#end());
  }

  /** The time is over after this many seconds, unless the deadline is stopped before. */
  static after(seconds: number): Deadline {
    return new Deadline((end) => {
      // After a stall of this process the timer fires first, though the answer may have arrived:
      // Node reads it before `end`.
      const timer = setTimeout(() => setImmediate(end), seconds * 1000);
      return () => clearTimeout(timer);
    });
  }

  /** Follows a signal: the time is over when it is aborted. */
  static of(signal: AbortSignal): Deadline {
    const deadline = new Deadline((end) => {
      signal.addEventListener('abort', end, { once: true });
      return () => signal.removeEventListener('abort', end);
    });
    if (signal.aborted) {
      deadline.#end();
    }
    return deadline;
  }

  static isDeadline(value: unknown): value is Deadline {
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

  /** Ends the timer. If the time is not over by now, it never will be. */
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

/** Gives `work` a deadline: after this many seconds, or when the signal is aborted. */
export async function withDeadline<T>(
  limit: number | AbortSignal,
  work: (deadline: Deadline) => Promise<T>,
): Promise<T> {
  const deadline = typeof limit === 'number' ? Deadline.after(limit) : Deadline.of(limit);
  try {
    return await work(deadline);
  } finally {
    deadline.stop();
  }
}

/** Gives `work` a signal that is aborted after this many seconds. */
export function withTimeoutSignal<T>(seconds: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return withDeadline(seconds, (deadline) => work(deadline.signal));
}

/** Thrown when the time of a `Deadline` is over. */
export class TimeIsOver extends Error {
  override readonly name = 'TimeIsOver';
}

/** Waits for `work`. Rejects with `TimeIsOver` when the time is over, even if `work` never settles. */
export function giveUpWhenOver<T>(deadline: Deadline, work: () => T | PromiseLike<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    if (deadline.isOver) {
      reject(new TimeIsOver());
      return;
    }
    const forget = deadline.whenOver(() => reject(new TimeIsOver()));
    new Promise<T>((settle) => settle(work())).then(
      (value) => {
        forget();
        resolve(value);
      },
      (error: unknown) => {
        forget();
        reject(error);
      },
    );
  });
}

/** Waits for `work`. Rejects with the signal's reason when it is aborted, even if `work` never settles. */
export async function giveUpWhenAborted<T>(signal: AbortSignal, work: () => T | Promise<T>): Promise<T> {
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
