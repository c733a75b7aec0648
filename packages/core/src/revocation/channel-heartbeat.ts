/** What a pulse needs of the channel that it watches. */
export interface HeartbeatRules {
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
export class ChannelHeartbeat {
  readonly #rules: HeartbeatRules;
  readonly #timer: NodeJS.Timeout;
  /** By the monotonic clock; undefined before the first message. */
  #receivedAt: number | undefined;

  constructor(rules: HeartbeatRules) {
    this.#rules = rules;
    this.#timer = setInterval(() => this.#beat(), rules.silence / 3).unref();
    this.#send();
  }

  /** A message came. */
  received(): void {
    this.#receivedAt = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const { silence, onSilence } = this.#rules;
    const silentFor = this.#receivedAt === undefined ? 0 : performance.now() - this.#receivedAt;
    if (silentFor > silence) {
      this.stop();
      onSilence();
    } else if (this.#receivedAt === undefined || silentFor > silence / 4) {
      this.#send();
    }
  }

  #send(): void {
    this.#rules.send().catch(() => undefined);
  }
}
