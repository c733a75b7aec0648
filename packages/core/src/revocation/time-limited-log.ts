import { setTimeout as sleep } from 'node:timers/promises';
import { callStore } from '../shared/store-call.js';
import { READ_WAIT, STORE_TIMEOUT } from './log-timing.js';
import type { RevocationLog, RevocationLogPage, RevocationLogQuery } from './revocation-log.js';

/** Calls a log within time limits, and ends each call when the process leaves the log. */
export class TimeLimitedLog {
  readonly #log: RevocationLog;
  readonly #closing: AbortSignal;

  constructor(log: RevocationLog, closing: AbortSignal) {
    this.#log = log;
    this.#closing = closing;
  }

  /** Resolves with the header that the log has then. */
  setHeader(header: string, mustReplace: boolean): Promise<string> {
    return this.#bounded(STORE_TIMEOUT, (signal) => this.#log.setHeader(header, mustReplace, signal));
  }

  read(query: Omit<RevocationLogQuery, 'signal'>): Promise<RevocationLogPage> {
    return this.#bounded(READ_WAIT / 1000 + STORE_TIMEOUT, (signal) => this.#log.read({ ...query, signal }));
  }

  /** Resolves with the position of the entry. */
  append(entry: string, keepFor: number): Promise<string> {
    return this.#bounded(STORE_TIMEOUT, (signal) => this.#log.append(entry, keepFor, signal));
  }

  /** Resolves after a time, or at once when the process leaves the log. */
  async pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#closing, ref: false }).catch(() => undefined);
  }

  async #bounded<T>(seconds: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    // What waits until the process has left is not done any more.
    this.#closing.throwIfAborted();
    return callStore(seconds, run, this.#closing);
  }
}
