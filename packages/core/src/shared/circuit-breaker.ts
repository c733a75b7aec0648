import { LRUCache } from 'lru-cache';
import type { CountingKeys } from './counting-keys.js';

/** When to pause the requests to an endpoint that fails. */
export interface CircuitBreakerRules {
  /** Failures in a row that open the breaker. */
  readonly maxFailures: number;
  /** Seconds from the end of one attempt to the next one while the breaker is open. */
  readonly probeInterval: number;
}

/** What an attempt came to. */
export type AttemptOutcome =
  | 'answered'
  | 'failed'
  /** The attempt says nothing about the server. */
  | 'inconclusive'
  /** The server asked for this many seconds without attempts. Counts as a failure. */
  | { readonly restFor: number };

/**
 * What an attempt is about: `known` is what the server has answered well before, so that no client
 * can have made it up. Failures of `unknown` attempts never refuse a `known` one.
 */
export type AttemptKind = 'unknown' | 'known';

/** Thrown instead of an attempt while the breaker is open. */
export class CircuitOpen extends Error {
  override readonly name = 'CircuitOpen';
  /** Seconds until the next attempt. */
  readonly retryAfter: number;
  /** The kind of the attempts that failed, and of the one that is refused. */
  readonly kind: AttemptKind;

  constructor(retryAfter: number, kind: AttemptKind) {
    super(`not asked, as it failed before; next attempt in ${retryAfter.toFixed(1)} s`);
    this.retryAfter = retryAfter;
    this.kind = kind;
  }
}

const withoutError = new Error('the attempt rejected without an error');

/** Failures in a row of one client, or of all clients, and the rest after them. */
class Streak {
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
 * How many counting keys of clients with failures are remembered. Beyond that number the client that failed
 * longest ago is forgotten: its next failure counts as its first.
 */
const MAX_KEYS = 1_000;

/**
 * The breaker opens for all after this many times `maxFailures` in a row, also if one client may have
 * caused all of them.
 */
const ONE_CLIENTS_FACTOR = 20;

/** The failures of attempts of one kind since the last answer. */
class Tally {
  /** Of each client, by each of its counting keys. */
  readonly streaks = new LRUCache<string, Streak>({ max: MAX_KEYS });
  /** Of all clients. */
  all = new Streak();
  /** The failures in a row: each client with a key counts once, each failure without a key counts too. */
  distinctFailures = 0;

  /** Whether nothing has failed since the last answer, so that there is nothing to clear. */
  get isEmpty(): boolean {
    return this.distinctFailures === 0 && this.all.failures === 0 && this.streaks.size === 0;
  }

  streaksOf(countingKeys: CountingKeys): Streak[] {
    return countingKeys.map((key) => this.streaks.get(key)).filter((streak) => streak !== undefined);
  }

  clear(): void {
    // This runs at each answer, and clearing an empty cache costs as much as clearing a full one.
    if (this.isEmpty) {
      return;
    }
    this.streaks.clear();
    this.all = new Streak();
    this.distinctFailures = 0;
  }
}

/**
 * Closed: every attempt is made. Open, after some failures in a row: one attempt at a time is made, the
 * probe, and the next one an interval after its end. No other attempt waits for the probe. An attempt that is
 * answered closes the breaker.
 *
 * A client may be able to make its attempts fail. So after the failures of one client the breaker is open for
 * that client alone. It opens for all clients when attempts of `maxFailures` different clients have failed in
 * a row. The next probe then goes to a client that has not failed, if there is one.
 *
 * The failures of each kind of attempts open it for attempts of that kind alone.
 */
export class CircuitBreaker {
  readonly #rules: CircuitBreakerRules;
  readonly #onChange: (isOpen: boolean) => void;
  readonly #tallies: Readonly<Record<AttemptKind, Tally>> = {
    unknown: new Tally(),
    known: new Tally(),
  };
  #isOpen = false;

  constructor(rules: CircuitBreakerRules, onChange: (isOpen: boolean) => void) {
    this.#rules = rules;
    this.#onChange = onChange;
  }

  /** Throws `CircuitOpen` when no attempt of this kind may be made now for this client. */
  check(countingKeys: CountingKeys = [], kind: AttemptKind = 'unknown'): void {
    const wait = this.#waitOf(countingKeys, this.#tallies[kind]);
    if (wait > 0) {
      throw new CircuitOpen(wait / 1000, kind);
    }
  }

  /** Makes the attempt, or throws `CircuitOpen`. `classify` says what it came to. */
  async run<T>(
    attempt: () => Promise<T>,
    classify: (result: T | undefined, error: unknown) => AttemptOutcome,
    countingKeys: CountingKeys = [],
    kind: AttemptKind = 'unknown',
  ): Promise<T> {
    this.check(countingKeys, kind);
    const tally = this.#tallies[kind];
    const probed = this.#openStreaks(countingKeys, tally);
    for (const streak of probed) {
      streak.isProbing = true;
    }
    try {
      const result = await attempt();
      this.#record(classify(result, undefined), countingKeys, tally, probed);
      return result;
    } catch (error) {
      // A store may reject with `undefined`, as `setTimeout(reject, 100)` does: that is no answer.
      this.#record(classify(undefined, error ?? withoutError), countingKeys, tally, probed);
      throw error;
    }
  }

  /** Milliseconds. */
  #waitOf(countingKeys: CountingKeys, tally: Tally): number {
    if (tally.isEmpty) {
      return 0;
    }
    const { probeInterval } = this.#rules;
    const waits = this.#openStreaks(countingKeys, tally).map((streak) => streak.wait(probeInterval));
    const wait = Math.max(0, ...waits);
    // A client that failed lets others try first.
    const { all } = tally;
    const isLater = this.#isOpenForAll(tally) && !all.isProbing && tally.streaksOf(countingKeys).length > 0;
    return isLater ? Math.max(wait, all.wait(probeInterval) + probeInterval * 1000) : wait;
  }

  /** The streaks by which the breaker is open for this client. */
  #openStreaks(countingKeys: CountingKeys, tally: Tally): Streak[] {
    if (tally.isEmpty) {
      return [];
    }
    if (this.#isOpenForAll(tally)) {
      return [tally.all];
    }
    const streaks = tally.streaksOf(countingKeys);
    const isOpen =
      streaks.length === countingKeys.length &&
      streaks.every((streak) => streak.failures >= this.#rules.maxFailures);
    return isOpen ? streaks : [];
  }

  #isOpenForAll({ distinctFailures, all }: Tally): boolean {
    const { maxFailures } = this.#rules;
    return distinctFailures >= maxFailures || all.failures >= maxFailures * ONE_CLIENTS_FACTOR;
  }

  #record(
    outcome: AttemptOutcome,
    countingKeys: CountingKeys,
    tally: Tally,
    probed: readonly Streak[],
  ): void {
    for (const streak of probed) {
      streak.isProbing = false;
    }
    // An attempt that was under way when the breaker opened says nothing about the server now. After
    // `inconclusive` the next attempt may be made at once.
    const wasUnderWay = probed.length === 0 && this.#openStreaks(countingKeys, tally).length > 0;
    if (wasUnderWay || outcome === 'inconclusive') {
      return;
    }
    if (outcome === 'answered') {
      this.#tallies.unknown.clear();
      this.#tallies.known.clear();
      this.#show(false);
      return;
    }
    const rest = typeof outcome === 'object' ? outcome.restFor : 0;
    const nextAttempt = performance.now() + Math.max(this.#rules.probeInterval, rest) * 1000;
    tally.distinctFailures += tally.streaksOf(countingKeys).length === 0 ? 1 : 0;
    const streaks = countingKeys.map((key) => tally.streaks.get(key) ?? new Streak());
    countingKeys.forEach((key, index) => {
      tally.streaks.set(key, streaks[index]);
    });
    for (const streak of [tally.all, ...streaks]) {
      streak.failures += 1;
      streak.nextAttempt = nextAttempt;
    }
    if (tally.distinctFailures < this.#rules.maxFailures) {
      // One client may have caused all failures: other clients wait only for `probeInterval`.
      tally.all.nextAttempt = performance.now() + this.#rules.probeInterval * 1000;
    }
    if (this.#openStreaks(countingKeys, tally).length > 0) {
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
