import type { FloodRules } from '../authorization-server/flood-guard.js';
import { longest, type SharedLock, type SharedStore } from '../cache/shared-cache.js';
import type { CertificateSource } from '../certificate/client-certificate.js';
import { connectionOf } from '../certificate/connection.js';
import type { NodeRequest } from '../request/node-request.js';
import type { ChannelRules, RevocationChannel } from '../revocation/revocation-channel.js';
import type { LogRules, RevocationLog } from '../revocation/revocation-log.js';
import { createConflict, createLonely, createMismatch } from '../shared/option-errors.js';
import {
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  required,
  type SettingsOf,
  seconds,
  wholeNumber,
  withDefault,
} from '../shared/option-group.js';
import {
  checked,
  functionLike,
  type OptionRule,
  oneOf,
  secretList,
  withMethods,
} from '../shared/option-rules.js';

const store: OptionRule<SharedStore> = withMethods('a Keyv instance', 'get', 'set');
const lock: OptionRule<SharedLock> = withMethods('redisLock(client)', 'acquire', 'release');
const log: OptionRule<RevocationLog> = withMethods('redisLog(client)', 'open', 'append', 'read');
const channel: OptionRule<RevocationChannel> = withMethods('redisChannel(client)', 'publish', 'subscribe');

const addressReader: OptionRule<NonNullable<FloodRules['address']> | false> = {
  accepted: 'a function, or false',
  read: (given) =>
    typeof given === 'function' || given === false ? (given as FloodRules['address']) : undefined,
};

export const cacheOptions = optionGroup({
  /**
   * Seconds for which an active token's claims serve, up to a tenth less, so that not all end at
   * once; never beyond its `exp` (RFC 7662 §4). 0 asks about every request. Default 60; from 0 to
   * 86,400.
   */
  maxAge: seconds({ min: 0, max: longest.maxAge, default: 60 }),
  /**
   * Active tokens kept; the one used longest ago goes first. Default 10,000; from 1 to 10,000,000.
   */
  maxEntries: wholeNumber({ min: 1, max: 10_000_000, default: 10_000 }),
  /**
   * Bytes that they may take, by our estimate. Default 67,108,864; from 65,536 to 17,179,869,184.
   */
  maxSize: wholeNumber({ min: 65_536, max: 17_179_869_184, default: 67_108_864 }),
  /**
   * Seconds for which a token that is not active is refused without asking again. Default 5; from 0
   * to 3,600.
   */
  inactiveMaxAge: seconds({ min: 0, max: 3_600, default: 5 }),
  /**
   * If a cached answer is used within this many seconds of its expiry, it is refreshed in the
   * background. `0` disables this. Default 0; from 0 to 3,600, and less than half of `maxAge`.
   */
  refreshAhead: seconds({ min: 0, max: 3_600, default: 0, limitsNote: ', and less than half of `maxAge`' }),
  /**
   * Seconds beyond `maxAge`, never beyond `exp`, for which an answer is used while the
   * authorization server can't be asked. A token that was revoked meanwhile is accepted for that
   * long. Default 0; from 0 to 86,400, with a `profile` or `maxAge: 0` 0 alone.
   */
  staleIfError: seconds({
    min: 0,
    max: longest.staleIfError,
    default: 0,
    limitsNote: ', with a `profile` or `maxAge: 0` 0 alone',
  }),
});

/**
 * How long answers of the authorization server serve. A revoked token lives on for at most
 * `maxAge`, and for `staleIfError` more while the server can't be asked.
 */
export interface CacheOptions extends OptionsOf<typeof cacheOptions> {}

export const sharedCacheOptions = optionGroup({
  /** A Keyv instance, or an object with its `get` and `set`. Required. */
  store: required(store),
  /**
   * Seals what is stored: 32 characters at least, the same in each process. A list while one
   * replaces the other: the first seals, all open. Required.
   */
  secret: required(secretList),
  /**
   * `redisLock(client)`: of several processes that receive the same unknown token, one introspects
   * it. Default: each does.
   */
  lock: optional(lock, { fallback: 'each does' }),
  /**
   * Seconds that `store` or `lock` may take to answer; what takes longer is done without. Default
   * 0.5; from 0.005 to 5.
   */
  timeout: seconds({ min: 0.005, max: 5, default: 0.5 }),
  /**
   * Seconds for which other processes wait for the process that holds the lock. Default 2; from
   * 0.05 to 30.
   */
  lockTimeout: seconds({ min: 0.05, max: 30, default: 2 }),
});

/** A tier of the cache that processes share. */
export interface SharedCacheOptions extends OptionsOf<typeof sharedCacheOptions> {}

export const revocationOptions = optionGroup({
  /**
   * `redisLog(client)`, or what does the same over anything else: keeps the revocations of a fleet,
   * so that a process that starts later, or was cut off, learns of them. Default: none.
   */
  log: optional(log),
  /**
   * `redisChannel(client)`, or what does the same over anything else: tells the processes that
   * listen, and no other. Not together with `log`. Default: none; without `log` and `channel`
   * `revoke()` counts in this process alone.
   */
  channel: optional(channel, {
    fallback: 'none; without `log` and `channel` `revoke()` counts in this process alone',
  }),
  /**
   * Seals what is sent and kept: 32 characters at least, the same in each process. A list while one
   * replaces the other: the first seals, all open. Required with `log` and `channel`.
   */
  secret: optional(secretList, { requiredIf: ' with `log` and `channel`' }),
  /**
   * The longest life of your JWT access tokens in seconds. A revocation is remembered for twice the
   * `clockTolerance` more: as long as such a token could be accepted. Default 3,600; from 1 to 2,592,000.
   */
  maxAge: seconds({ min: 1, max: 2_592_000, default: 3_600 }),
  /**
   * Seconds for which answers of introspection serve at most while revocations are not heard, and
   * by which reading the log may lag: 2 at least with `log`. Default 5; from 0 to 3,600.
   */
  maxAgeWhileLost: seconds({ min: 0, max: 3_600, default: 5 }),
  /**
   * What becomes of a JWT while the log can't be read, or that was issued before the log began:
   * `refuse` it, unless the authorization server can be asked, or `accept` it though it may have
   * been revoked. Refused without `log`. Default `refuse`.
   */
  whileLost: withDefault(oneOf('refuse', 'accept'), 'refuse'),
  /**
   * Seconds for which a request with such a JWT waits at most until the log is read. Refused
   * without `log`. Default 2; from 0 to 30.
   */
  maxWait: seconds({ min: 0, max: 30, default: 2 }),
});

/** How revocations spread. */
export interface RevocationOptions extends OptionsOf<typeof revocationOptions> {}

export const floodGuardOptions = optionGroup({
  /**
   * Unknown tokens that turn out not to be active, by client certificate and by address (of IPv6
   * its /64). Then further unknown tokens get 429, while known ones pass. A token counts from when
   * the authorization server is asked. What counted comes back evenly over `window`, at once if the
   * token is active, and one more with it. Default 100; from 1 to 1,000,000.
   */
  maxInactive: wholeNumber({ min: 1, max: 1_000_000, default: 100 }),
  /** Seconds after which all of them are given back. Default 60; from 1 to 86,400. */
  window: seconds({ min: 1, max: 86_400, default: 60 }),
  /**
   * The client's address, of the request; `false` where a load balancer hides it. Default: the
   * connection's where the certificate is the connection's too, otherwise none, for it would be the
   * proxy's.
   */
  address: optional(addressReader, {
    fallback:
      "the connection's where the certificate is the connection's too, otherwise none, " +
      "for it would be the proxy's",
  }),
  /** Requests that are not counted: trusted health checks. Default: none. */
  exempt: optional(functionLike<(req: NodeRequest) => boolean>('a function')),
});

/**
 * How many tokens that turn out not to be active a client may send. The guard also limits how many
 * questions of one client are under way: 50, and at most half of `circuitBreaker.maxConcurrent`,
 * also those of `requireActive()`.
 */
export interface FloodGuardOptions extends OptionsOf<typeof floodGuardOptions> {}

export interface RevocationRules {
  readonly feed: ChannelRules | undefined;
  readonly log: LogRules | undefined;
  readonly maxAge: number;
  readonly maxAgeWhileLost: number;
  readonly acceptsUnsynced: boolean;
  readonly maxWait: number;
}

/** Throws `ConfigurationError` for a setting that another one leaves without effect. */
export function requireUsefulTimes({
  maxAge,
  refreshAhead,
  staleIfError,
}: SettingsOf<typeof cacheOptions>): void {
  if (refreshAhead > 0 && refreshAhead >= maxAge / 2) {
    throw createMismatch(
      'cache.refreshAhead',
      `less than half of cache.maxAge, ${maxAge}`,
      String(refreshAhead),
    );
  }
  if (staleIfError > 0 && maxAge === 0) {
    throw createMismatch(
      'cache.staleIfError',
      '0 next to cache.maxAge: 0, which keeps no answer',
      String(staleIfError),
    );
  }
}

/** Reads the group `revocations`. Throws `ConfigurationError`. */
export function resolveRevocations(given: OptionReader<typeof revocationOptions>): RevocationRules {
  const { log, channel, maxAge, maxAgeWhileLost, whileLost, maxWait } = given.settings();
  if (log !== undefined && channel !== undefined) {
    throw createConflict('revocations.channel', 'revocations.log');
  }
  const secrets = (log ?? channel) === undefined ? [] : given.getRequired('secret');
  for (const name of ['whileLost', 'maxWait'] as const) {
    if (!given.isMissing(name) && log === undefined) {
      throw createLonely(`revocations.${name}`, 'revocations.log');
    }
  }
  if (log !== undefined) {
    checked('revocations.maxAgeWhileLost', seconds({ min: 2, max: 3_600 }), maxAgeWhileLost);
  }
  return Object.freeze({
    feed: channel && Object.freeze({ channel, secrets, maxAgeWhileLost }),
    log: log && Object.freeze({ log, secrets, maxAge, maxAgeWhileLost }),
    maxAge,
    maxAgeWhileLost,
    acceptsUnsynced: whileLost === 'accept',
    maxWait,
  });
}

/** Reads the group `floodGuard`. Throws `ConfigurationError`. */
export function resolveFloodGuard(
  given: OptionReader<typeof floodGuardOptions>,
  certificate: CertificateSource,
): FloodRules {
  const { address, ...rules } = given.settings();
  const ownAddress = certificate.fromConnection ? addressOfConnection : undefined;
  return Object.freeze({ ...rules, address: address === false ? undefined : (address ?? ownAddress) });
}

function addressOfConnection(req: NodeRequest): string | undefined {
  return connectionOf(req)?.remoteAddress;
}
