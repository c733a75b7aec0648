import { LRUCache } from 'lru-cache';
import { StatusError, type StatusReason } from './status-reason.js';
import type { Urgency } from './urgency.js';

/** Requests that run at once. */
const MAX_RUNNING = 24;

/** Of these for the certificates of one authority, whose certificates may name any addresses. */
const MAX_OF_AUTHORITY = 8;

/** Of these to origins that do not answer: lists from origins that do are refreshed next to them. */
const MAX_SILENT_OF_AUTHORITY = 6;

/** Of these to one origin, and to one whose last request got no answer, or that was never asked. */
const MAX_OF_ORIGIN = 4;
const MAX_OF_SILENT_ORIGIN = 2;

/** Of these to all such origins together: each holds its place until the time of its request is over. */
const MAX_OF_SILENT = 16;

/** Requests that wait for a place, and of these for the certificates of one authority. */
const MAX_WAITING = 20_000;
const MAX_WAITING_OF_AUTHORITY = 10_000;

/** Origins that are known to answer, and those that are known not to, each for one authority. */
const MAX_ORIGINS = 1_000;

const tooManyWait: StatusReason = {
  code: 'unreachable',
  why: 'too many requests for the status of certificates wait',
};

/** Who asks for a place. */
export interface Applicant {
  readonly origin: string;
  /** A name of the authority whose certificates are looked up. */
  readonly authority: string;
  readonly urgency: Urgency;
}

/** Ends the use of a place. Says whether the origin answered; `undefined` if it was not asked. */
export type Release = (hasAnswered?: boolean) => void;

interface Waiting {
  readonly start: () => void;
  readonly fail: (error: Error) => void;
}

/** What waits for one origin on behalf of one authority, in its order. */
interface Lane {
  readonly origin: string;
  readonly authority: Authority;
  readonly urgent: Set<Waiting>;
  readonly others: Set<Waiting>;
  /** The number of its last place, or of its beginning: the lane that had a place last comes last. */
  lastPlace: number;
}

/** The lanes of an authority whose origins have a place, by what decides which of them comes next. */
interface Authority {
  readonly name: string;
  readonly lanes: Map<string, Lane>;
  readonly ready: readonly ReadyLanes[];
}

interface ReadyLanes {
  readonly isUrgent: boolean;
  readonly isSilent: boolean;
  readonly lanes: Set<Lane>;
}

/**
 * The places of the requests that run at once. No origin and no authority can take all of them,
 * whatever addresses its certificates name. What a client waits for comes before refreshes in the
 * background, and then what belongs to the authority with the fewest places. However many requests
 * wait, the next one is found in the time that it takes to look at each authority.
 */
export class RequestPlaces {
  #running = 0;
  #silent = 0;
  #placeCount = 0;
  readonly #ofOrigin = new Counts();
  readonly #ofAuthority = new Counts();
  readonly #silentOfAuthority = new Counts();
  readonly #waiting = new Counts();
  #allWaiting = 0;
  /** Those for which requests wait. */
  readonly #authorities = new Map<string, Authority>();
  readonly #lanesOf = new Map<string, Set<Lane>>();
  readonly #answering = new LRUCache<string, true>({ max: MAX_ORIGINS });
  /** A failure counts for the authority alone for which the origin was asked: it may have chosen the URL. */
  readonly #failing = new LRUCache<string, true>({ max: MAX_ORIGINS });

  /**
   * Resolves when there is a place. Rejects if too many wait already, and at `close()`. If all that may wait
   * do, the authority with the most gives way to one with fewer: its oldest request is rejected.
   */
  take({ origin, authority, urgency }: Applicant): Promise<Release> {
    if (this.#hasRoom(origin, authority)) {
      return Promise.resolve(this.#occupy(origin, authority));
    }
    if (this.#waiting.of(authority) >= MAX_WAITING_OF_AUTHORITY || !this.#makeRoomToWait(authority)) {
      return Promise.reject(new StatusError(tooManyWait));
    }
    return new Promise((resolve, reject) => {
      const lane = this.#laneOf(origin, authority);
      const waiting = { start: () => resolve(this.#occupy(origin, authority)), fail: reject };
      lane.others.add(waiting);
      this.#waiting.add(authority, 1);
      this.#allWaiting += 1;
      urgency.whenUrgent(() => {
        if (lane.others.delete(waiting)) {
          lane.urgent.add(waiting);
          this.#file(lane);
        }
      });
      this.#file(lane);
    });
  }

  /** Gives no place to those who wait. */
  close(): void {
    for (const { lanes } of this.#authorities.values()) {
      for (const { urgent, others } of lanes.values()) {
        for (const { fail } of [...urgent, ...others]) {
          fail(new StatusError({ code: 'unreadable', why: 'closed' }));
        }
      }
    }
    this.#authorities.clear();
    this.#lanesOf.clear();
  }

  /** Says whether one more request of an authority may wait. */
  #makeRoomToWait(name: string): boolean {
    if (this.#allWaiting < MAX_WAITING) {
      return true;
    }
    let largest: Authority | undefined;
    let most = this.#waiting.of(name);
    for (const authority of this.#authorities.values()) {
      const count = this.#waiting.of(authority.name);
      if (count > most) {
        largest = authority;
        most = count;
      }
    }
    const [lane] = largest?.lanes.values() ?? [];
    const [oldest] = (lane?.others.size === 0 ? lane.urgent : lane?.others) ?? [];
    if (lane === undefined || oldest === undefined) {
      return false;
    }
    this.#takeOut(lane, oldest);
    this.#file(lane);
    oldest.fail(new StatusError(tooManyWait));
    return true;
  }

  /** Takes a request out of those that wait. */
  #takeOut(lane: Lane, waiting: Waiting): void {
    const { origin, authority, urgent, others } = lane;
    urgent.delete(waiting);
    others.delete(waiting);
    this.#waiting.add(authority.name, -1);
    this.#allWaiting -= 1;
    if (urgent.size + others.size === 0) {
      authority.lanes.delete(origin);
      const lanes = this.#lanesOf.get(origin);
      lanes?.delete(lane);
      if (lanes?.size === 0) {
        this.#lanesOf.delete(origin);
      }
    }
    if (authority.lanes.size === 0) {
      this.#authorities.delete(authority.name);
    }
  }

  #hasRoom(origin: string, authority: string): boolean {
    const isSilent = this.#isSilent(origin, authority);
    return (
      this.#running < MAX_RUNNING &&
      this.#ofAuthority.of(authority) < MAX_OF_AUTHORITY &&
      this.#originHasRoom(origin, isSilent) &&
      (!isSilent || this.#silentHasRoom(authority))
    );
  }

  #silentHasRoom(authority: string): boolean {
    return this.#silent < MAX_OF_SILENT && this.#silentOfAuthority.of(authority) < MAX_SILENT_OF_AUTHORITY;
  }

  #originHasRoom(origin: string, isSilent: boolean): boolean {
    return this.#ofOrigin.of(origin) < (isSilent ? MAX_OF_SILENT_ORIGIN : MAX_OF_ORIGIN);
  }

  #isSilent(origin: string, authority: string): boolean {
    return !this.#answering.has(origin) || this.#failing.has(`${authority} ${origin}`);
  }

  #occupy(origin: string, authority: string): Release {
    const isSilent = this.#isSilent(origin, authority);
    const count = (by: 1 | -1): void => {
      this.#running += by;
      if (isSilent) {
        this.#silent += by;
        this.#silentOfAuthority.add(authority, by);
      }
      this.#ofOrigin.add(origin, by);
      this.#ofAuthority.add(authority, by);
      this.#fileAllOf(origin);
    };
    count(1);
    return (hasAnswered) => {
      if (hasAnswered === true) {
        this.#answering.set(origin, true);
        this.#failing.delete(`${authority} ${origin}`);
      } else if (hasAnswered === false) {
        this.#failing.set(`${authority} ${origin}`, true);
      }
      count(-1);
      this.#startWaiting();
    };
  }

  #laneOf(origin: string, name: string): Lane {
    const authority = this.#authorities.get(name) ?? { name, lanes: new Map(), ready: createReady() };
    this.#authorities.set(name, authority);
    const known = authority.lanes.get(origin);
    if (known !== undefined) {
      return known;
    }
    this.#placeCount += 1;
    const lane: Lane = {
      origin,
      authority,
      urgent: new Set(),
      others: new Set(),
      lastPlace: this.#placeCount,
    };
    authority.lanes.set(origin, lane);
    const lanes = this.#lanesOf.get(origin) ?? new Set();
    this.#lanesOf.set(origin, lanes.add(lane));
    return lane;
  }

  /** Files the lanes of an origin again: whether it has a place or is silent may have changed. */
  #fileAllOf(origin: string): void {
    for (const lane of this.#lanesOf.get(origin) ?? []) {
      this.#file(lane);
    }
  }

  /** Puts a lane where the next one is looked for, if its origin has a place. */
  #file(lane: Lane): void {
    const { origin, authority, urgent, others } = lane;
    const isSilent = this.#isSilent(origin, authority.name);
    const hasRoom = urgent.size + others.size > 0 && this.#originHasRoom(origin, isSilent);
    for (const ready of authority.ready) {
      if (hasRoom && ready.isSilent === isSilent && ready.isUrgent === urgent.size > 0) {
        ready.lanes.add(lane);
      } else {
        ready.lanes.delete(lane);
      }
    }
  }

  #startWaiting(): void {
    for (let lane = this.#nextLane(); lane !== undefined; lane = this.#nextLane()) {
      const { urgent, others } = lane;
      const [next] = urgent.size > 0 ? urgent : others;
      if (next === undefined) {
        return;
      }
      this.#takeOut(lane, next);
      this.#putLast(lane);
      next.start();
    }
  }

  /** The lane that has the next place; `undefined` if none can have one now. */
  #nextLane(): Lane | undefined {
    if (this.#running >= MAX_RUNNING) {
      return undefined;
    }
    for (const isUrgent of [true, false]) {
      let best: Lane | undefined;
      let fewest = MAX_OF_AUTHORITY;
      for (const { name, ready } of this.#authorities.values()) {
        const running = this.#ofAuthority.of(name);
        const lane = running < fewest ? this.#firstOf(name, ready, isUrgent) : undefined;
        if (lane !== undefined) {
          best = lane;
          fewest = running;
        }
      }
      if (best !== undefined) {
        return best;
      }
    }
    return undefined;
  }

  #firstOf(authority: string, ready: readonly ReadyLanes[], isUrgent: boolean): Lane | undefined {
    const silentHasRoom = this.#silentHasRoom(authority);
    let first: Lane | undefined;
    for (const { isUrgent: isSo, isSilent, lanes } of ready) {
      const [lane] = isSo === isUrgent && (!isSilent || silentHasRoom) ? lanes : [];
      first = first === undefined || (lane !== undefined && lane.lastPlace < first.lastPlace) ? lane : first;
    }
    return first;
  }

  /** The other authorities with as many places, and the other lanes of its own, come first the next time. */
  #putLast(lane: Lane): void {
    const { authority } = lane;
    for (const { lanes } of authority.ready) {
      lanes.delete(lane);
    }
    this.#placeCount += 1;
    lane.lastPlace = this.#placeCount;
    this.#authorities.delete(authority.name);
    if (authority.lanes.size > 0) {
      this.#authorities.set(authority.name, authority);
    }
  }
}

function createReady(): readonly ReadyLanes[] {
  return [true, false].flatMap((isUrgent) =>
    [true, false].map((isSilent) => ({ isUrgent, isSilent, lanes: new Set<Lane>() })),
  );
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
