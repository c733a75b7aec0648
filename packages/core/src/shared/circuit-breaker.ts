import { LRUCache } from 'lru-cache';

/** When to pause the requests to an endpoint that fails. */
export interface BreakerRules {
  /** Failures in a row that open the breaker. */
  readonly failures: number;
  /** Seconds from the end of one attempt to the next one while the breaker is open. */
  readonly probeInterval: number;
}

/** What an attempt came to. */
export type AttemptOutcome =
  | 'answered'
  | 'failed'
  /** The attempt says nothing about the server. */
  | 'unknown'
  /** The server asked for this many seconds without attempts. Counts as a failure. */
  | { readonly restFor: number };

/**
 * Names of the client for whom an attempt is made: its certificate, its address. Empty for an
 * attempt that no client caused. Clients that share a name count as one client where they could be
 * one.
 */
export type AttemptSource = readonly string[];

/** Thrown instead of an attempt while the breaker is open. */
export class CircuitOpen extends Error {
  override readonly name = 'CircuitOpen';
  /** Seconds until the next attempt. */
  readonly retryAfter: number;

  constructor(retryAfter: number) {
    super(`not asked, as it failed before; next attempt in ${retryAfter.toFixed(1)} s`);
    this.retryAfter = retryAfter;
  }
}

/** Failures in a row of one client, or of all clients, and the rest after them. */
class Row {
  failures = 0;
  isProbing = false;
  /** By the monotonic clock, in milliseconds. */
  nextAttempt = 0;

  /** Milliseconds until an attempt may be made; 0 or less for now. */
  wait(probeInterval: number): number {
    return this.isProbing ? probeInterval * 1000 : this.nextAttempt - performance.now();
  }
}

/**
 * The clients with failures that are told apart; of more the one that failed longest ago counts as
 * new.
 */
const MAX_NAMES = 1_000;

/**
 * So many times `failures` in a row open the breaker for all, also if one client may have caused
 * all of them.
 */
const ONE_CLIENTS_FACTOR = 20;

/**
 * Closed: every attempt is made. Open, after some failures in a row: one attempt at a time is made,
 * the probe, and the next one an interval after its end. No other attempt waits for the probe. An
 * attempt that is answered closes the breaker.
 *
 * A client may be able to make its attempts fail, so that the breaker is open for that client alone
 * after its failures. It is open for all when as many clients failed in a row. The next probe then
 * goes to a client that has not failed, if there is one.
 */
export class CircuitBreaker {
  readonly #rules: BreakerRules;
  readonly #onChange: (isOpen: boolean) => void;
  /** Of each client, by each of its names, since the last answer. */
  readonly #rows = new LRUCache<string, Row>({ max: MAX_NAMES });
  /** Of all clients, since the last answer. */
  #all = new Row();
  /** The failures in a row, of which each client counts once. */
  #clients = 0;
  #isOpen = false;

  constructor(rules: BreakerRules, onChange: (isOpen: boolean) => void) {
    this.#rules = rules;
    this.#onChange = onChange;
  }

  /** Throws `CircuitOpen` when no attempt may be made now for this client. */
  check(source: AttemptSource = []): void {
    const wait = this.#waitOf(source);
    if (wait > 0) {
      throw new CircuitOpen(wait / 1000);
    }
  }

  /** Makes the attempt, or throws `CircuitOpen`. `classify` says what it came to. */
  async run<T>(
    attempt: () => Promise<T>,
    classify: (result: T | undefined, error: unknown) => AttemptOutcome,
    source: AttemptSource = [],
  ): Promise<T> {
    this.check(source);
    const probed = this.#openRows(source);
    for (const row of probed) {
      row.isProbing = true;
    }
    try {
      const result = await attempt();
      this.#record(classify(result, undefined), source, probed);
      return result;
    } catch (error) {
      this.#record(classify(undefined, error), source, probed);
      throw error;
    }
  }

  /** Milliseconds. */
  #waitOf(source: AttemptSource): number {
    const { probeInterval } = this.#rules;
    const waits = this.#openRows(source).map((row) => row.wait(probeInterval));
    const wait = Math.max(0, ...waits);
    // A client that failed lets others try first.
    const isLater = this.#isOpenForAll() && !this.#all.isProbing && this.#known(source).length > 0;
    return isLater ? Math.max(wait, this.#all.wait(probeInterval) + probeInterval * 1000) : wait;
  }

  /** The rows by which the breaker is open for this client. */
  #openRows(source: AttemptSource): Row[] {
    if (this.#isOpenForAll()) {
      return [this.#all];
    }
    const known = this.#known(source);
    const isOpen =
      known.length === source.length && known.every((row) => row.failures >= this.#rules.failures);
    return isOpen ? known : [];
  }

  #isOpenForAll(): boolean {
    const { failures } = this.#rules;
    return this.#clients >= failures || this.#all.failures >= failures * ONE_CLIENTS_FACTOR;
  }

  #known(source: AttemptSource): Row[] {
    return source.map((name) => this.#rows.get(name)).filter((row) => row !== undefined);
  }

  #record(verdict: AttemptOutcome, source: AttemptSource, probed: readonly Row[]): void {
    for (const row of probed) {
      row.isProbing = false;
    }
    // What was under way when the breaker opened says nothing of now. After `unknown` the next
    // attempt may be made at once.
    const wasUnderWay = probed.length === 0 && this.#openRows(source).length > 0;
    if (wasUnderWay || verdict === 'unknown') {
      return;
    }
    if (verdict === 'answered') {
      // Each answer passes here, and to clear an empty cache costs as much as to clear a full one.
      if (this.#rows.size > 0) {
        this.#rows.clear();
      }
      this.#all = new Row();
      this.#clients = 0;
      this.#show(false);
      return;
    }
    const rest = typeof verdict === 'object' ? verdict.restFor : 0;
    const nextAttempt = performance.now() + Math.max(this.#rules.probeInterval, rest) * 1000;
    this.#clients += this.#known(source).length === 0 ? 1 : 0;
    const rows = source.map((name) => this.#rows.get(name) ?? new Row());
    source.forEach((name, index) => {
      this.#rows.set(name, rows[index]);
    });
    for (const row of [this.#all, ...rows]) {
      row.failures += 1;
      row.nextAttempt = nextAttempt;
    }
    if (this.#clients < this.#rules.failures) {
      // One client may have caused all of it: the others wait no longer than they must.
      this.#all.nextAttempt = performance.now() + this.#rules.probeInterval * 1000;
    }
    if (this.#openRows(source).length > 0) {
      this.#show(true);
    }
  }

  #show(isOpen: boolean): void {
    if (isOpen !== this.#isOpen) {
      this.#isOpen = isOpen;
      this.#onChange(isOpen);
    }
  }
}
