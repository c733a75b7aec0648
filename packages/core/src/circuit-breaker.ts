/** When to give a server in trouble a rest. */
export interface BreakerRules {
  /** Failures in a row that open the breaker. */
  readonly failures: number;
  /** Seconds between two attempts while it is open. */
  readonly probeInterval: number;
}

/** What an attempt came to, for the breaker: whether the server was there. */
export type Verdict = 'answered' | 'failed';

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
 * Closed: every attempt is made. Open, after some failures in a row: none is, but one each interval, the probe; while
 * it is under way the others do not wait for it. A probe that is answered closes the breaker.
 */
export class CircuitBreaker {
  readonly #rules: BreakerRules;
  readonly #onChange: (isOpen: boolean) => void;
  #failures = 0;
  #isOpen = false;
  /** By the monotonic clock, in milliseconds. */
  #nextProbe = 0;

  constructor(rules: BreakerRules, onChange: (isOpen: boolean) => void) {
    this.#rules = rules;
    this.#onChange = onChange;
  }

  /** Throws `CircuitOpen` when no attempt may be made now. */
  check(): void {
    const wait = this.#isOpen ? this.#nextProbe - performance.now() : 0;
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
    if (isProbe) {
      this.#postponeProbe();
    }
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
    this.#failures = verdict === 'failed' ? this.#failures + 1 : 0;
    const shouldOpen = this.#isOpen ? verdict === 'failed' : this.#failures >= this.#rules.failures;
    if (shouldOpen) {
      this.#postponeProbe();
    }
    if (shouldOpen !== this.#isOpen) {
      this.#isOpen = shouldOpen;
      this.#onChange(shouldOpen);
    }
  }

  #postponeProbe(): void {
    this.#nextProbe = performance.now() + this.#rules.probeInterval * 1000;
  }
}
