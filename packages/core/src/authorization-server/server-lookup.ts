import dns, { type LookupAddress, type LookupOptions } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { ResolveHost } from '../shared/resolve-host.js';
import { describeErrorCode } from '../shared/shown-error.js';

// The operating system looks names up in two threads of the process, and can't be stopped. Requests to one
// server whose DNS is silent would take both, and leave none for the names of other servers.

/** Milliseconds after which the addresses that a name had last are used (stale data of RFC 8767 §5). */
const LONG = 1_000;

/** Milliseconds for which addresses may be used in this way. */
const MAX_AGE = 86_400_000;

/** Milliseconds after which a failed look-up was silent, and for which its name is not looked up again. */
const SILENT_AFTER = 2_000;
const PAUSE = 10_000;

/** Names whose addresses, or whose silence, are remembered. */
const MAX_NAMES = 1_000;

/** DNS servers that did not answer. That a name does not exist is an answer. */
const silences: ReadonlySet<string> = new Set(['EAI_AGAIN', 'ETIMEDOUT', 'ETIMEOUT']);

type Callback = Parameters<ResolveHost>[2];

/** A look-up that the operating system has not ended. */
interface Running {
  readonly began: number;
  readonly waiting: Set<Callback>;
}

interface Found {
  readonly addresses: LookupAddress[];
  readonly at: number;
}

interface Silence {
  readonly error: NodeJS.ErrnoException;
  readonly until: number;
}

/**
 * Returns the `lookup` of connections to authorization servers:
 *
 * - The operating system looks a name up once at a time. Connections that need it meanwhile wait for that.
 * - If it takes long, or no DNS server answers, the addresses that the name had last are used.
 * - A name whose DNS servers were silent is not looked up again for a moment. Its connections fail at once.
 */
export function createServerLookup(bySystem: ResolveHost): LookupFunction {
  const running = new Map<string, Running>();
  const found = new LRUCache<string, Found>({ max: MAX_NAMES });
  const silent = new LRUCache<string, Silence>({ max: MAX_NAMES });

  function lastAddresses(key: string): LookupAddress[] | undefined {
    const last = found.get(key);
    return last !== undefined && performance.now() - last.at < MAX_AGE ? last.addresses : undefined;
  }

  function end(
    key: string,
    look: Running,
    error: NodeJS.ErrnoException | null,
    addresses: LookupAddress[],
  ): void {
    if (running.get(key) !== look) {
      return;
    }
    const { began, waiting } = look;
    const now = performance.now();
    const isSilent = error !== null && silences.has(describeErrorCode(error) ?? '');
    running.delete(key);
    if (error === null) {
      found.set(key, { addresses, at: now });
    } else if (isSilent && now - began > SILENT_AFTER) {
      silent.set(key, { error, until: now + PAUSE });
    }
    const last = isSilent ? lastAddresses(key) : undefined;
    for (const callback of waiting) {
      if (last === undefined) {
        callback(error, addresses);
      } else {
        callback(null, last);
      }
    }
  }

  /** Whatever replaced `dns.lookup` may call back at once, with the error alone, or throw. */
  function ask(key: string, look: Running, host: string, options: LookupOptions): void {
    try {
      bySystem(host, { ...options, all: true }, (error, addresses) =>
        end(key, look, error ?? null, error ? [] : addresses),
      );
    } catch (error) {
      end(key, look, error as Error, []);
    }
  }

  /** Calls back with the last addresses once a look-up takes long, if there are any. */
  function waitFor(key: string, { began, waiting }: Running, callback: Callback): void {
    const useLast = (): void => {
      const last = lastAddresses(key);
      if (last !== undefined && waiting.delete(give)) {
        callback(null, last);
      }
    };
    const timer = setTimeout(useLast, Math.max(0, began + LONG - performance.now()));
    timer.unref();
    const give: Callback = (error, addresses) => {
      clearTimeout(timer);
      callback(error, addresses);
    };
    waiting.add(give);
  }

  const resolve: ResolveHost = (host, options, callback) => {
    const key = `${options.family ?? 0} ${options.hints ?? 0} ${host}`;
    const silence = silent.get(key);
    if (silence !== undefined && performance.now() < silence.until) {
      const last = lastAddresses(key);
      // As `dns.lookup()`, never before it returns.
      process.nextTick(callback, last === undefined ? silence.error : null, last ?? []);
      return;
    }
    const known = running.get(key);
    const look = known ?? { began: performance.now(), waiting: new Set() };
    waitFor(key, look, callback);
    if (known === undefined) {
      running.set(key, look);
      ask(key, look, host, options);
    }
  };

  return (host, options, callback) => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses;
      if (error !== null || first === undefined) {
        callback(error ?? Object.assign(new Error('the name has no address'), { code: 'ENOTFOUND' }), []);
      } else if (options.all === true) {
        callback(null, addresses);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

/** Looks hosts of authorization servers up, for the whole process. Asks what replaced `dns.lookup`, too. */
export const lookUpServer = createServerLookup((host, options, callback) =>
  dns.lookup(host, options, callback),
);
