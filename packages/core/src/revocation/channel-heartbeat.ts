/** What a pulse needs of the channel that it watches. */
export interface PulseRules {
  /** Milliseconds of silence after which the channel counts as dead. */
  readonly silence: number;
  /**
   * Sends a message that comes back. What it rejects with says nothing that the silence does not.
   */
  readonly send: () => Promise<unknown>;
  /** Runs once. */
  readonly onSilence: () => void;
}

/**
 * Finds out that a channel is dead though nothing says so: sends a message when none came for a
 * while, and counts silence after it as death. A channel that never brought a message is not
 * watched, as it may not bring one's own.
 */
export class Pulse {
  readonly #rules: PulseRules;
  readonly #timer: NodeJS.Timeout;
  /** By the monotonic clock; undefined before the first message. */
  #heardAt: number | undefined;

  constructor(rules: PulseRules) {
    this.#rules = rules;
    this.#timer = setInterval(() => this.#beat(), rules.silence / 3).unref();
    this.#send();
  }

  /** A message came. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const { silence, onSilence } = this.#rules;
    const silentFor = this.#heardAt === undefined ? 0 : performance.now() - this.#heardAt;
    if (silentFor > silence) {
      this.stop();
      onSilence();
    } else if (this.#heardAt === undefined || silentFor > silence / 4) {
      this.#send();
    }
  }

  #send(): void {
    this.#rules.send().catch(() => undefined);
  }
}
