import { isTellable, RequestRefused, TransmitterError, type TransmitterErrorCode } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { describeError } from '../shared/shown-error.js';
import { pause, pauseAfter } from './pause.js';
import type { Stream, StreamManagement, StreamStatus } from './stream.js';
import type { VerificationStateValues } from './verification-state-values.js';

export interface KeeperParts {
  readonly transmitter: string;
  readonly management: StreamManagement;
  /** Makes the `state` of verifications; undefined where none is asked for. */
  readonly states: VerificationStateValues | undefined;
  /** Seconds between two verifications; undefined for none. */
  readonly verificationInterval: number | undefined;
  /** Called with the status of a stream that delivers nothing. */
  readonly onStopped: (status: 'paused' | 'disabled') => void;
  readonly report: ReportProblem;
  readonly closing: AbortSignal;
}

/**
 * Seconds after which the stream is looked at again: a transmitter may have deleted or changed it.
 */
const CHECK_INTERVAL = 3_600;

/**
 * Seconds. A longer `min_verification_interval` is not obeyed: it would switch `verificationInterval` off,
 * and no broken stream would be noticed. A transmitter that answers 429 then is reported.
 */
const LONGEST_MIN_INTERVAL = 3_600;

/** Seconds for which a transmitter in trouble is not asked again, if it names no other time. */
const RETRY_AFTER = 5;

/** The codes of errors whose `Retry-After` is the transmitter's. */
const mayWait: ReadonlySet<TransmitterErrorCode> = new Set(['transmitter_overloaded', 'transmitter_failed']);

/** Sets up a stream, and looks from time to time whether it still is as wanted. */
export class StreamKeeper {
  readonly #parts: KeeperParts;
  readonly #current: Promise<Stream>;
  #settle: (stream: Stream) => void = () => undefined;
  #stream: Stream | undefined;
  #failures = 0;
  #wake = new AbortController();
  /** The `state` that was sent last, until its event arrives. */
  #awaited: string | undefined;
  #verifiedAt = Number.NEGATIVE_INFINITY;
  #isUnverified = false;
  /** The last requests for a verification event that were answered 429. */
  #tooOften = 0;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.#current = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Resolves with the stream as soon as it is set up. */
  current(): Promise<Stream> {
    return this.#stream === undefined ? this.#current : Promise.resolve(this.#stream);
  }

  /** Has the stream send events of a subject, as soon as it is set up. */
  async addSubject(subject: object): Promise<void> {
    await this.#parts.management.addSubject(await this.current(), subject);
  }

  /** Sets the status of the stream, as soon as it is set up. */
  async setStatus(status: StreamStatus, reason: string | undefined): Promise<void> {
    await this.#parts.management.setStatus(await this.current(), status, reason);
  }

  /** Deletes the stream, as soon as it is set up. */
  async deleteStream(): Promise<void> {
    await this.#parts.management.delete(await this.current());
  }

  /** The stream did not work: looks at it now. */
  check(): void {
    this.#wake.abort();
  }

  /** A verification event with this `state` has arrived. */
  noteVerification(state: unknown): void {
    if (state !== undefined && state === this.#awaited) {
      this.#awaited = undefined;
      if (this.#isUnverified) {
        this.#isUnverified = false;
        const { transmitter, report } = this.#parts;
        report('signal_stream_verified', `the verification events of ${transmitter} arrive again`);
      }
    }
  }

  /** Never rejects. Ends when `closing` is aborted. */
  async run(): Promise<void> {
    const { closing, verificationInterval = CHECK_INTERVAL } = this.#parts;
    const interval = Math.min(verificationInterval, CHECK_INTERVAL);
    while (!closing.aborted) {
      this.#wake = new AbortController();
      const retryAfter = await this.#lookAfter();
      if (this.#failures > 0) {
        await pause(pauseAfter(this.#failures, retryAfter), closing);
      } else {
        await pause(interval, AbortSignal.any([closing, this.#wake.signal]));
      }
    }
  }

  /** Resolves with the seconds that the transmitter asks to wait, after a failure. */
  async #lookAfter(): Promise<number | undefined> {
    const { transmitter, management, onStopped, report, closing } = this.#parts;
    try {
      const stream = await management.setUp();
      // A stream whose status can't be read delivers all the same.
      this.#stream = stream;
      this.#settle(stream);
      const status = await management.status(stream);
      if (status === 'paused' || status === 'disabled') {
        onStopped(status);
      } else {
        await this.#verify(stream);
      }
      if (this.#failures > 0) {
        this.#failures = 0;
        report('signal_stream_set_up', `the stream of ${transmitter} is set up`);
      }
      return undefined;
    } catch (error) {
      this.#failures += 1;
      if (closing.aborted) {
        return undefined;
      }
      if (this.#failures === 1) {
        const isKnown = RequestRefused.isRefusal(error) || isTellable(error);
        const why = isKnown ? error.message : describeError(error);
        report(
          'signal_stream_not_set_up',
          `the stream of ${transmitter} is not set up, or can not be looked at; ` +
            `signals may not arrive: ${why}`,
        );
      }
      return TransmitterError.isTransmitterError(error) && mayWait.has(error.code)
        ? (error.retryAfter ?? RETRY_AFTER)
        : undefined;
    }
  }

  async #verify(stream: Stream): Promise<void> {
    const { verificationInterval, management, states, transmitter, report } = this.#parts;
    if (verificationInterval === undefined || states === undefined) {
      return;
    }
    const sinceLast = (performance.now() - this.#verifiedAt) / 1000;
    const least = Math.min(stream.minVerificationInterval, LONGEST_MIN_INTERVAL);
    if (sinceLast < Math.max(verificationInterval / 2, least)) {
      return;
    }
    // Another process may have asked just before, once.
    if (this.#awaited !== undefined && !this.#isUnverified && this.#tooOften !== 1) {
      this.#isUnverified = true;
      const found =
        this.#tooOften > 0
          ? 'answers requests for a verification event with 429: nothing shows that signals arrive; ' +
            'raise stream.verificationInterval'
          : 'was asked for a verification event, and none arrived: signals may not arrive either; ' +
            'check the URL and the Authorization header that the stream delivers to';
      report('signal_stream_unverified', `${transmitter} ${found}`);
    }
    const before = this.#awaited;
    const state = states.next();
    // The event may arrive before the answer.
    this.#awaited = state;
    try {
      if (await management.verify(stream, state)) {
        this.#tooOften = 0;
        this.#verifiedAt = performance.now();
      } else {
        this.#tooOften += 1;
        // An event that is due already is as good a proof.
        this.#awaited = before ?? this.#awaited;
      }
    } catch (error) {
      this.#awaited = this.#awaited === state ? before : this.#awaited;
      throw error;
    }
  }
}
