import type { FloodRules } from '../authorization-server/flood-guard.js';
import { longest, type SharedCacheRules, type SharedLock, type SharedStore } from '../cache/shared-cache.js';
import type { TokenCacheRules } from '../cache/token-cache.js';
import type { CertificateSource } from '../certificate/client-certificate.js';
import { connectionOf } from '../certificate/connection.js';
import { ConfigurationError } from '../errors.js';
import type { NodeRequest } from '../request/node-request.js';
import type { FeedRules, RevocationChannel } from '../revocation/revocation-channel.js';
import type { LogRules, RevocationLog } from '../revocation/revocation-log.js';
import {
  functionLike,
  type OptionReader,
  type OptionRule,
  oneOf,
  seconds,
  wholeNumber,
} from '../shared/option-rules.js';

/**
 * How long answers of the authorization server serve. A revoked token lives on for at most `maxAge`, and for `staleIfError`
 * more while the server can't be asked.
 */
export interface CacheOptions {
  /**
   * Seconds for which an active token's claims serve, up to a tenth less, so that not all end at once; never beyond its
   * `exp` (RFC 7662 §4). 0 asks about every request. Default 60; from 0 to 86,400.
   */
  readonly maxAge?: number;
  /** Active tokens kept; the one used longest ago goes first. Default 10,000; from 1 to 10,000,000. */
  readonly maxEntries?: number;
  /** Bytes that they may take, by our estimate. Default 67,108,864; from 65,536 to 17,179,869,184. */
  readonly maxSize?: number;
  /** Seconds for which a token that is not active is refused without asking again. Default 5; from 0 to 3,600. */
  readonly inactiveMaxAge?: number;
  /**
   * Seconds before the end of an answer from which on a token in use is asked about anew, while the answer serves on; 0
   * never does. Default 0; from 0 to 3,600, and less than half of `maxAge`.
   */
  readonly refreshAhead?: number;
  /**
   * Seconds beyond `maxAge`, never beyond `exp`, for which an answer serves while the authorization server can't be
   * asked. A token that was revoked meanwhile is let in for that long. Default 0; from 0 to 86,400, with a `profile` 0
   * alone.
   */
  readonly staleIfError?: number;
}

/** A tier of the cache that processes share. */
export interface SharedCacheOptions {
  /** A Keyv instance, or what has its `get` and `set`. Required. */
  readonly store: SharedStore;
  /**
   * Seals what is stored: 32 characters at least, the same in each process. A list while one replaces the other: the
   * first seals, all open. Required.
   */
  readonly secret: string | readonly string[];
  /** `redisLock(client)`: of several processes that receive the same unknown token, one introspects it. Default: each does. */
  readonly lock?: SharedLock;
  /**
   * Seconds that `store` or `lock` may take to answer; what takes longer is done without. Default 0.5; from 0.005 to
   * 5.
   */
  readonly timeout?: number;
  /** Seconds for which other processes wait for the process that holds the lock. Default 2; from 0.05 to 30. */
  readonly lockTimeout?: number;
}

/** How revocations spread. */
export interface RevocationOptions {
  /**
   * `redisLog(client)`, or what does the same over anything else: keeps the revocations of a fleet, so that a process that starts later, or
   * was cut off, learns of them. Default: none.
   */
  readonly log?: RevocationLog;
  /**
   * `redisChannel(client)`, or what does the same over anything else: tells the processes that listen, and no other. Not together with
   * `log`. Default: none; without `log` and `channel` `revoke()` counts in this process alone.
   */
  readonly channel?: RevocationChannel;
  /**
   * Seals what is sent and kept: 32 characters at least, the same in each process. A list while one replaces the other: the
   * first seals, all open. Required with `log` and `channel`.
   */
  readonly secret?: string | readonly string[];
  /**
   * Seconds for which a revocation is remembered: at least the life of your JWT access tokens. Default 3,600; from 1 to
   * 2,592,000.
   */
  readonly maxAge?: number;
  /**
   * Seconds for which answers of introspection serve at most while revocations are not heard, and by which reading the log may lag: 2
   * at least with `log`. Default 5; from 0 to 3,600.
   */
  readonly maxAgeWhileLost?: number;
  /**
   * What becomes of a JWT while the log can't be read, or that was issued before the log began: `refuse` it, unless the authorization
   * server can be asked, or `accept` it though it may have been revoked. Refused without `log`. Default `refuse`.
   */
  readonly whileLost?: 'refuse' | 'accept';
  /** Seconds for which a request with such a JWT waits at most until the log is read. Refused without `log`. Default 2; from 0 to 30. */
  readonly maxWait?: number;
}

/**
 * How many tokens that turn out not to be active a client may send. The guard also limits how many questions of one client
 * are under way: 50, and at most half of `circuitBreaker.maxConcurrent`, also those of `requireActive()`.
 */
export interface FloodGuardOptions {
  /**
   * Unknown tokens that turn out not to be active, by client certificate and by address (of IPv6 its /64). Then further
   * unknown tokens get 429, while known ones pass. A token counts from when the authorization server is asked. What counted
   * comes back evenly over `window`, at once if the token is active, and one more with it. Default 100; from 1 to 1,000,000.
   */
  readonly maxInactive?: number;
  /** Seconds after which all of them are given back. Default 60; from 1 to 86,400. */
  readonly window?: number;
  /**
   * The client's address, of the request; `false` where a load balancer hides it. Default: the connection's where the
   * certificate is the connection's too, otherwise none, for it would be the proxy's.
   */
  readonly address?: ((req: NodeRequest) => string | undefined) | false;
  /** Requests that are not counted: trusted health checks. Default: none. */
  readonly exempt?: (req: NodeRequest) => boolean;
}

export interface RevocationRules {
  readonly feed: FeedRules | undefined;
  readonly log: LogRules | undefined;
  readonly maxAge: number;
  readonly maxAgeWhileLost: number;
  readonly acceptsUnheard: boolean;
  readonly maxWait: number;
}

const secretList: OptionRule<readonly string[]> = {
  accepted: 'a secret of 32 characters or more, or a list of them',
  secret: true,
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    return list.length > 0 && list.every((item) => typeof item === 'string' && item.length >= 32)
      ? Object.freeze(list.map(String))
      : undefined;
  },
};

const store: OptionRule<SharedStore> = withMethods('a Keyv instance', 'get', 'set');
const lock: OptionRule<SharedLock> = withMethods('redisLock(client)', 'acquire', 'release');
const log: OptionRule<RevocationLog> = withMethods('redisLog(client)', 'open', 'append', 'read');
const channel: OptionRule<RevocationChannel> = withMethods('redisChannel(client)', 'publish', 'subscribe');

function withMethods<T>(accepted: string, ...methods: string[]): OptionRule<T> {
  return {
    accepted: `${accepted} or another object with the methods ${methods.join(' and ')}`,
    read: (given) => {
      const members = typeof given === 'object' && given !== null ? (given as Record<string, unknown>) : {};
      return methods.every((name) => typeof members[name] === 'function') ? (given as T) : undefined;
    },
  };
}

export function resolveCache(given: OptionReader): TokenCacheRules {
  const cache = given.group('cache', [
    'maxAge',
    'maxEntries',
    'maxSize',
    'inactiveMaxAge',
    'refreshAhead',
    'staleIfError',
  ]);
  const maxAge = cache.optional('maxAge', seconds(0, longest.maxAge)) ?? 60;
  const refreshAhead = cache.optional('refreshAhead', seconds(0, 3_600)) ?? 0;
  if (refreshAhead > 0 && refreshAhead >= maxAge / 2) {
    throw new ConfigurationError(
      'cache.refreshAhead',
      `${refreshAhead} was given; accepted is less than half of cache.maxAge, ${maxAge}`,
    );
  }
  return Object.freeze({
    maxAge,
    maxEntries: cache.optional('maxEntries', wholeNumber(1, 10_000_000)) ?? 10_000,
    maxSize: cache.optional('maxSize', wholeNumber(65_536, 17_179_869_184)) ?? 67_108_864,
    inactiveMaxAge: cache.optional('inactiveMaxAge', seconds(0, 3_600)) ?? 5,
    refreshAhead,
    staleIfError: cache.optional('staleIfError', seconds(0, longest.staleIfError)) ?? 0,
  });
}

export function resolveSharedCache(given: OptionReader): SharedCacheRules | undefined {
  if (given.isMissing('sharedCache')) {
    return undefined;
  }
  const shared = given.group('sharedCache', ['store', 'secret', 'lock', 'timeout', 'lockTimeout']);
  return Object.freeze({
    store: shared.required('store', store),
    secrets: shared.required('secret', secretList),
    lock: shared.optional('lock', lock),
    timeout: shared.optional('timeout', seconds(0.005, 5)) ?? 0.5,
    lockTimeout: shared.optional('lockTimeout', seconds(0.05, 30)) ?? 2,
  });
}

export function resolveRevocations(given: OptionReader): RevocationRules {
  const revocations = given.group('revocations', [
    'log',
    'channel',
    'secret',
    'maxAge',
    'maxAgeWhileLost',
    'whileLost',
    'maxWait',
  ]);
  const foundLog = revocations.optional('log', log);
  const foundChannel = revocations.optional('channel', channel);
  if (foundLog !== undefined && foundChannel !== undefined) {
    throw new ConfigurationError(
      'revocations.channel',
      'was given together with revocations.log; give one of them',
    );
  }
  const secrets = (foundLog ?? foundChannel) === undefined ? [] : revocations.required('secret', secretList);
  const maxAge = revocations.optional('maxAge', seconds(1, 2_592_000)) ?? 3_600;
  const whileLost = revocations.optional('whileLost', oneOf('refuse', 'accept'));
  const maxWait = revocations.optional('maxWait', seconds(0, 30));
  for (const [name, value] of Object.entries({ whileLost, maxWait })) {
    if (value !== undefined && foundLog === undefined) {
      throw new ConfigurationError(
        `revocations.${name}`,
        'was given without revocations.log; it is for that alone',
      );
    }
  }
  const shortest = foundLog === undefined ? 0 : 2;
  const maxAgeWhileLost = revocations.optional('maxAgeWhileLost', seconds(shortest, 3_600)) ?? 5;
  return Object.freeze({
    feed: foundChannel && Object.freeze({ channel: foundChannel, secrets, maxAgeWhileLost }),
    log: foundLog && Object.freeze({ log: foundLog, secrets, maxAge }),
    maxAge,
    maxAgeWhileLost,
    acceptsUnheard: whileLost === 'accept',
    maxWait: maxWait ?? 2,
  });
}

export function resolveFloodGuard(
  given: OptionReader,
  certificate: CertificateSource,
): FloodRules | undefined {
  if (given.isFalse('floodGuard')) {
    return undefined;
  }
  const guard = given.group('floodGuard', ['maxInactive', 'window', 'address', 'exempt']);
  const ownAddress = certificate.fromConnection ? addressOfConnection : undefined;
  return Object.freeze({
    maxInactive: guard.optional('maxInactive', wholeNumber(1, 1_000_000)) ?? 100,
    window: guard.optional('window', seconds(1, 86_400)) ?? 60,
    address: guard.isFalse('address')
      ? undefined
      : (guard.optional(
          'address',
          functionLike<NonNullable<FloodRules['address']>>('a function, or false'),
        ) ?? ownAddress),
    exempt: guard.optional('exempt', functionLike<NonNullable<FloodRules['exempt']>>('a function')),
  });
}

function addressOfConnection(req: NodeRequest): string | undefined {
  return connectionOf(req)?.remoteAddress;
}
