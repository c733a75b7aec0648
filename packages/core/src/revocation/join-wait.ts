/**
 * Milliseconds in which a process that runs can object to what a process that starts has read, by
 * giving the log another header.
 */
export const OBJECTION_TIME = 200;
/** Milliseconds in which a process that runs answers, if it wrote an entry within the last minute. */
export const ANSWER_TIME = 1_000;
/** Milliseconds after which a process asks again at the latest. */
const MAX_ASK_PAUSE = 16_000;
/**
 * How often a process waits again at most. Then it goes on without an answer, and accepts no token
 * from before by its signature alone.
 */
const MAX_EXTENSIONS = 5;

/** A question of a process that starts: whether any other process runs. */
interface Ping {
  /** When the log took it, by the monotonic clock; undefined before. */
  sentAt: number | undefined;
  /** Whether this process has read it in the log. */
  isRead: boolean;
  /** Whether another process has written after it, or may have been kept from doing so. */
  isAnswered: boolean;
}

/**
 * For how long a process that starts waits for the answer of a process that runs, once it has
 * written its `join` entry. Times by the monotonic clock.
 */
export class JoinWait {
  #hasAsked = false;
  #askedAt = 0;
  /** Milliseconds after which it asks again. It doubles: each question costs every process that runs. */
  #askPause = ANSWER_TIME;
  #joinPosition: string | undefined;
  #answerUntil = 0;
  #extensions = 0;
  /** Sent while a long log is read; undefined before, and after the log was begun again. */
  #ping: Ping | undefined;

  /**
   * Whether this process has asked the other ones by its `join` entry, and has still to wait for that
   * entry or has read it.
   */
  get hasAsked(): boolean {
    return this.#hasAsked;
  }

  /** Whether this process has read its `join` entry in the log. */
  get hasReadJoin(): boolean {
    return this.#joinPosition !== undefined;
  }

  /** Whether an answer was waited for, or is. */
  get expectsAnswer(): boolean {
    return this.#answerUntil > 0;
  }

  /** Whether the time for an answer has not passed. */
  get isWaiting(): boolean {
    return performance.now() < this.#answerUntil;
  }

  /** @param expectsAnswer whether another process may run */
  markJoinWritten(expectsAnswer: boolean): void {
    this.#hasAsked = true;
    this.#askedAt = performance.now();
    if (expectsAnswer) {
      this.#answerUntil = this.#unansweredSince() + ANSWER_TIME;
    }
  }

  markJoinRead(position: string): void {
    this.#joinPosition = position;
  }

  /** An entry of this process is gone, which may have been its `join` entry. */
  askAgainUnlessRead(): void {
    this.#hasAsked &&= this.#joinPosition !== undefined;
  }

  /** A server that was replaced meanwhile may not have the `join` entry. */
  askAgainIfLate(): void {
    this.#hasAsked = performance.now() < this.#askedAt + this.#askPause;
    if (!this.#hasAsked) {
      this.#askPause = Math.min(2 * this.#askPause, MAX_ASK_PAUSE);
    }
  }

  /** Waits for the whole time again. Returns whether it did so too often. */
  extend(): boolean {
    const isTooOften = this.#extensions >= MAX_EXTENSIONS;
    this.#extensions += 1;
    this.#answerUntil = performance.now() + ANSWER_TIME;
    return isTooOften;
  }

  get hasPing(): boolean {
    return this.#ping !== undefined;
  }

  /**
   * Asks whether any process runs, so that the answer is there when a long log is read: a process
   * that starts waits for the answer to its `join` entry only while another process may run.
   */
  async sendPing(write: () => Promise<void>): Promise<void> {
    const ping: Ping = { sentAt: undefined, isRead: false, isAnswered: false };
    this.#ping = ping;
    try {
      await write();
      ping.sentAt = performance.now();
    } catch {
      // Then this process waits for the answer to its `join` entry.
    }
  }

  markPingRead(): void {
    if (this.#ping !== undefined) {
      this.#ping.isRead = true;
    }
  }

  /** Another process has written an entry that this one has read now. */
  noteOtherWriter(): void {
    if (this.#ping?.isRead === true) {
      this.countPingAsAnswered();
    }
  }

  /** A process runs, or may run: it has the whole time to answer to the `join` entry. */
  countPingAsAnswered(): void {
    if (this.#ping !== undefined && !this.#ping.isAnswered) {
      this.#ping.isAnswered = true;
      if (this.#answerUntil > 0) {
        this.#answerUntil = Math.max(this.#answerUntil, this.#askedAt + ANSWER_TIME);
      }
    }
  }

  forgetPing(): void {
    this.#ping = undefined;
  }

  /** Since when no process has answered. */
  #unansweredSince(): number {
    const { sentAt, isRead, isAnswered } = this.#ping ?? {};
    return sentAt !== undefined && isRead && !isAnswered ? sentAt : this.#askedAt;
  }
}
