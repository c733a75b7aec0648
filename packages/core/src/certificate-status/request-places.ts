import { LRUCache } from 'lru-cache';
import { StatusError, type StatusReason } from './status-reason.js';
import type { QuotaOwner } from './status-source.js';
import type { Urgency } from './urgency.js';

/** Requests that run at once. */
const MAX_RUNNING = 32;

/** Running requests for the certificates below one trust anchor, which may make any number of authorities. */
const MAX_OF_ANCHOR = 24;

/** Running requests for the certificates of one authority. They may name any addresses. */
const MAX_OF_AUTHORITY = 8;

/** Running requests to one origin. */
const MAX_OF_ORIGIN = 4;

/** Running requests to one silent origin: its last request got no answer, or it was never asked. */
const MAX_OF_SILENT_ORIGIN = 2;

/**
 * Running requests to silent origins: all, those below one trust anchor, and those for one authority. Each
 * may hold its place until its time is over. The places that are left are for origins that answer.
 */
const MAX_OF_SILENT = 24;
const MAX_SILENT_OF_ANCHOR = 16;
const MAX_SILENT_OF_AUTHORITY = 6;

/** Requests that wait for a place: all, and those for the certificates of one authority. */
const MAX_WAITING = 20_000;
const MAX_WAITING_OF_AUTHORITY = 10_000;

/**
 * Authorities below one trust anchor that have a share of their own while their requests run or wait. All
 * further ones have one share together, so that no anchor makes it take long to find the next request.
 */
const MAX_AUTHORITIES = 100;

/**
 * How many origins that answered are remembered, and how many pairs of an origin that gave no answer and the
 * authority whose certificate named it.
 */
const MAX_ORIGINS = 1_000;

const tooManyWait: StatusReason = {
  code: 'unreachable',
  why: 'too many requests for the status of certificates wait',
};

/** What a request needs its place for. */
export interface Applicant {
  readonly origin: string;
  /** The authority whose certificates are looked up. */
  readonly authority: QuotaOwner;
  readonly urgency: Urgency;
}

/** Ends the use of a place. The argument is whether the origin answered; `undefined` if it was not asked. */
export type Release = (hasAnswered?: boolean) => void;

interface Waiting {
  readonly start: () => void;
  readonly fail: (error: Error) => void;
}

/** What runs and waits on behalf of an authority or of a trust anchor. */
interface Share {
  running: number;
  /** The running requests to silent origins. */
  silent: number;
  waiting: number;
}

/** The requests to one origin that wait on behalf of one authority, in their order. */
interface Lane {
  readonly origin: string;
  readonly authority: Authority;
  readonly urgent: Set<Waiting>;
  readonly others: Set<Waiting>;
  /**
   * The value of a counter when this lane last got a place, or was made. Of the first lanes of the sets in
   * `Authority.ready`, the one with the lowest value comes next.
   */
  lastPlace: number;
}

interface Authority extends Share {
  readonly name: string;
  readonly anchor: Anchor;
  readonly lanes: Map<string, Lane>;
  /** The lanes whose origin has room, by whether they are urgent and whether the origin is silent. */
  readonly ready: readonly ReadyLanes[];
}

/** A trust anchor below which requests run or wait. */
interface Anchor extends Share {
  readonly name: string;
  /**
   * Authorities whose requests run or wait. The one that got a place last is the last, as for the anchors.
   */
  readonly authorities: Map<string, Authority>;
}

interface ReadyLanes {
  readonly isUrgent: boolean;
  readonly isSilent: boolean;
  readonly lanes: Set<Lane>;
}

/**
 * The places of the requests that run at once. No origin, no authority and no trust anchor can take all of
 * them, whatever addresses its certificates name and however many authorities it makes.
 *
 * Requests that a client waits for come before refreshes in the background. Then the next place goes to the
 * anchor with the fewest places, and below that to the authority with the fewest. To find the next request
 * takes a look at `MAX_AUTHORITIES` of each anchor at most, however many requests wait.
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
  /**
   * A failure counts only for the authority whose certificate named the URL: it may have chosen a bad one.
   */
  readonly #failing = new LRUCache<string, true>({ max: MAX_ORIGINS });

  /**
   * Resolves when there is a place. Rejects at `close()`, and if too many requests wait already. If
   * `MAX_WAITING` wait, the trust anchor with the most of them makes room for one with fewer: the oldest
   * request of its authority with the most is rejected. Authorities below one anchor make room for one
   * another in the same way.
   */
  take({ origin, authority: owner, urgency }: Applicant): Promise<Release> {
    const authority = this.#authorityOf(owner);
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

  /** Rejects all requests that wait for a place. */
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

  #authorityOf({ name: given, anchor: anchorName }: QuotaOwner): Authority {
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

  /** Returns whether one more request of an authority may wait. May reject another one to make room. */
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

  /** Files the lanes of an origin again: whether it has room or is silent may have changed. */
  #fileAllOf(origin: string): void {
    for (const lane of this.#lanesOf.get(origin) ?? []) {
      this.#file(lane);
    }
  }

  /** Puts a lane into the set where `#firstOf()` looks for it, if its origin has room. */
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

  /** Returns the lane that gets the next place; `undefined` if none can get one now. */
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

  /**
   * Puts a lane, its authority and its anchor behind the others, which get a place before them the next time.
   */
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

/**
 * The name of the share that authorities beyond `MAX_AUTHORITIES` have together. No authority has this name.
 */
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

/**
 * Finds the share with the fewest places among those that have a lane and fewer than `max`. Returns its lane.
 */
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
