/** When to give a server in trouble a rest. */
export interface BreakerRules {
  /** Failures in a row that open the breaker. */
  readonly failures: number;
  /** Seconds from the end of one attempt to the next one while the breaker is open. */
  readonly probeInterval: number;
}

/** What an attempt came to. */
export type Verdict =
  | 'answered'
  | 'failed'
  /** The attempt says nothing about the server. */
  | 'unknown'
  /** The server asked for this many seconds without attempts. Counts as a failure. */
  | { readonly restFor: number };

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

/**
 * Closed: every attempt is made. Open, after some failures in a row: one attempt at a time is made, the probe, and the
 * next one an interval after its end. No other attempt waits for the probe. A probe that is answered closes the breaker.
 */
export class CircuitBreaker {
  readonly #rules: BreakerRules;
  readonly #onChange: (isOpen: boolean) => void;
  #failures = 0;
  #isOpen = false;
  #isProbing = false;
  /** By the monotonic clock, in milliseconds. */
  #nextProbe = 0;

  constructor(rules: BreakerRules, onChange: (isOpen: boolean) => void) {
    this.#rules = rules;
    this.#onChange = onChange;
  }

  /** Throws `CircuitOpen` when no attempt may be made now. */
  check(): void {
    if (!this.#isOpen) {
      return;
    }
    if (this.#isProbing) {
      throw new CircuitOpen(this.#rules.probeInterval);
    }
    const wait = this.#nextProbe - performance.now();
    if (wait > 0) {
      throw new CircuitOpen(wait / 1000);
    }
  }

  /** Makes the attempt, or throws `CircuitOpen`. `judge` says what it came to. */
  async run<T>(
    attempt: () => Promise<T>,
    judge: (result: T | undefined, error: unknown) => Verdict,
  ): Promise<T> {
    this.check();
    const isProbe = this.#isOpen;
    this.#isProbing = isProbe;
    try {
      const result = await attempt();
      this.#record(judge(result, undefined), isProbe);
      return result;
    } catch (error) {
      this.#record(judge(undefined, error), isProbe);
      throw error;
    }
  }

  #record(verdict: Verdict, isProbe: boolean): void {
    // What was under way when the breaker opened says nothing of now.
    if (this.#isOpen && !isProbe) {
      return;
    }
    if (isProbe) {
      this.#isProbing = false;
    }
    // The next attempt may be made at once.
    if (verdict === 'unknown') {
      return;
    }
    const hasFailed = verdict !== 'answered';
    this.#failures = hasFailed ? this.#failures + 1 : 0;
    const shouldOpen = this.#isOpen ? hasFailed : this.#failures >= this.#rules.failures;
    if (shouldOpen) {
      const rest = typeof verdict === 'object' ? verdict.restFor : 0;
      this.#nextProbe = performance.now() + Math.max(this.#rules.probeInterval, rest) * 1000;
    }
    if (shouldOpen !== this.#isOpen) {
      this.#isOpen = shouldOpen;
      this.#onChange(shouldOpen);
    }
  }
}
