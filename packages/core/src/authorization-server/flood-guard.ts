import ipaddr from 'ipaddr.js';
import { LRUCache } from 'lru-cache';
import { RequestRefused, TellableError } from '../errors.js';
import type { NodeRequest } from '../request/node-request.js';
import type { CountingKeys } from '../shared/counting-keys.js';
import { isPromise } from '../shared/promises.js';
import type { TokenRejection } from '../token/token-rejection.js';

/**
 * How many readings that find no active token one client may cause.
 */
export interface FloodRules {
  /**
   * How many readings that find no active token a client may cause. The allowance comes back evenly over
   * `window`, and one more with each token that is active.
   */
  readonly allowance: number;
  /** Seconds. */
  readonly window: number;
  /** The client's address; undefined where the connection's address is not the client's. */
  readonly address: ((req: NodeRequest) => string | undefined) | undefined;
  readonly exempt: ((req: NodeRequest) => boolean) | undefined;
}

/**
 * The counting key that all unidentified clients share: those with neither certificate nor address. If no
 * flood guard counts a request (none is set, or the request is exempt), a client without certificate is
 * unidentified too. No certificate or address is spelled so.
 */
export const UNIDENTIFIED: CountingKeys = Object.freeze(['without certificate and address']);

/** Two ways to find out what a token is. */
export interface AskOrFind<Active> {
  /** Asks the authorization server, unless the answer is cached. */
  readonly ask: () => Promise<Active | TokenRejection>;
  /** Looks into the caches alone. */
  readonly findWithoutAsking: () => Promise<Active | TokenRejection | undefined>;
}

/**
 * Whether a reading is of a token that a client may have made up, so that it needs a part of the
 * allowance, or about one that the authorization server called active before.
 */
export type ReadingKind = 'unknown' | 'known';

interface Account {
  /** What may still be taken. */
  left: number;
  /** What was taken for readings under way: an active token gives it back. */
  pending: number;
  /** Its readings under way, each of which holds a place. */
  underWay: number;
  /** How many places it has. */
  places: number;
  /** Readings in a row that found no active token. */
  fruitless: number;
  /**
   * Whether the last reading ended in trouble of the authorization server, which may not be the
   * client's doing.
   */
  isInTrouble: boolean;
  /** When `left` was last brought up to date, by the monotonic clock, in milliseconds. */
  at: number;
  /** The kind that gets the next free place: the two kinds alternate. */
  first: ReadingKind;
  /** Readings that wait until a reading of this account ends, in order. */
  readonly waiting: Readonly<Record<ReadingKind, Waiter[]>>;
}

interface Waiter {
  readonly countingKeys: CountingKeys;
  readonly kind: ReadingKind;
  /** When it began to wait, by the monotonic clock, in milliseconds. */
  readonly since: number;
  /** Called once, with what the reading holds from then on or with why it does not begin. */
  readonly resolve: (outcome: Taken | Refused) => void;
}

// A flood from more clients than these displaces the account that was counted longest ago, so memory
// is bounded.
const MAX_ACCOUNTS = 20_000;

/**
 * Readings of a new client that may be under way. Each active token allows one more, trouble
 * halves it: a client whose tokens get no answer takes few of the places among the exchanges
 * (`http.maxConcurrent`).
 */
const FIRST_PLACES = 20;

/**
 * Places that trouble leaves to a client. While one of its readings tries an endpoint whose
 * circuit breaker is open, the breaker refuses its other readings at once; with one place they
 * would wait for that try.
 */
const LEAST_PLACES = 2;

/** The smallest `http.maxConcurrent`: half of it is `LEAST_PLACES`. */
export const LEAST_CONCURRENT = 2 * LEAST_PLACES;

/** Readings of one client that may be under way at most, however many active tokens it has. */
const MOST_PLACES = 50;

/**
 * Readings of one client that wait for its own readings under way; further ones are refused. They
 * hold no exchange.
 */
const MAX_WAITING = 1_000;

/**
 * Milliseconds that a reading waits. No timer refuses it then: it is refused when the next reading
 * of its client ends, which takes up to `http.timeout` longer.
 */
const MAX_WAIT = 10_000;

/** What a reading holds while it is under way. */
interface Taken {
  readonly accounts: readonly Account[];
  readonly waitFor?: never;
  readonly refusal?: never;
}

interface Refused {
  readonly refusal: RequestRefused;
  readonly waitFor?: never;
  readonly accounts?: never;
}

/** Says that a reading must wait until a reading of the account `waitFor` ends, and then try again. */
interface Delayed {
  readonly waitFor: Account;
  readonly refusal?: never;
  readonly accounts?: never;
}

/**
 * What a reading gives back when it ends. Trouble gives nothing back where the authorization
 * server was asked: a client could make up tokens that a server, or a firewall in front of it,
 * fails on.
 */
const givenBack = { active: 2, unasked: 1, trouble: 0, rejected: 0 } as const;

type Outcome = keyof typeof givenBack;

/**
 * Returns how many readings of one client may be under way at once: at most half of the exchanges
 * that one endpoint of an authorization server gets, so that one client leaves places for the other
 * clients.
 *
 * @param maxConcurrent at least `LEAST_CONCURRENT`
 */
export function placesPerClient(maxConcurrent: number): number {
  return Math.max(LEAST_PLACES, Math.min(MOST_PLACES, Math.floor(maxConcurrent / 2)));
}

/**
 * Limits how many readings that find no active token a client causes, and how many readings it has
 * under way. A client has an account for each of its counting keys: its certificate and its address. In
 * a reading the token source finds out what a token is: the authorization server is asked, or a JWT is
 * verified. A reading takes one from the allowance of each account of its client when it begins, so
 * requests at once can't cause more readings than the allowance. A client without allowance still
 * passes with tokens that a cache knows.
 *
 * `Active` is what a reading finds of an active token.
 */
export class FloodGuard<Active extends object> {
  readonly #rules: FloodRules;
  readonly #mostPlaces: number;
  readonly #accounts = new LRUCache<string, Account>({ max: MAX_ACCOUNTS });
  /**
   * The open readings by `limit()`, by client and token: a client that sends one token many times at once
   * pays for one reading.
   */
  readonly #openReadings = new Map<string, Promise<Active | TokenRejection>>();
  /** Open readings by `limitAfresh()`. */
  readonly #openAfresh = new Map<string, Promise<Active | TokenRejection>>();
  /** Readings by `limitAfresh()` that have not begun. */
  readonly #nextAfresh = new Map<string, Promise<Active | TokenRejection>>();

  /** @param mostPlaces how many readings of one client may be under way */
  constructor(rules: FloodRules, mostPlaces: number = MOST_PLACES) {
    this.#rules = rules;
    this.#mostPlaces = mostPlaces;
  }

  /**
   * Returns the counting keys of the client that sent a request; none for one that is exempt. Clients without
   * certificate and address are counted as one.
   */
  countingKeysOf(req: NodeRequest, thumbprint: string | undefined): CountingKeys {
    const { address, exempt } = this.#rules;
    if (atOnce('exempt', exempt?.(req)) === true) {
      return [];
    }
    const keys = [thumbprint, networkOf(addressIn(address?.(req)))].filter((key) => key !== undefined);
    return keys.length === 0 ? UNIDENTIFIED : keys;
  }

  /**
   * Calls `ask` and counts the reading for this client, even if another client asks about the same token at
   * the same time. Requests of one client with the same token share a reading. A known token takes a place of
   * the client. An unknown token also takes one reading of the client's allowance. Rejects with
   * `RequestRefused` if the client has used these up and no cache knows the token.
   *
   * @param countingKeys those of the client at the server that is asked: for each server it has accounts
   * of its own
   */
  limit(
    countingKeys: CountingKeys,
    key: string,
    { ask, findWithoutAsking }: AskOrFind<Active>,
    kind: ReadingKind = 'unknown',
  ): Promise<Active | TokenRejection> {
    const name = JSON.stringify([...countingKeys, key]);
    const open =
      this.#openReadings.get(name) ??
      this.#askWithPlace(countingKeys, kind, ask, (refusal) => findOr(findWithoutAsking, refusal)).finally(
        () => this.#openReadings.delete(name),
      );
    this.#openReadings.set(name, open);
    return open;
  }

  /**
   * Calls `ask` for a known token, by a reading that begins after this call. It takes a place of
   * the client, and nothing from the allowance. Requests with the same token share a reading that has
   * not begun. Rejects with `RequestRefused` if too many readings of the client wait.
   *
   * @param countingKeys those of the client at the server that is asked: for each server it has accounts
   * of its own
   */
  limitAfresh(
    countingKeys: CountingKeys,
    key: string,
    ask: AskOrFind<Active>['ask'],
  ): Promise<Active | TokenRejection> {
    const name = JSON.stringify([...countingKeys, key]);
    const next = this.#nextAfresh.get(name) ?? this.#askNext(name, countingKeys, ask);
    this.#nextAfresh.set(name, next);
    return next;
  }

  /** Asks when the open reading of the token has ended, and the client has a place. */
  async #askNext(
    name: string,
    countingKeys: CountingKeys,
    ask: AskOrFind<Active>['ask'],
  ): Promise<Active | TokenRejection> {
    const begin = (): Promise<Active | TokenRejection> => {
      this.#nextAfresh.delete(name);
      const asked = ask().finally(() => this.#openAfresh.delete(name));
      this.#openAfresh.set(name, asked);
      return asked;
    };
    // One token holds one place: a reading that is under way ends first.
    await this.#openAfresh.get(name)?.catch(() => undefined);
    return this.#askWithPlace(countingKeys, 'known', begin, (refusal) => {
      this.#nextAfresh.delete(name);
      throw refusal;
    });
  }

  /** Takes what a reading needs, waits for it where that may help, asks, and gives it back. */
  async #askWithPlace(
    countingKeys: CountingKeys,
    kind: ReadingKind,
    ask: AskOrFind<Active>['ask'],
    onRefusal: (refusal: RequestRefused) => Promise<Active | TokenRejection>,
  ): Promise<Active | TokenRejection> {
    const taking = this.#takeOrWait(countingKeys, kind);
    // A reading that has its place begins at once: a resource server that is closed next waits for
    // it.
    const { accounts, refusal } = 'then' in taking ? await taking : taking;
    if (accounts === undefined) {
      return onRefusal(refusal);
    }
    let outcome: Outcome = 'trouble';
    try {
      const answer = await ask();
      outcome = typeof answer === 'string' ? 'rejected' : 'active';
      return answer;
    } catch (trouble) {
      outcome = wasAsked(trouble) ? 'trouble' : 'unasked';
      throw trouble;
    } finally {
      this.#settle(accounts, kind, outcome);
    }
  }

  #takeOrWait(countingKeys: CountingKeys, kind: ReadingKind): Taken | Refused | Promise<Taken | Refused> {
    const taken = this.#take(countingKeys, kind);
    if (taken.waitFor === undefined) {
      return taken;
    }
    const waiting = taken.waitFor.waiting[kind];
    return waiting.length < MAX_WAITING
      ? new Promise((resolve) => void waiting.push({ countingKeys, kind, since: performance.now(), resolve }))
      : { refusal: tooManyWait() };
  }

  /**
   * Takes a place of each account, and one from its allowance for an unknown token. If an account has no
   * allowance left but a reading under way, that reading may give its share back: a client with many
   * active tokens waits for that and is not refused. A client whose last readings, as many as its
   * allowance, found no active token does not wait.
   */
  #take(countingKeys: CountingKeys, kind: ReadingKind): Taken | Refused | Delayed {
    const accounts = countingKeys.map((key) => this.#accountOf(key));
    const isUnknown = kind === 'unknown';
    const short = accounts.filter(
      ({ left, underWay, places }) => underWay >= places || (isUnknown && left < 1),
    );
    const [first] = short;
    if (first === undefined) {
      for (const account of accounts) {
        account.underWay += 1;
        account.left -= isUnknown ? 1 : 0;
        account.pending += isUnknown ? 1 : 0;
      }
      return { accounts };
    }
    const isHopeless = short.some(
      ({ left, pending, fruitless }) => (left < 1 && pending === 0) || fruitless >= this.#rules.allowance,
    );
    return isUnknown && isHopeless ? { refusal: this.#refusalFor(short) } : { waitFor: first };
  }

  #refusalFor(short: readonly Account[]): RequestRefused {
    const seconds = Math.max(...short.map(({ left }) => (1 - left) / this.#perSecond));
    const retryAfter = Math.max(1, Math.ceil(seconds));
    if (short.some(({ isInTrouble }) => isInTrouble)) {
      const detail =
        'the questions of this client ended in trouble and used up its allowance (floodGuard.allowance)';
      return new RequestRefused('authorization_server_not_asked', { detail, retryAfter });
    }
    return new RequestRefused('too_many_rejected_tokens', { retryAfter });
  }

  #settle(accounts: readonly Account[], kind: ReadingKind, outcome: Outcome): void {
    for (const account of accounts) {
      this.#refill(account);
      account.underWay -= 1;
      if (kind === 'unknown') {
        account.pending -= 1;
        account.left = Math.min(account.left + givenBack[outcome], this.#rules.allowance - account.pending);
      }
      if (kind === 'unknown' && outcome !== 'unasked') {
        account.fruitless = outcome === 'active' ? 0 : account.fruitless + 1;
        account.isInTrouble = outcome === 'trouble';
      }
      account.places = this.#placesAfter(outcome, account.places);
    }
    // `accounts` holds the account of the client's certificate, and last that of its address. Each has a free
    // place now. The address comes first here: another client that waits at this address gets the place,
    // before the next reading of this client takes it.
    for (const account of accounts.toReversed()) {
      this.#serve(account);
    }
  }

  #placesAfter(outcome: Outcome, places: number): number {
    if (outcome === 'trouble') {
      return Math.min(places, Math.max(LEAST_PLACES, Math.floor(places / 2)));
    }
    return outcome === 'active' ? Math.min(this.#mostPlaces, places + 1) : places;
  }

  /**
   * Gives what became free to the readings that wait longest. As long as one waits, a reading of
   * this account is under way.
   */
  #serve(account: Account): void {
    const { first, waiting } = account;
    const second = first === 'unknown' ? 'known' : 'unknown';
    account.first = second;
    if (waiting.unknown.length === 0 && waiting.known.length === 0) {
      return;
    }
    refuseOverdue(waiting[first]);
    refuseOverdue(waiting[second]);
    this.#serveKind(account, waiting[first]);
    this.#serveKind(account, waiting[second]);
  }

  #serveKind(account: Account, waiting: Waiter[]): void {
    for (let waiter = waiting[0]; waiter !== undefined; waiter = waiting[0]) {
      const outcome = this.#take(waiter.countingKeys, waiter.kind);
      if (outcome.waitFor === account) {
        return;
      }
      waiting.shift();
      if (outcome.waitFor === undefined) {
        waiter.resolve(outcome);
      } else {
        outcome.waitFor.waiting[waiter.kind].push(waiter);
      }
    }
  }

  #accountOf(key: string): Account {
    const known = this.#accounts.get(key);
    if (known !== undefined) {
      this.#refill(known);
      return known;
    }
    const account: Account = {
      left: this.#rules.allowance,
      pending: 0,
      underWay: 0,
      places: Math.min(FIRST_PLACES, this.#mostPlaces),
      fruitless: 0,
      isInTrouble: false,
      at: performance.now(),
      first: 'unknown',
      waiting: { unknown: [], known: [] },
    };
    this.#accounts.set(key, account);
    return account;
  }

  #refill(account: Account): void {
    const now = performance.now();
    const left = account.left + ((now - account.at) / 1000) * this.#perSecond;
    account.left = Math.min(left, this.#rules.allowance - account.pending);
    account.at = now;
  }

  get #perSecond(): number {
    return this.#rules.allowance / this.#rules.window;
  }
}

/** Refuses the readings that waited too long: those at the front. */
function refuseOverdue(waiting: Waiter[]): void {
  const now = performance.now();
  for (let waiter = waiting[0]; waiter !== undefined; waiter = waiting[0]) {
    if (now - waiter.since <= MAX_WAIT) {
      return;
    }
    waiting.shift();
    const detail = `it waited ${MAX_WAIT / 1000} s for questions of this client that are under way`;
    const refusal = new RequestRefused('authorization_server_not_asked', { detail, retryAfter: 1 });
    waiter.resolve({ refusal });
  }
}

function tooManyWait(): RequestRefused {
  const detail = `${MAX_WAITING} questions of this client wait for the end of its questions under way`;
  return new RequestRefused('authorization_server_not_asked', { detail, retryAfter: 1 });
}

/**
 * Returns what a function of the user returned. Throws for a promise, which would count as no
 * answer.
 */
function atOnce(option: string, returned: unknown): unknown {
  if (isPromise(returned)) {
    throw new TellableError(
      `the option floodGuard.${option} returned a promise; it must return its value at once`,
    );
  }
  return returned;
}

function addressIn(returned: unknown): string | undefined {
  const address = atOnce('address', returned);
  if (address !== undefined && typeof address !== 'string') {
    throw new TellableError('the option floodGuard.address returned neither a string nor undefined');
  }
  return address;
}

async function findOr<Active>(
  find: AskOrFind<Active>['findWithoutAsking'],
  refusal: RequestRefused,
): Promise<Active | TokenRejection> {
  const found = await find();
  if (found === undefined) {
    throw refusal;
  }
  return found;
}

const unaskedCodes: ReadonlySet<string> = new Set(['authorization_server_not_asked', 'shutting_down']);

function wasAsked(trouble: unknown): boolean {
  return !(RequestRefused.isRefusal(trouble) && unaskedCodes.has(trouble.code));
}

/** An IPv4 address, or the /64 that a single host of IPv6 has to itself. */
function networkOf(address: string | undefined): string | undefined {
  if (address === undefined || !ipaddr.isValid(address)) {
    return undefined;
  }
  const parsed = ipaddr.process(address);
  return parsed.kind() === 'ipv6' ? (parsed as ipaddr.IPv6).parts.slice(0, 4).join(':') : parsed.toString();
}
