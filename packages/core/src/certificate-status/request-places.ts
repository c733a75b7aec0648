import { LRUCache } from 'lru-cache';
import { StatusError, type StatusReason } from './status-reason.js';
import type { ChargedAuthority } from './status-source.js';
import type { Urgency } from './urgency.js';

/** Requests that run at once. */
const MAX_RUNNING = 32;

/** Of these for the certificates below one trust anchor, which may make any number of authorities. */
const MAX_OF_ANCHOR = 24;

/** Of these for the certificates of one authority, whose certificates may name any addresses. */
const MAX_OF_AUTHORITY = 8;

/** Of all of these to one origin, and to one whose last request got no answer, or that was never asked. */
const MAX_OF_ORIGIN = 4;
const MAX_OF_SILENT_ORIGIN = 2;

/**
 * Of these to all such origins together: each holds its place until the time of its request is over. Lists
 * from origins that answer are refreshed next to them.
 */
const MAX_OF_SILENT = 24;
const MAX_SILENT_OF_ANCHOR = 16;
const MAX_SILENT_OF_AUTHORITY = 6;

/** Requests that wait for a place, and of these for the certificates of one authority. */
const MAX_WAITING = 20_000;
const MAX_WAITING_OF_AUTHORITY = 10_000;

/**
 * Authorities below one trust anchor whose requests run or wait: each has its own share. Further ones share
 * that of one authority, so that no anchor makes it take long to find the next request.
 */
const MAX_AUTHORITIES = 100;

/** Origins that are known to answer, and those that are known not to, each for one authority. */
const MAX_ORIGINS = 1_000;

const tooManyWait: StatusReason = {
  code: 'unreachable',
  why: 'too many requests for the status of certificates wait',
};

/** Who asks for a place. */
export interface Applicant {
  readonly origin: string;
  /** The authority whose certificates are looked up. */
  readonly authority: ChargedAuthority;
  readonly urgency: Urgency;
}

/** Ends the use of a place. Says whether the origin answered; `undefined` if it was not asked. */
export type Release = (hasAnswered?: boolean) => void;

interface Waiting {
  readonly start: () => void;
  readonly fail: (error: Error) => void;
}

/** What runs and waits on behalf of an authority or of a trust anchor. */
interface Share {
  running: number;
  /** Of these to origins that do not answer. */
  silent: number;
  waiting: number;
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

interface Authority extends Share {
  readonly name: string;
  readonly anchor: Anchor;
  readonly lanes: Map<string, Lane>;
  /** The lanes whose origins have a place, by what decides which of them comes next. */
  readonly ready: readonly ReadyLanes[];
}

/** A trust anchor below which requests run or wait. */
interface Anchor extends Share {
  readonly name: string;
  /** Those for which requests run or wait. The one that had a place last comes last, as for the anchors. */
  readonly authorities: Map<string, Authority>;
}

interface ReadyLanes {
  readonly isUrgent: boolean;
  readonly isSilent: boolean;
  readonly lanes: Set<Lane>;
}

/**
 * The places of the requests that run at once. No origin, no authority and no trust anchor can take all of
 * them, whatever addresses its certificates name and however many authorities it makes. What a client waits
 * for comes before refreshes in the background, then what belongs to the anchor with the fewest places, then
 * what belongs to its authority with the fewest. However many requests wait, and for however many
 * authorities, the next one is found in the time that it takes to look at `MAX_AUTHORITIES` of each anchor.
 */
export class RequestPlaces {
  #running = 0;
  #silent = 0;
  #waiting = 0;
  #placeCount = 0;
  readonly #ofOrigin = new Counts();
  readonly #anchors = new Map<string, Anchor>();
  readonly #lanesOf = new Map<string, Set<Lane>>();
  readonly #answering = new LRUCache<string, true>({ max: MAX_ORIGINS });
  /** A failure counts for the authority alone for which the origin was asked: it may have chosen the URL. */
  readonly #failing = new LRUCache<string, true>({ max: MAX_ORIGINS });

  /**
   * Resolves when there is a place. Rejects if too many wait already, and at `close()`. If all that may wait
   * do, the trust anchor with the most gives way to one with fewer, and the authority with the most to others
   * below its anchor: its oldest request is rejected.
   */
  take({ origin, authority: charged, urgency }: Applicant): Promise<Release> {
    const authority = this.#authorityOf(charged);
    if (this.#hasRoom(origin, authority)) {
      return Promise.resolve(this.#occupy(origin, authority));
    }
    if (authority.waiting >= MAX_WAITING_OF_AUTHORITY || !this.#makeRoomToWait(authority)) {
      this.#forgetIfUnused(authority);
      return Promise.reject(new StatusError(tooManyWait));
    }
    return new Promise((resolve, reject) => {
      const lane = this.#laneOf(origin, authority);
      const waiting = { start: () => resolve(this.#occupy(origin, authority)), fail: reject };
      lane.others.add(waiting);
      this.#countWaiting(authority, 1);
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
    const waiting = [...this.#lanesOf.values()].flatMap((lanes) =>
      [...lanes].flatMap(({ urgent, others }) => [...urgent, ...others]),
    );
    this.#anchors.clear();
    this.#lanesOf.clear();
    for (const { fail } of waiting) {
      fail(new StatusError({ code: 'unreadable', why: 'closed' }));
    }
  }

  #authorityOf({ name: given, anchor: anchorName }: ChargedAuthority): Authority {
    const anchor = this.#anchors.get(anchorName) ?? {
      name: anchorName,
      authorities: new Map<string, Authority>(),
      ...noShare,
    };
    this.#anchors.set(anchorName, anchor);
    const { authorities } = anchor;
    const name = authorities.has(given) || authorities.size < MAX_AUTHORITIES ? given : FURTHER;
    const authority = authorities.get(name) ?? {
      name,
      anchor,
      lanes: new Map<string, Lane>(),
      ready: createReady(),
      ...noShare,
    };
    authorities.set(name, authority);
    return authority;
  }

  #forgetIfUnused({ name, anchor, running, waiting }: Authority): void {
    if (running + waiting === 0) {
      anchor.authorities.delete(name);
    }
    if (anchor.running + anchor.waiting === 0) {
      this.#anchors.delete(anchor.name);
    }
  }

  #countWaiting(authority: Authority, by: 1 | -1): void {
    this.#waiting += by;
    authority.anchor.waiting += by;
    authority.waiting += by;
  }

  /** Says whether one more request of an authority may wait. */
  #makeRoomToWait({ anchor, waiting }: Authority): boolean {
    if (this.#waiting < MAX_WAITING) {
      return true;
    }
    const largestAnchor = largest(this.#anchors.values(), anchor.waiting) ?? anchor;
    const most = largestAnchor === anchor ? waiting : 0;
    const largestAuthority = largest(largestAnchor.authorities.values(), most);
    const [lane] = largestAuthority?.lanes.values() ?? [];
    const [oldest] = (lane?.others.size === 0 ? lane.urgent : lane?.others) ?? [];
    if (lane === undefined || oldest === undefined) {
      return false;
    }
    this.#takeOut(lane, oldest);
    this.#file(lane);
    this.#forgetIfUnused(lane.authority);
    oldest.fail(new StatusError(tooManyWait));
    return true;
  }

  /** Takes a request out of those that wait. */
  #takeOut(lane: Lane, waiting: Waiting): void {
    const { origin, authority, urgent, others } = lane;
    urgent.delete(waiting);
    others.delete(waiting);
    this.#countWaiting(authority, -1);
    if (urgent.size + others.size === 0) {
      authority.lanes.delete(origin);
      const lanes = this.#lanesOf.get(origin);
      lanes?.delete(lane);
      if (lanes?.size === 0) {
        this.#lanesOf.delete(origin);
      }
    }
  }

  #hasRoom(origin: string, authority: Authority): boolean {
    const isSilent = this.#isSilent(origin, authority);
    return (
      this.#running < MAX_RUNNING &&
      authority.anchor.running < MAX_OF_ANCHOR &&
      authority.running < MAX_OF_AUTHORITY &&
      this.#originHasRoom(origin, isSilent) &&
      (!isSilent || this.#silentHasRoom(authority))
    );
  }

  #silentHasRoom({ anchor, silent }: Authority): boolean {
    return (
      this.#silent < MAX_OF_SILENT && anchor.silent < MAX_SILENT_OF_ANCHOR && silent < MAX_SILENT_OF_AUTHORITY
    );
  }

  #originHasRoom(origin: string, isSilent: boolean): boolean {
    return this.#ofOrigin.of(origin) < (isSilent ? MAX_OF_SILENT_ORIGIN : MAX_OF_ORIGIN);
  }

  #isSilent(origin: string, authority: Authority): boolean {
    return !this.#answering.has(origin) || this.#failing.has(nameFor(origin, authority));
  }

  #occupy(origin: string, authority: Authority): Release {
    const isSilent = this.#isSilent(origin, authority);
    const count = (by: 1 | -1): void => {
      this.#running += by;
      authority.anchor.running += by;
      authority.running += by;
      if (isSilent) {
        this.#silent += by;
        authority.anchor.silent += by;
        authority.silent += by;
      }
      this.#ofOrigin.add(origin, by);
      this.#fileAllOf(origin);
    };
    count(1);
    return (hasAnswered) => {
      if (hasAnswered === true) {
        this.#answering.set(origin, true);
        this.#failing.delete(nameFor(origin, authority));
      } else if (hasAnswered === false) {
        this.#failing.set(nameFor(origin, authority), true);
      }
      count(-1);
      this.#forgetIfUnused(authority);
      this.#startWaiting();
    };
  }

  #laneOf(origin: string, authority: Authority): Lane {
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
    const isSilent = this.#isSilent(origin, authority);
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
      const lane = firstOfFewest(this.#anchors.values(), MAX_OF_ANCHOR, ({ authorities }) =>
        firstOfFewest(authorities.values(), MAX_OF_AUTHORITY, (authority) =>
          this.#firstOf(authority, isUrgent),
        ),
      );
      if (lane !== undefined) {
        return lane;
      }
    }
    return undefined;
  }

  #firstOf(authority: Authority, isUrgent: boolean): Lane | undefined {
    const silentHasRoom = this.#silentHasRoom(authority);
    let first: Lane | undefined;
    for (const { isUrgent: isSo, isSilent, lanes } of authority.ready) {
      const [lane] = isSo === isUrgent && (!isSilent || silentHasRoom) ? lanes : [];
      first = first === undefined || (lane !== undefined && lane.lastPlace < first.lastPlace) ? lane : first;
    }
    return first;
  }

  /** The others with as many places, and the other lanes of its authority, come first the next time. */
  #putLast(lane: Lane): void {
    const { authority } = lane;
    const { anchor } = authority;
    for (const { lanes } of authority.ready) {
      lanes.delete(lane);
    }
    this.#placeCount += 1;
    lane.lastPlace = this.#placeCount;
    anchor.authorities.delete(authority.name);
    anchor.authorities.set(authority.name, authority);
    this.#anchors.delete(anchor.name);
    this.#anchors.set(anchor.name, anchor);
  }
}

const noShare: Readonly<Share> = { running: 0, silent: 0, waiting: 0 };

/** The authorities below an anchor that are more than `MAX_AUTHORITIES`. No authority has this name. */
const FURTHER = '';

function nameFor(origin: string, { name, anchor }: Authority): string {
  return `${anchor.name} ${name} ${origin}`;
}

/** The one with the most requests that wait, if they are more than `most`. */
function largest<S extends Share>(shares: Iterable<S>, most: number): S | undefined {
  let found: S | undefined;
  for (const share of shares) {
    found = share.waiting > (found?.waiting ?? most) ? share : found;
  }
  return found;
}

/** The lane of the one with the fewest places, if these are fewer than `max`: of those that have a lane. */
function firstOfFewest<S extends Share>(
  shares: Iterable<S>,
  max: number,
  laneOf: (share: S) => Lane | undefined,
): Lane | undefined {
  let best: Lane | undefined;
  let fewest = max;
  for (const share of shares) {
    const lane = share.running < fewest ? laneOf(share) : undefined;
    if (lane !== undefined) {
      best = lane;
      fewest = share.running;
    }
  }
  return best;
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
