/** The channel that a `ChannelHeartbeat` watches, as it sees it. */
export interface HeartbeatParts {
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
  readonly #parts: HeartbeatParts;
  readonly #timer: NodeJS.Timeout;
  /** By the monotonic clock; undefined before the first message. */
  #receivedAt: number | undefined;

  constructor(parts: HeartbeatParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#beat(), parts.silence / 3).unref();
    this.#send();
  }

  /** A message came. */
  noteMessage(): void {
    this.#receivedAt = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const { silence, onSilence } = this.#parts;
    const silentFor = this.#receivedAt === undefined ? 0 : performance.now() - this.#receivedAt;
    if (silentFor > silence) {
      this.stop();
      onSilence();
    } else if (this.#receivedAt === undefined || silentFor > silence / 4) {
      this.#send();
    }
  }

  #send(): void {
    this.#parts.send().catch(() => undefined);
  }
}
