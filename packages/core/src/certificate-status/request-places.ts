import { LRUCache } from 'lru-cache';
import { TellableError } from '../errors.js';

/** Requests that run at once. */
const MAX_RUNNING = 24;

/** Of these for the certificates of one authority, whose certificates may name any addresses. */
const MAX_OF_AUTHORITY = 8;

/** Of these to one origin, and to one whose last request got no answer, or that was never asked. */
const MAX_OF_ORIGIN = 4;
const MAX_OF_SILENT_ORIGIN = 2;

/** Of these to all such origins together: each holds its place until the time of its request is over. */
const MAX_OF_SILENT = 16;

/** Requests that wait for a place, and of these for the certificates of one authority. */
const MAX_WAITING = 20_000;
const MAX_WAITING_OF_AUTHORITY = 10_000;

/** Origins that are known to answer. */
const MAX_ORIGINS = 1_000;

/** Who asks for a place. */
export interface Applicant {
  readonly origin: string;
  /** A name of the authority whose certificates are looked up. */
  readonly authority: string;
  /** Whether a request waits for it, rather than a refresh in the background. May become true. */
  readonly isAwaited: () => boolean;
}

/** Ends the use of a place. Says whether the origin answered; `undefined` if it was not asked. */
export type Release = (hasAnswered?: boolean) => void;

interface Waiting {
  readonly applicant: Applicant;
  readonly start: () => void;
  readonly fail: (error: Error) => void;
}

/** What waits for one origin on behalf of one authority, in its order. */
interface Lane extends Pick<Applicant, 'origin' | 'authority'> {
  readonly waiting: Set<Waiting>;
}

/**
 * The places of the requests that run at once. No origin and no authority can take all of them,
 * whatever addresses its certificates name. What a client waits for comes before refreshes in the
 * background, and then what belongs to the authority with the fewest places.
 */
export class RequestPlaces {
  #running = 0;
  #silent = 0;
  readonly #ofOrigin = new Counts();
  readonly #ofAuthority = new Counts();
  readonly #waiting = new Counts();
  #allWaiting = 0;
  readonly #lanes = new Map<string, Lane>();
  readonly #answering = new LRUCache<string, true>({ max: MAX_ORIGINS });

  /** Resolves when there is a place. Rejects if too many wait already, and at `close()`. */
  take(applicant: Applicant): Promise<Release> {
    if (this.#hasRoom(applicant)) {
      return Promise.resolve(this.#occupy(applicant));
    }
    const { origin, authority } = applicant;
    if (this.#allWaiting >= MAX_WAITING || this.#waiting.of(authority) >= MAX_WAITING_OF_AUTHORITY) {
      return Promise.reject(new TellableError('too many requests for the status of certificates wait'));
    }
    return new Promise((resolve, reject) => {
      const key = `${authority} ${origin}`;
      const lane = this.#lanes.get(key) ?? { origin, authority, waiting: new Set() };
      this.#lanes.set(key, lane);
      const start = () => resolve(this.#occupy(applicant));
      lane.waiting.add({ applicant, start, fail: reject });
      this.#waiting.add(authority, 1);
      this.#allWaiting += 1;
    });
  }

  /** Gives no place to those who wait. */
  close(): void {
    for (const { waiting } of this.#lanes.values()) {
      for (const { fail } of waiting) {
        fail(new TellableError('closed'));
      }
    }
    this.#lanes.clear();
  }

  #hasRoom({ origin, authority }: Pick<Applicant, 'origin' | 'authority'>): boolean {
    const isSilent = !this.#answering.has(origin);
    return (
      this.#running < MAX_RUNNING &&
      this.#ofAuthority.of(authority) < MAX_OF_AUTHORITY &&
      this.#ofOrigin.of(origin) < (isSilent ? MAX_OF_SILENT_ORIGIN : MAX_OF_ORIGIN) &&
      (!isSilent || this.#silent < MAX_OF_SILENT)
    );
  }

  #occupy({ origin, authority }: Applicant): Release {
    const silent = this.#answering.has(origin) ? 0 : 1;
    const count = (by: 1 | -1): void => {
      this.#running += by;
      this.#silent += by * silent;
      this.#ofOrigin.add(origin, by);
      this.#ofAuthority.add(authority, by);
    };
    count(1);
    return (hasAnswered) => {
      count(-1);
      if (hasAnswered === true) {
        this.#answering.set(origin, true);
      } else if (hasAnswered === false) {
        this.#answering.delete(origin);
      }
      this.#startWaiting();
    };
  }

  #startWaiting(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const { lane, waiting } = next;
      const key = `${lane.authority} ${lane.origin}`;
      lane.waiting.delete(waiting);
      // The other lanes of its authority come first the next time.
      this.#lanes.delete(key);
      if (lane.waiting.size > 0) {
        this.#lanes.set(key, lane);
      }
      this.#waiting.add(lane.authority, -1);
      this.#allWaiting -= 1;
      waiting.start();
    }
  }

  #next(): { lane: Lane; waiting: Waiting } | undefined {
    let best: { lane: Lane; waiting: Waiting; rank: number } | undefined;
    for (const lane of this.#lanes.values()) {
      if (this.#hasRoom(lane)) {
        const [first] = lane.waiting;
        const awaited = firstAwaited(lane);
        const waiting = awaited ?? first;
        const rank = this.#ofAuthority.of(lane.authority) + (awaited === undefined ? MAX_RUNNING : 0);
        if (waiting !== undefined && (best === undefined || rank < best.rank)) {
          best = { lane, waiting, rank };
        }
      }
    }
    return best;
  }
}

function firstAwaited({ waiting }: Lane): Waiting | undefined {
  for (const one of waiting) {
    if (one.applicant.isAwaited()) {
      return one;
    }
  }
  return undefined;
}

/** Counts by name, and forgets a name whose count is 0. */
class Counts {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, by: 1 | -1): void {
    const count = this.of(name) + by;
    if (count === 0) {
      this.#counts.delete(name);
    } else {
      this.#counts.set(name, count);
    }
  }
}
