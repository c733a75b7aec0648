import ipaddr from 'ipaddr.js';
import { LRUCache } from 'lru-cache';
import { RequestRefused } from '../errors.js';
import type { NodeRequest } from './bearer-token.js';

/** How many tokens that turn out not to be active one source may have the authorization server asked about. */
export interface FloodRules {
  /** In a row; they are given back evenly over `window`, and one by each token that is active. */
  readonly maxInactive: number;
  /** Seconds. */
  readonly window: number;
  /** The client's address; undefined where the connection's is somebody else's. */
  readonly address: ((req: NodeRequest) => string | undefined) | undefined;
  readonly exempt: ((req: NodeRequest) => boolean) | undefined;
}

/** Where a request comes from, as far as it is counted. */
export type Source = readonly string[];

interface Allowance {
  left: number;
  /** By the monotonic clock, in milliseconds. */
  at: number;
}

// A flood from more sources than these pushes out who was counted longest ago: memory is bounded, whatever comes.
const MAX_SOURCES = 20_000;

/**
 * Keeps who sends made-up tokens from having each of them asked about. A source is a client certificate or an address.
 * Whoever used up the allowance is still let in with tokens that are known; only unknown ones are not looked at.
 */
export class FloodGuard {
  readonly #rules: FloodRules;
  readonly #allowances = new LRUCache<string, Allowance>({ max: MAX_SOURCES });

  constructor(rules: FloodRules) {
    this.#rules = rules;
  }

  /** The sources of a request with a token that is not known. Throws `RequestRefused` when one of them used up its own. */
  admit(req: NodeRequest, thumbprint: string | undefined): Source {
    const { address, exempt } = this.#rules;
    if (exempt?.(req) === true) {
      return [];
    }
    const source = [thumbprint, networkOf(address?.(req))].filter((name) => name !== undefined);
    const wait = Math.max(0, ...source.map((name) => this.#secondsUntilNext(name)));
    if (wait > 0) {
      throw new RequestRefused('too_many_inactive_tokens', { retryAfter: Math.ceil(wait) });
    }
    return source;
  }

  count(source: Source, isActive: boolean): void {
    for (const name of source) {
      const allowance = this.#allowanceOf(name);
      if (allowance !== undefined || !isActive) {
        const left = (allowance?.left ?? this.#rules.maxInactive) + (isActive ? 1 : -1);
        this.#allowances.set(name, { left: Math.max(0, left), at: performance.now() });
      }
    }
  }

  /** Above 0 only for who has used it up. */
  #secondsUntilNext(name: string): number {
    const left = this.#allowanceOf(name)?.left ?? 1;
    return (1 - left) / this.#perSecond;
  }

  /** Undefined for who has all of it. */
  #allowanceOf(name: string): Allowance | undefined {
    const known = this.#allowances.get(name);
    if (known === undefined) {
      return undefined;
    }
    const at = performance.now();
    const left = known.left + ((at - known.at) / 1000) * this.#perSecond;
    if (left >= this.#rules.maxInactive) {
      this.#allowances.delete(name);
      return undefined;
    }
    return { left, at };
  }

  get #perSecond(): number {
    return this.#rules.maxInactive / this.#rules.window;
  }
}

/** An IPv4 address, or the /64 that a single host of IPv6 has to itself. */
function networkOf(address: string | undefined): string | undefined {
  if (address === undefined || !ipaddr.isValid(address)) {
    return undefined;
  }
  const parsed = ipaddr.process(address);
  return parsed.kind() === 'ipv6' ? (parsed as ipaddr.IPv6).parts.slice(0, 4).join(':') : parsed.toString();
}
