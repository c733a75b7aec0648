import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { LRUCache } from 'lru-cache';
import type { ResolveHost } from '../shared/resolve-host.js';
import { describeErrorCode } from '../shared/shown-error.js';
import { StatusError } from './status-reason.js';

// Certificates name the hosts. The operating system looks a name up in one of the two threads that
// Node has for look-ups, and can't be stopped: two names whose DNS servers are silent would hold up
// every other look-up of the process, also that of the authorization server. So the system
// looks up only one name of a certificate at a time, and its thread counts as taken until that has ended.
// DNS servers can be asked without a thread, but they know neither /etc/hosts nor search domains: they are
// asked about the names that find the thread taken.

/** Milliseconds for which a name waits for the thread. */
const MAX_WAIT = 200;

/** Milliseconds that a look-up may take before its name counts as silent, and for how long it does. */
const SILENT_AFTER = 2_000;
const SILENT_FOR = 600_000;

/** Silent names that are remembered. */
const MAX_SILENT_NAMES = 1_000;

/** Milliseconds for one question to a DNS server, of two, and for all of them. */
const QUESTION_TIMEOUT = 1_000;
const QUESTIONS_TIMEOUT = 3_000;

/** The codes of questions that got no answer. */
const TIMEOUT = 'ETIMEOUT';
const silences: ReadonlySet<string> = new Set([TIMEOUT, 'ECANCELLED']);

/** The operating system's look-up, and the questions to DNS servers. */
export interface HostResolvers {
  readonly bySystem: ResolveHost;
  readonly byServers: ResolveHost;
}

/**
 * Returns a look-up that leaves one name at a time to the operating system. Other names wait for a
 * moment, and then the DNS servers are asked about them, as about names that were silent before.
 */
export function createHostLookup({ bySystem, byServers }: HostResolvers): ResolveHost {
  /** Until when a name counts as silent, on the clock of `performance.now()`. */
  const silentUntil = new LRUCache<string, number>({ max: MAX_SILENT_NAMES });
  const waiting = new Set<() => void>();
  let isTaken = false;

  const askSystem: ResolveHost = (host, options, callback) => {
    isTaken = true;
    const began = performance.now();
    bySystem(host, options, (error, addresses) => {
      isTaken = false;
      const now = performance.now();
      if (now - began > SILENT_AFTER) {
        silentUntil.set(host, now + SILENT_FOR);
      }
      const [next] = waiting;
      next?.();
      callback(error, addresses);
    });
  };
  const askServers: ResolveHost = (host, options, callback) => {
    byServers(host, options, (error, addresses) => {
      if (error === null) {
        callback(null, addresses);
        return;
      }
      const code = describeErrorCode(error);
      const isSilent = code === TIMEOUT;
      if (!isSilent) {
        // Maybe the operating system alone knows it, and this process was busy when it counted as silent.
        silentUntil.delete(host);
      }
      const shown = code === undefined ? '' : ` (${code})`;
      const isBusy = isSilent ? '' : ', and the operating system could not be asked';
      const why = `the DNS servers gave no address of ${host}${shown}${isBusy}`;
      callback(new StatusError({ code: 'unreachable', why }), []);
    });
  };

  return (host, options, callback) => {
    if (performance.now() < (silentUntil.get(host) ?? 0)) {
      askServers(host, options, callback);
      return;
    }
    if (!isTaken) {
      askSystem(host, options, callback);
      return;
    }
    const start = (): void => {
      waiting.delete(start);
      clearTimeout(timer);
      askSystem(host, options, callback);
    };
    const timer = setTimeout(() => {
      waiting.delete(start);
      askServers(host, options, callback);
    }, MAX_WAIT);
    timer.unref();
    waiting.add(start);
  };
}

/**
 * Asks DNS servers for addresses, within a few seconds.
 *
 * @param servers their addresses. Default: those of the operating system
 */
export function askDnsServers(
  host: string,
  { family }: LookupOptions,
  callback: Parameters<ResolveHost>[2],
  servers?: readonly string[],
): void {
  const resolver = new Resolver({ timeout: QUESTION_TIMEOUT, tries: 2 });
  if (servers !== undefined) {
    resolver.setServers(servers);
  }
  const timer = setTimeout(() => resolver.cancel(), QUESTIONS_TIMEOUT);
  timer.unref();
  const ask = async (version: 4 | 6): Promise<LookupAddress[]> => {
    const addresses = await (version === 4 ? resolver.resolve4(host) : resolver.resolve6(host));
    return addresses.map((address) => ({ address, family: version }));
  };
  const versions = ([4, 6] as const).filter((one) => !family || String(family).endsWith(String(one)));
  void Promise.allSettled(versions.map(ask)).then((answers) => {
    clearTimeout(timer);
    const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    const codes = answers.flatMap((answer) =>
      answer.status === 'rejected' ? [String((answer.reason as NodeJS.ErrnoException).code)] : [],
    );
    const code = codes.some((one) => silences.has(one)) ? TIMEOUT : codes[0];
    callback(addresses.length > 0 ? null : Object.assign(new Error('no address'), { code }), addresses);
  });
}

/** Looks host names of certificates up: one at a time by the operating system, in the whole process. */
export const lookUpHost = createHostLookup({ bySystem: lookup, byServers: askDnsServers });
