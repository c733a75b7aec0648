import ipaddr from 'ipaddr.js';
import { LRUCache } from 'lru-cache';
import { RequestRefused, TellableError } from '../errors.js';
import type { TokenAnswer } from '../token-claims.js';
import { isPromised } from '../unwaited.js';
import type { NodeRequest } from './bearer-token.js';

/** How many questions without an active token one source may have the authorization server asked. */
export interface FloodRules {
  /** The allowance of a source. It comes back evenly over `window`, and one more with each token that is active. */
  readonly maxInactive: number;
  /** Seconds. */
  readonly window: number;
  /** The client's address; undefined where the connection's address is not the client's. */
  readonly address: ((req: NodeRequest) => string | undefined) | undefined;
  readonly exempt: ((req: NodeRequest) => boolean) | undefined;
}

/** Where a request comes from, as far as it is counted: its certificate, its address. */
export type Source = readonly string[];

/** The one source of all requests that have neither certificate nor address. No certificate or address is spelled so. */
export const NAMELESS: Source = Object.freeze(['without certificate and address']);

/** Two ways to learn about a token. */
export interface Lookups {
  /** Asks the authorization server where no cache knows the token. */
  readonly ask: () => Promise<TokenAnswer>;
  /** Looks into the caches alone, where `refusal` is thrown otherwise. */
  readonly recall: (refusal: RequestRefused) => Promise<TokenAnswer | undefined>;
}

interface Account {
  /** What may still be taken. */
  left: number;
  /** What was taken for questions under way: an active token gives it back. */
  pending: number;
  /** How many of its questions may be under way. */
  atOnce: number;
  /** Questions in a row that found no active token. */
  fruitless: number;
  /** Whether the last question ended in trouble of the authorization server, which may not be the client's doing. */
  isInTrouble: boolean;
  /** When `left` was last brought up to date, by the monotonic clock, in milliseconds. */
  at: number;
  /** Wakes the requests that wait for the end of a question under way. */
  readonly waiting: (() => void)[];
}

// A flood from more sources than these displaces the source that was counted longest ago, so memory is bounded.
const MAX_SOURCES = 20_000;

/**
 * Questions of a new source that may be under way. Each active token allows one more, trouble halves it: a client whose tokens get no
 * answer takes few of the places among the exchanges (`http.maxInFlight`).
 */
const FIRST_AT_ONCE = 20;

/** Requests of one source that wait for its own questions under way; further ones are refused. */
const MAX_WAITING = 1_000;

/** What came of an attempt to take: the accounts, the account to wait for, or the seconds until there is something to take. */
type Taken =
  | { readonly accounts: readonly Account[]; readonly waitFor?: never }
  | { readonly waitFor: Account; readonly accounts?: never }
  | { readonly refusal: RequestRefused; readonly waitFor?: never; readonly accounts?: never };

/**
 * What a question gives back when it ends. Trouble gives nothing back where the authorization server was asked: a client could
 * make up tokens that a server, or a firewall in front of it, fails on.
 */
const givenBack = { active: 2, unasked: 1, trouble: 0, inactive: 0 } as const;

type Outcome = keyof typeof givenBack;

const nextAtOnce = {
  active: (atOnce: number) => atOnce + 1,
  trouble: (atOnce: number) => Math.max(1, Math.floor(atOnce / 2)),
  inactive: (atOnce: number) => atOnce,
} as const;

/**
 * Limits how many questions without an active token a source has the authorization server asked. A question takes one from the allowance
 * of each source of its request when it begins, so requests at once can't have more asked than the allowance. A source
 * without allowance still passes with tokens that a cache knows.
 */
export class FloodGuard {
  readonly #rules: FloodRules;
  readonly #accounts = new LRUCache<string, Account>({ max: MAX_SOURCES });
  /** The questions of each source: one token costs it one, however often it sends the token meanwhile. */
  readonly #open = new Map<string, Promise<TokenAnswer>>();

  constructor(rules: FloodRules) {
    this.#rules = rules;
  }

  /** The sources of a request; none for one that is exempt. Clients without certificate and address are counted as one. */
  sourceOf(req: NodeRequest, thumbprint: string | undefined): Source {
    const { address, exempt } = this.#rules;
    if (atOnce('exempt', exempt?.(req)) === true) {
      return [];
    }
    const names = [thumbprint, networkOf(addressIn(address?.(req)))].filter((name) => name !== undefined);
    return names.length === 0 ? NAMELESS : names;
  }

  /**
   * Learns about a token at the expense of `source`, whichever other request asks about the same token. Rejects with
   * `RequestRefused` if the source has used up its allowance and no cache knows the token.
   *
   * @param key names the token and the server that is asked
   */
  learn(source: Source, key: string, lookups: Lookups): Promise<TokenAnswer> {
    const name = JSON.stringify([...source, key]);
    const open = this.#open.get(name) ?? this.#learn(name, source, lookups);
    this.#open.set(name, open);
    return open;
  }

  async #learn(name: string, source: Source, { ask, recall }: Lookups): Promise<TokenAnswer> {
    try {
      let taken = this.#take(source);
      while (taken.waitFor !== undefined) {
        const { waiting } = taken.waitFor;
        await new Promise<void>((resolve) => waiting.push(resolve));
        taken = this.#take(source);
      }
      if (taken.accounts === undefined) {
        return await knownOr(recall, taken.refusal);
      }
      let outcome: Outcome = 'trouble';
      try {
        const answer = await ask();
        outcome = typeof answer === 'string' ? 'inactive' : 'active';
        return answer;
      } catch (trouble) {
        outcome = wasAsked(trouble) ? 'trouble' : 'unasked';
        throw trouble;
      } finally {
        for (const account of taken.accounts) {
          this.#settle(account, outcome);
        }
      }
    } finally {
      this.#open.delete(name);
    }
  }

  /**
   * Takes one from each source if each has one left, and a place for one more question. While a question of a source that has none is under way, its place may
   * come back: a client with many good tokens waits for that rather than be refused. A source whose last questions, as many as
   * its allowance, found no active token does not wait.
   */
  #take(source: Source): Taken {
    const accounts = source.map((name) => this.#accountOf(name));
    const short = accounts.filter(({ left, pending, atOnce }) => left < 1 || pending >= atOnce);
    const [first] = short;
    if (first === undefined) {
      for (const account of accounts) {
        account.left -= 1;
        account.pending += 1;
      }
      return { accounts };
    }
    const isHopeless = short.some(
      ({ pending, waiting, fruitless }) =>
        pending === 0 || waiting.length >= MAX_WAITING || fruitless >= this.#rules.maxInactive,
    );
    return isHopeless ? { refusal: this.#refusalFor(short) } : { waitFor: first };
  }

  #refusalFor(short: readonly Account[]): RequestRefused {
    const seconds = Math.max(...short.map(({ left }) => (1 - left) / this.#perSecond));
    const retryAfter = Math.max(1, Math.ceil(seconds));
    if (short.some(({ isInTrouble }) => isInTrouble)) {
      const detail =
        'the questions of this client ended in trouble and used up its allowance (floodGuard.maxInactive)';
      return new RequestRefused('authorization_server_not_asked', { detail, retryAfter });
    }
    return new RequestRefused('too_many_inactive_tokens', { retryAfter });
  }

  #settle(account: Account, outcome: Outcome): void {
    this.#refill(account);
    account.pending -= 1;
    account.left = Math.min(account.left + givenBack[outcome], this.#rules.maxInactive - account.pending);
    if (outcome !== 'unasked') {
      account.fruitless = outcome === 'active' ? 0 : account.fruitless + 1;
      account.isInTrouble = outcome === 'trouble';
      account.atOnce = nextAtOnce[outcome](account.atOnce);
    }
    for (const wake of account.waiting.splice(0)) {
      wake();
    }
  }

  #accountOf(name: string): Account {
    const known = this.#accounts.get(name);
    if (known !== undefined) {
      this.#refill(known);
      return known;
    }
    const account = {
      left: this.#rules.maxInactive,
      pending: 0,
      atOnce: FIRST_AT_ONCE,
      fruitless: 0,
      isInTrouble: false,
      at: performance.now(),
      waiting: [],
    };
    this.#accounts.set(name, account);
    return account;
  }

  #refill(account: Account): void {
    const now = performance.now();
    const left = account.left + ((now - account.at) / 1000) * this.#perSecond;
    account.left = Math.min(left, this.#rules.maxInactive - account.pending);
    account.at = now;
  }

  get #perSecond(): number {
    return this.#rules.maxInactive / this.#rules.window;
  }
}

/** Returns what a function of the user returned. Throws for a promise, which would count as no answer. */
function atOnce(option: string, returned: unknown): unknown {
  if (isPromised(returned)) {
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

async function knownOr(recall: Lookups['recall'], refusal: RequestRefused): Promise<TokenAnswer> {
  const known = await recall(refusal);
  if (known === undefined) {
    throw refusal;
  }
  return known;
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
