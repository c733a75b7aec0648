/** Milliseconds within which a process that runs answers: at random, so that not all do so at once. */
const MAX_DELAY = 40;

/** Answers the processes that start, unless another process has done so meanwhile. */
export class JoinAnswers {
  readonly #write: (kind: 'answer' | undefined) => Promise<void>;
  /** The `join` entry that this process has still to answer. */
  #joinPosition: string | undefined;
  /** Whether this process has still to answer a ping. */
  #owesSignOfLife = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** @param write writes an attestation, or for a ping an entry that says nothing */
  constructor(write: (kind: 'answer' | undefined) => Promise<void>) {
    this.#write = write;
  }

  /** A process that starts has written a `join` entry at this position. */
  addJoin(position: string): void {
    this.#joinPosition = position;
  }

  /** A process that starts asks whether any process runs. */
  addPing(): void {
    this.#owesSignOfLife = true;
  }

  /** Another process has attested the log up to this position as it was read here. */
  noteAnswerUpTo(position: string): void {
    if (position >= (this.#joinPosition ?? '')) {
      this.#joinPosition = undefined;
    }
  }

  /** Another process that runs has written after each ping. */
  notePingAnswer(): void {
    this.#owesSignOfLife = false;
  }

  answerSoon(): void {
    if (this.#joinPosition === undefined && !this.#owesSignOfLife) {
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const hasJoin = this.#joinPosition !== undefined;
      if ((hasJoin || this.#owesSignOfLife) && !this.#isClosed) {
        this.clear();
        // A log that can't be written is reported by the reading.
        void this.#write(hasJoin ? 'answer' : undefined).catch(() => undefined);
      }
    }, Math.random() * MAX_DELAY).unref();
  }

  clear(): void {
    this.#joinPosition = undefined;
    this.#owesSignOfLife = false;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }
}
