import type { FloodRules } from '../authorization-server/flood-guard.js';
import { MAX_ANSWER_LIFE, type SharedLock, type SharedStore } from '../cache/shared-cache.js';
import type { CertificateSource } from '../certificate/client-certificate.js';
import { connectionOf } from '../certificate/connection.js';
import type { NodeRequest } from '../request/node-request.js';
import type { ChannelRules } from '../revocation/channel-sync.js';
import type { RevocationChannel } from '../revocation/revocation-channel.js';
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
  checkOption,
  functionLike,
  type OptionRule,
  oneOf,
  secretList,
  withMethods,
} from '../shared/option-rules.js';

const store: OptionRule<SharedStore> = withMethods('a Keyv instance', 'get', 'set');
const lock: OptionRule<SharedLock> = withMethods('redisLock(client)', 'acquire', 'release');
const log: OptionRule<RevocationLog> = withMethods('redisLog(client)', 'setHeader', 'append', 'read');
const channel: OptionRule<RevocationChannel> = withMethods('redisChannel(client)', 'publish', 'subscribe');

const addressReader: OptionRule<NonNullable<FloodRules['address']> | false> = {
  accepted: 'a function, or false',
  read: (given) =>
    typeof given === 'function' || given === false ? (given as FloodRules['address']) : undefined,
};

export const cacheOptions = optionGroup({
  /**
   * Seconds for which the cached answer about an active token is used, never beyond the token's
   * `exp` (RFC 7662 §4). Each answer expires at random up to a tenth earlier, so that answers do
   * not expire together. With `0`, the authorization server is asked on every request. Default 60;
   * from 0 to 86,400.
   */
  maxAge: seconds({ min: 0, max: MAX_ANSWER_LIFE.maxAge, default: 60 }),
  /**
   * Number of active tokens in the cache. Beyond it, the least recently used token is removed.
   * Default 10,000; from 1 to 10,000,000.
   */
  maxEntries: wholeNumber({ min: 1, max: 10_000_000, default: 10_000 }),
  /**
   * Bytes of memory that the active tokens in the cache may take, by an estimate. Beyond it, the
   * least recently used token is removed. Default 67,108,864; from 65,536 to 17,179,869,184.
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
    max: MAX_ANSWER_LIFE.staleIfError,
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
   * Seconds for which other processes wait for the process that holds the lock. Default 2; from
   * 0.05 to 30.
   */
  lockTimeout: seconds({ min: 0.05, max: 30, default: 2 }),
});

/** A tier of the cache that processes share. */
export interface SharedCacheOptions extends OptionsOf<typeof sharedCacheOptions> {}

export const revocationOptions = optionGroup({
  /**
   * `redisLog(client)`, or a `RevocationLog` of your own: keeps the revocations of all processes,
   * so that a process that starts later, or was cut off, reads them. Default: none.
   */
  log: optional(log),
  /**
   * `redisChannel(client)`, or a `RevocationChannel` of your own: sends revocations to the
   * processes that listen at that moment, and to no other. Not together with `log`. Default: none;
   * without `log` and `channel`, a revocation holds in this process only.
   */
  channel: optional(channel, {
    defaultInWords: 'none; without `log` and `channel`, a revocation holds in this process only',
  }),
  /**
   * Encrypts and authenticates the entries and messages: at least 32 characters, the same in each
   * process. To replace the secret, give a list: the first one seals, each one opens. Required with
   * `log` and `channel`.
   */
  secret: optional(secretList, { requiredInWords: ' with `log` and `channel`' }),
  /**
   * The longest lifetime of your JWT access tokens, in seconds. A process remembers a revocation
   * for this time and twice the `clockTolerance`: for as long as such a token could be accepted.
   * Default 3,600; from 1 to 2,592,000.
   */
  maxTokenLifetime: seconds({ min: 1, max: 2_592_000, default: 3_600 }),
  /**
   * Limits `cache.maxAge` while the process does not receive revocations: cached introspection
   * answers are used for at most this many seconds. With `log` it is at least 2, and JWTs are accepted
   * if the log was read within this time. Default 5; from 0 to 3,600.
   */
  maxAgeWhileUnsynced: seconds({ min: 0, max: 3_600, default: 5 }),
  /**
   * What happens to a JWT of which this process can't find out whether it was revoked, because the log
   * can't be read, or because the JWT was issued before the log began. `refuse`: it is introspected if
   * possible, and refused otherwise. `accept`: it is accepted. Refused without `log`. Default `refuse`.
   */
  jwtsWithUnknownRevocation: withDefault(oneOf('refuse', 'accept'), 'refuse'),
  /**
   * Longest time in seconds for which a request with a JWT waits until this process reads the log
   * again. After that it gets 503. Refused without `log`. Default 2; from 0 to 30.
   */
  maxWait: seconds({ min: 0, max: 30, default: 2 }),
});

/** How processes share revocations, and how long they remember them. */
export interface RevocationOptions extends OptionsOf<typeof revocationOptions> {}

export const floodGuardOptions = optionGroup({
  /**
   * How many unknown tokens that are rejected, or that the authorization server fails on, one client may
   * send within `window`, for each client certificate and each address (for IPv6, each /64). A client
   * without allowance gets 429 for unknown tokens, and its known tokens are accepted. A token counts from
   * when the token source reads it: from when the authorization server is asked, or the JWT is verified.
   * The allowance returns evenly over `window`. A token that is active is given back at once, and raises
   * the allowance by one, up to this limit. Default 100; from 1 to 1,000,000.
   */
  allowance: wholeNumber({ min: 1, max: 1_000_000, default: 100 }),
  /** Seconds in which the whole allowance returns. Default 60; from 1 to 86,400. */
  window: seconds({ min: 1, max: 86_400, default: 60 }),
  /**
   * A function from the request to the client's address. `false` if a load balancer hides the
   * address: only the certificate counts then. Default: the address of the connection if the
   * certificate is from the connection too, otherwise none, because the connection is the proxy's.
   */
  address: optional(addressReader, {
    defaultInWords:
      'the address of the connection if the certificate is from the connection too, otherwise none, ' +
      "because the connection is the proxy's",
  }),
  /**
   * A function that returns `true` for requests that are not counted, such as trusted health
   * checks. Default: none.
   */
  exempt: optional(functionLike<(req: NodeRequest) => boolean>('a function')),
});

/**
 * How many unknown tokens that are rejected a client may send. The guard also limits how many
 * questions of one client are under way: 50, and at most half of `http.maxConcurrent`,
 * also those of `requireActive()`.
 */
export interface FloodGuardOptions extends OptionsOf<typeof floodGuardOptions> {}

export interface RevocationRules {
  readonly channel: ChannelRules | undefined;
  readonly log: LogRules | undefined;
  readonly maxTokenLifetime: number;
  readonly maxAgeWhileUnsynced: number;
  /** Whether a JWT is accepted of which this process can't find out whether it was revoked. */
  readonly acceptsUnknownRevocation: boolean;
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
  const { log, channel, maxTokenLifetime, maxAgeWhileUnsynced, jwtsWithUnknownRevocation, maxWait } =
    given.settings();
  if (log !== undefined && channel !== undefined) {
    throw createConflict('revocations.channel', 'revocations.log');
  }
  const secrets = (log ?? channel) === undefined ? [] : given.getRequired('secret');
  for (const name of ['jwtsWithUnknownRevocation', 'maxWait'] as const) {
    if (!given.isMissing(name) && log === undefined) {
      throw createLonely(`revocations.${name}`, 'revocations.log');
    }
  }
  if (log !== undefined) {
    checkOption('revocations.maxAgeWhileUnsynced', seconds({ min: 2, max: 3_600 }), maxAgeWhileUnsynced);
  }
  return Object.freeze({
    channel: channel && Object.freeze({ channel, secrets, maxAgeWhileUnsynced }),
    log: log && Object.freeze({ log, secrets, maxTokenLifetime, maxAgeWhileUnsynced }),
    maxTokenLifetime,
    maxAgeWhileUnsynced,
    acceptsUnknownRevocation: jwtsWithUnknownRevocation === 'accept',
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
