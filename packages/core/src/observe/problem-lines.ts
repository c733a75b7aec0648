import type { ProblemEvent } from './events.js';
import { catchObserverErrors } from './subscription.js';

/** Milliseconds in which the problems of one code are one line, after the first. */
const INTERVAL = 60_000;

type WriteLine = (fields: { readonly code: string; readonly count?: number }, message: string) => unknown;

interface Pending {
  readonly timer: NodeJS.Timeout;
  count: number;
  message: string;
}

/**
 * Writes problems as lines of a log. During an outage every request is a problem, and must not be a line of
 * its own.
 */
export class ProblemLines {
  readonly #write: WriteLine;
  readonly #pending = new Map<string, Pending>();

  constructor(write: WriteLine) {
    this.#write = write;
  }

  /** Writes the first problem of a code at once. Counts further ones until the interval ends. */
  add({ code, message }: ProblemEvent): unknown {
    const pending = this.#pending.get(code);
    if (pending !== undefined) {
      pending.count += 1;
      pending.message = message;
      return undefined;
    }
    this.#begin(code);
    return this.#write({ code }, message);
  }

  /** Writes what has been counted. */
  end(): void {
    for (const [code, pending] of this.#pending) {
      clearTimeout(pending.timer);
      this.#writeCounted(code, pending);
    }
    this.#pending.clear();
  }

  #begin(code: string): void {
    const timer = setTimeout(() => this.#next(code), INTERVAL).unref();
    this.#pending.set(code, { timer, count: 0, message: '' });
  }

  #next(code: string): void {
    const pending = this.#pending.get(code);
    this.#pending.delete(code);
    if (pending !== undefined && pending.count > 0) {
      this.#begin(code);
      this.#writeCounted(code, pending);
    }
  }

  readonly #writeCounted = catchObserverErrors('problem', (code: string, { count, message }: Pending) =>
    count > 0 ? this.#write({ code, count }, message) : undefined,
  );
}
