/** Whether a client waits for an answer, rather than a refresh in the background. It may begin later. */
export class Urgency {
  #isUrgent: boolean;
  #listeners: (() => void)[] = [];

  constructor(isUrgent: boolean) {
    this.#isUrgent = isUrgent;
  }

  get isUrgent(): boolean {
    return this.#isUrgent;
  }

  /** A client waits from now on. */
  begin(): void {
    this.#isUrgent = true;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) {
      listener();
    }
  }

  /** Calls the listener once when a client waits: now, later or never. */
  whenUrgent(listener: () => void): void {
    if (this.#isUrgent) {
      listener();
    } else {
      this.#listeners.push(listener);
    }
  }
}
