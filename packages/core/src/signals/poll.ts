import { LRUCache } from 'lru-cache';
import { isTellable, RequestRefused, TransmitterError } from '../errors.js';
import type { ReportProblem } from '../observe/events.js';
import { readOwnMember } from '../shared/own-member.js';
import { describeError } from '../shared/shown-error.js';
import { redactUrl } from '../shared/shown-url.js';
import { pause, pauseAfter } from './pause.js';
import { type EventTokenErrorCode, EventTokenRefused, MAX_JTI_LENGTH } from './security-event-token.js';
import type { AskTransmitter } from './transmitter-endpoints.js';

/** The options of `poll`. */
export interface PollRules {
  /** Seconds between two polls that find nothing. */
  readonly interval: number;
  /** Seconds for which the transmitter may hold a poll that finds nothing. */
  readonly wait: number;
  /** Security Event Tokens in one answer. */
  readonly maxEvents: number;
}

export interface PollParts {
  readonly transmitter: string;
  readonly rules: PollRules;
  readonly ask: AskTransmitter;
  /** Resolves with the URL to poll as soon as it is known. */
  readonly endpoint: () => Promise<string>;
  /** The endpoint did not accept a poll: the stream may be another one by now. */
  readonly onRefused: () => void;
  /**
   * Acts on a Security Event Token. Rejects with `EventTokenRefused` for a fault of the token, and with
   * another error if the token must be tried again.
   */
  readonly receive: (jws: string, jti: string) => Promise<void>;
  readonly report: ReportProblem;
  readonly closing: AbortSignal;
}

/** What one poll brought, by `jti`. */
type Page = readonly (readonly [jti: string, jws: unknown])[];

/**
 * What came of a Security Event Token. `repeated`: an earlier poll said that it was acted on, or
 * refused.
 */
type Outcome = 'accepted' | 'refused' | 'repeated' | 'held';

/** The member of a poll that reports acknowledgements or errors to the transmitter. */
type ReportedMember = 'ack' | 'setErrs';

/** A Security Event Token that was not acted on yet. */
interface HeldEventToken {
  readonly jws: unknown;
  /** Attempts that failed. */
  readonly failures: number;
  /** When it is tried again, by `performance.now()`. */
  readonly dueAt: number;
}

/**
 * Tokens that are kept to be tried again. Further ones are not acknowledged, so that the transmitter sends
 * them again.
 */
const MAX_HELD = 1_000;

/**
 * Tokens that are remembered, to find out whether a transmitter sends the same ones again and
 * again.
 */
const MAX_SETTLED = 10_000;

/**
 * Polls a stream until `closing` is aborted (RFC 8936). One poll follows the other. A token is
 * acknowledged when it was acted on; one that could not be acted on is kept and tried again, with
 * pauses of its own: the polls go on, and have room for one token at least.
 */
export class Poll {
  readonly #parts: PollParts;
  /** The tokens that are not acted on yet, by `jti`. */
  readonly #held = new Map<string, HeldEventToken>();
  /** Whether the last poll brought again tokens that are held. They take room in an answer. */
  #bringsHeld = false;
  /** When the next poll is due, by `performance.now()`. */
  #pollAt = 0;
  /** What a poll has reported, or the next poll reports. */
  readonly #settled = new LRUCache<string, true>({ max: MAX_SETTLED });
  #acks: string[] = [];
  #errors: [jti: string, error: { err: EventTokenErrorCode; description: string }][] = [];
  /** The URL of the last poll: only there its tokens are known. */
  #url: string | undefined;
  /** What the transmitter was last reported to refuse, until it accepts it. */
  #refusedMember: ReportedMember | undefined;
  /**
   * Whether the transmitter answered the last poll. If not, the next one asks for an answer at
   * once.
   */
  #isAnswering = false;
  #failures = 0;
  #maxEvents: number;
  #isFailing = false;

  constructor(parts: PollParts) {
    this.#parts = parts;
    this.#maxEvents = parts.rules.maxEvents;
  }

  /** Never rejects. */
  async run(): Promise<void> {
    const { closing } = this.#parts;
    while (!closing.aborted) {
      if (performance.now() >= this.#pollAt) {
        const seconds = await this.#pollAndAct();
        this.#pollAt = performance.now() + seconds * 1000;
      }
      await this.#retryHeld();
      const dues = [...this.#held.values()].map(({ dueAt }) => dueAt);
      await pause((Math.min(this.#pollAt, ...dues) - performance.now()) / 1000, closing);
    }
  }

  /** Tries again the tokens that are due. */
  async #retryHeld(): Promise<void> {
    const now = performance.now();
    const due = [...this.#held].filter(([, { dueAt }]) => dueAt <= now);
    const outcomes = await Promise.all(due.map(([jti, { jws }]) => this.#actOn(jti, jws)));
    if (outcomes.includes('accepted') && !this.#isFailing) {
      // It is acknowledged at once.
      this.#pollAt = 0;
    }
  }

  /** Polls once, and resolves with the seconds until the next poll. */
  async #pollAndAct(): Promise<number> {
    const startedAt = performance.now();
    let retryAfter: number | undefined;
    let page: Page | undefined;
    let hasFailed = false;
    try {
      page = await this.#poll();
    } catch (error) {
      if (this.#parts.closing.aborted) {
        return 0;
      }
      this.#isAnswering = false;
      hasFailed = true;
      retryAfter = error instanceof PollTrouble ? error.retryAfter : undefined;
      this.#reportFailure(error);
    }
    const fresh = (page ?? []).filter(([jti]) => !this.#held.has(jti));
    this.#bringsHeld = fresh.length < (page?.length ?? 0);
    const outcomes = await Promise.all(fresh.map(([jti, jws]) => this.#actOn(jti, jws)));
    const isHindered = hasFailed || (page === undefined && this.#isFailing);
    if (!isHindered && (page === undefined || outcomes.includes('accepted'))) {
      // What was acted on is acknowledged at once, and there may be more.
      this.#failures = 0;
      return 0;
    }
    if (isHindered || this.#isFailing) {
      this.#failures += 1;
      return pauseAfter(this.#failures, retryAfter);
    }
    const { interval } = this.#parts.rules;
    if (outcomes.includes('refused') || outcomes.includes('held')) {
      // A transmitter can make up any number of tokens that are refused.
      this.#failures += 1;
      return Math.min(pauseAfter(this.#failures), interval);
    }
    this.#failures = 0;
    return interval - (performance.now() - startedAt) / 1000;
  }

  /**
   * Resolves with `undefined` if the transmitter held the poll for too long, which says nothing
   * yet.
   */
  async #poll(): Promise<Page | undefined> {
    const { transmitter, rules, ask, endpoint, onRefused } = this.#parts;
    const url = await endpoint();
    if (url !== this.#url) {
      this.#url = url;
      this.#acks = [];
      this.#errors = [];
    }
    const held = this.#held.size;
    const room = Math.max(1, this.#maxEvents - held) + (this.#bringsHeld ? held : 0);
    const wait = this.#isAnswering && held === 0 ? rules.wait : 0;
    const acks = this.#acks;
    const errors = this.#errors;
    const body = {
      maxEvents: room,
      returnImmediately: wait === 0,
      ...(acks.length > 0 && { ack: acks }),
      ...(errors.length > 0 && { setErrs: Object.fromEntries(errors) }),
    };
    let answer: Awaited<ReturnType<AskTransmitter>>;
    try {
      answer = await ask({ method: 'POST', url, body, mayRepeat: true, extraTime: wait });
    } catch (error) {
      if (wait > 0 && TransmitterError.isTransmitterError(error) && error.code === 'transmitter_timeout') {
        this.#isAnswering = false;
        return undefined;
      }
      if (TransmitterError.isTransmitterError(error) && error.code === 'transmitter_invalid_answer') {
        // It may be larger than http.maxResponseSize.
        this.#maxEvents = Math.max(1, Math.floor(this.#maxEvents / 2));
      }
      throw error;
    }
    const { status, json, retryAfter } = answer;
    if (status !== 200) {
      const isRefused = status < 500 && status !== 429;
      if (isRefused) {
        onRefused();
      }
      if (acks.length + errors.length > 0 && mayRefuseReports(status)) {
        throw this.#withdrawReports(`${redactUrl(url)} answered ${status}`, retryAfter);
      }
      const hint = status === 401 || status === 403 ? '; check clientAuthentication and its rights' : '';
      throw new PollTrouble(`${redactUrl(url)} answered ${status}${hint}`, retryAfter);
    }
    const sets = readOwnMember(objectOf(json), 'sets') ?? {};
    if (!isObject(json) || !isObject(sets)) {
      throw new PollTrouble(`${redactUrl(url)} of ${transmitter} gave no object with sets (RFC 8936 §2.3)`);
    }
    this.#isAnswering = true;
    this.#maxEvents = rules.maxEvents;
    if (this.#refusedMember === 'ack' ? acks.length > 0 : errors.length > 0) {
      this.#refusedMember = undefined;
    }
    this.#acks = this.#acks.slice(acks.length);
    this.#errors = this.#errors.slice(errors.length);
    const all = Object.entries(sets);
    // A longer name would be kept, and sent back. No token has one.
    const named = all.filter(([jti]) => jti.length <= MAX_JTI_LENGTH);
    if (named.length < all.length) {
      const most = MAX_JTI_LENGTH.toLocaleString('en');
      const fault = `names tokens by more than ${most} characters; they are left out`;
      this.#reportFailure(new PollTrouble(`${redactUrl(url)} ${fault}`));
    } else {
      this.#reportAnswer();
    }
    // Tokens beyond the number that was asked for are not acknowledged, and come again.
    return named.slice(0, room);
  }

  /**
   * Has the next poll report less: no errors, or no acknowledgements either. The transmitter may
   * know those tokens no more. If it does, it sends them again, and they are reported again.
   */
  #withdrawReports(answered: string, retryAfter: number | undefined): PollTrouble {
    const member: ReportedMember = this.#errors.length > 0 ? 'setErrs' : 'ack';
    if (member === 'ack') {
      this.#acks = [];
    }
    this.#errors = [];
    return new PollTrouble(
      `${answered} to a poll with ${member}; the next poll is without ${member}`,
      retryAfter,
      member,
    );
  }

  async #actOn(jti: string, jws: unknown): Promise<Outcome> {
    let outcome: Outcome = 'accepted';
    try {
      await this.#parts.receive(typeof jws === 'string' ? jws : '', jti);
      this.#acks.push(jti);
    } catch (error) {
      if (!(error instanceof EventTokenRefused)) {
        this.#hold(jti, jws);
        return 'held';
      }
      this.#errors.push([jti, { err: error.err, description: error.message }]);
      outcome = 'refused';
    }
    const isRepeated = this.#settled.has(jti);
    this.#held.delete(jti);
    this.#settled.set(jti, true);
    return isRepeated ? 'repeated' : outcome;
  }

  #hold(jti: string, jws: unknown): void {
    const before = this.#held.get(jti);
    if (before !== undefined || this.#held.size < MAX_HELD) {
      const failures = (before?.failures ?? 0) + 1;
      this.#held.set(jti, { jws, failures, dueAt: performance.now() + pauseAfter(failures) * 1000 });
    }
  }

  #reportFailure(error: unknown): void {
    const member = error instanceof PollTrouble ? error.refusedMember : undefined;
    if (member === undefined ? !this.#isFailing : member !== this.#refusedMember) {
      this.#isFailing = true;
      this.#refusedMember = member ?? this.#refusedMember;
      const { transmitter, report } = this.#parts;
      const why =
        error instanceof PollTrouble || RequestRefused.isRefusal(error) || isTellable(error)
          ? error.message
          : describeError(error);
      report(
        'signal_poll_failed',
        `the signals of ${transmitter} can not be polled, and do not arrive until they can: ${why}`,
      );
    }
  }

  #reportAnswer(): void {
    if (this.#isFailing) {
      this.#isFailing = false;
      const { transmitter, report } = this.#parts;
      report('signal_poll_resumed', `the signals of ${transmitter} are polled again`);
    }
  }
}

/** An answer that is none to a poll. */
class PollTrouble extends Error {
  readonly retryAfter: number | undefined;
  /** The member that may be the cause. */
  readonly refusedMember: ReportedMember | undefined;

  constructor(message: string, retryAfter?: number, refusedMember?: ReportedMember) {
    super(message);
    this.retryAfter = retryAfter;
    this.refusedMember = refusedMember;
  }
}

/** Whether a transmitter may answer so because of what the poll reports. */
function mayRefuseReports(status: number): boolean {
  const isOfUs = status === 401 || status === 403 || status === 429;
  return status >= 400 && status <= 500 && !isOfUs;
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
