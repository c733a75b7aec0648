import type { SharedLock, SharedStore } from '../cache/shared-cache.js';
import { createConflict, createMismatch, createMissingRequirement } from '../shared/option-errors.js';
import {
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  required,
  type SettingsOf,
  seconds,
  wholeNumber,
} from '../shared/option-group.js';
import { type OptionRule, secretList, withMethods } from '../shared/option-rules.js';

const store: OptionRule<SharedStore> = withMethods('a Keyv instance', 'get', 'set');
const lock: OptionRule<SharedLock> = withMethods('redisLock(client)', 'acquire', 'release');

/** Seconds that an answer is used at most, and seconds more while the authorization server is away. */
const LONGEST_USE = { maxAge: 86_400, staleIfError: 86_400 } as const;

export const cacheOptions = optionGroup({
  /**
   * Seconds for which the cached answer about an active token is used, never beyond the token's
   * `exp` (RFC 7662 §4). Each answer expires at random up to a tenth earlier, so that answers do
   * not expire together. With `0`, the authorization server is asked on every request. Default 60;
   * from 0 to 86,400, with `sharedCache` and `revocations.log` at most `revocations.longestTokenLifetime`.
   */
  maxAge: seconds({
    min: 0,
    max: LONGEST_USE.maxAge,
    default: 60,
    limitsNote: ', with `sharedCache` and `revocations.log` at most `revocations.longestTokenLifetime`',
  }),
  /**
   * Number of active tokens in the cache. Beyond it, the least recently used token is removed.
   * Refused with `maxAge: 0`. Default 10,000; from 1 to 10,000,000.
   */
  maxEntries: wholeNumber({ min: 1, max: 10_000_000, default: 10_000 }),
  /**
   * Bytes of memory that the active tokens in the cache may take, by an estimate. Beyond it, the
   * least recently used token is removed. Refused with `maxAge: 0`. Default 67,108,864; from 65,536 to
   * 17,179,869,184.
   */
  maxSize: wholeNumber({ min: 65_536, max: 17_179_869_184, default: 67_108_864 }),
  /**
   * Seconds for which a rejected token is refused without asking or verifying again: one that the
   * authorization server called inactive, or one with a wrong signature or wrong claims. With `0`, each
   * request asks or verifies. Default 5; from 0 to 3,600.
   */
  rejectionMaxAge: seconds({ min: 0, max: 3_600, default: 5 }),
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
    max: LONGEST_USE.staleIfError,
    default: 0,
    limitsNote: ', with a `profile` or `maxAge: 0` 0 alone',
  }),
});

/**
 * How long answers of the authorization server are used. An introspected token that is revoked there is
 * accepted for at most `maxAge`, and for `staleIfError` more while the server can't be asked. A JWT that
 * this API validates itself is accepted until it expires or `revoke()` names it.
 */
export interface CacheOptions extends OptionsOf<typeof cacheOptions> {}

export const sharedCacheOptions = optionGroup({
  /** A Keyv instance, or an object with its `get` and `set`. Required. */
  store: required(store),
  /**
   * Encrypts and authenticates the stored answers: at least 32 characters, the same in each
   * process. To replace the secret, give a list: the first one seals, each one opens. Required.
   */
  secret: required(secretList),
  /**
   * A lock that processes share, `redisLock(client)`: if several processes receive the same unknown
   * token, one of them introspects it. Default: each process introspects it.
   */
  lock: optional(lock, { defaultInWords: 'each process introspects it' }),
  /**
   * Seconds that each access to `store` or `lock` may take. After that, the process goes on without
   * it. A request with an unknown token makes up to four accesses, with two secrets six, and waits
   * for each while the store fails. Default 0.5; from 0.005 to 5.
   */
  timeout: seconds({ min: 0.005, max: 5, default: 0.5 }),
  /**
   * Seconds for which other processes wait for the process that holds the lock. Refused without `lock`.
   * Default 2; from 0.05 to 30.
   */
  lockTimeout: seconds({ min: 0.05, max: 30, default: 2 }),
});

/** A tier of the cache that processes share. */
export interface SharedCacheOptions extends OptionsOf<typeof sharedCacheOptions> {}

/**
 * Reads the group `sharedCache`. Throws `ConfigurationError`.
 *
 * @param isIntrospecting whether an issuer may introspect the tokens that a process does not know
 */
export function resolveSharedCache(
  given: OptionReader<typeof sharedCacheOptions>,
  isIntrospecting: boolean,
): SettingsOf<typeof sharedCacheOptions> {
  const settings = given.settings();
  if (!isIntrospecting) {
    throw createConflict(given.path, 'jwtAccessTokens(), with which each process validates tokens itself');
  }
  if (!given.isUnwritten('lockTimeout') && settings.lock === undefined) {
    throw createMissingRequirement(given.pathOf('lockTimeout'), given.pathOf('lock'));
  }
  return settings;
}

/**
 * Reads the group `cache`. Throws `ConfigurationError` for a setting that another one leaves without
 * effect.
 */
export function resolveCache(given: OptionReader<typeof cacheOptions>): SettingsOf<typeof cacheOptions> {
  const settings = given.settings();
  const { maxAge, refreshAhead, staleIfError } = settings;
  if (refreshAhead > 0 && refreshAhead >= maxAge / 2) {
    throw createMismatch(
      'cache.refreshAhead',
      `less than half of cache.maxAge, ${maxAge}`,
      String(refreshAhead),
    );
  }
  if (staleIfError > 0 && maxAge === 0) {
    throw createMismatch('cache.staleIfError', `0 next to ${KEEPS_NOTHING}`, String(staleIfError));
  }
  const unused = (['maxEntries', 'maxSize'] as const).find((name) => !given.isUnwritten(name));
  if (unused !== undefined && maxAge === 0) {
    throw createConflict(given.pathOf(unused), KEEPS_NOTHING);
  }
  return settings;
}

const KEEPS_NOTHING = 'cache.maxAge: 0, which keeps no answer';
