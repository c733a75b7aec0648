import { setTimeout as sleep } from 'node:timers/promises';
import type { RevocationLog, RevocationLogPage, RevocationLogQuery } from '@mtls-bound/core';

/** A log in the memory of the test, which can be harmed. */
export class MemoryLog implements RevocationLog {
  header: string | undefined;
  entries: { position: string; entry: string }[] = [];
  /** What each call rejects with; undefined while all is well. */
  failure: Error | undefined;
  /** What `append` alone rejects with. */
  writeFailure: Error | undefined;
  #count = 0;

  async setHeader(header: string, mustReplace: boolean): Promise<string> {
    this.#fail();
    this.header = mustReplace ? header : (this.header ?? header);
    return this.header;
  }

  async append(entry: string): Promise<string> {
    this.#fail();
    if (this.writeFailure !== undefined) {
      throw this.writeFailure;
    }
    this.#count += 1;
    const position = positionOf(this.#count);
    this.entries.push({ position, entry });
    return position;
  }

  async read({ after, wait, signal }: RevocationLogQuery): Promise<RevocationLogPage> {
    this.#fail();
    const lastGiven = this.#count === 0 ? undefined : positionOf(this.#count);
    const deadline = performance.now() + wait;
    while (this.#entriesAfter(after).length === 0 && performance.now() < deadline) {
      await sleep(5, undefined, { signal });
      this.#fail();
    }
    const hasPrecedingEntry = after === undefined || this.entries.some(({ position }) => position === after);
    return {
      header: this.header,
      lastGiven,
      hasPrecedingEntry,
      entries: this.#entriesAfter(after).slice(0, 10),
    };
  }

  /** Another server with the same entries: a replica that takes over. */
  copy(): MemoryLog {
    const copy = new MemoryLog();
    copy.header = this.header;
    copy.entries = [...this.entries];
    copy.#count = this.#count;
    return copy;
  }

  #entriesAfter(after = ''): { position: string; entry: string }[] {
    return this.entries.filter(({ position }) => position > after);
  }

  #fail(): void {
    if (this.failure !== undefined) {
      throw this.failure;
    }
  }
}

function positionOf(count: number): string {
  return String(count).padStart(12, '0');
}
