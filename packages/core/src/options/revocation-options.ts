import type { ChannelRules } from '../revocation/channel-sync.js';
import type { RevocationChannel } from '../revocation/revocation-channel.js';
import type { LogRules, RevocationLog } from '../revocation/revocation-log.js';
import { createConflict, createMismatch, createMissingRequirement } from '../shared/option-errors.js';
import {
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  type SettingsOf,
  seconds,
  withDefault,
} from '../shared/option-group.js';
import { checkOption, type OptionRule, oneOf, secretList, withMethods } from '../shared/option-rules.js';
import type { cacheOptions } from './cache-options.js';

const log: OptionRule<RevocationLog> = withMethods('redisLog(client)', 'setHeader', 'append', 'read');
const channel: OptionRule<RevocationChannel> = withMethods('redisChannel(client)', 'publish', 'subscribe');

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
   * process. To replace the secret, give a list: the first one seals, each one opens. Refused without
   * `log` and `channel`. Required with `log` and `channel`.
   */
  secret: optional(secretList, { requiredInWords: ' with `log` and `channel`' }),
  /**
   * The longest lifetime of your access tokens, in seconds, equal in each process. A process remembers a
   * revocation for this time and twice the `clockTolerance`: for as long as a JWT could be accepted. If
   * `cache.maxAge` and `cache.staleIfError` together are longer, the process remembers it for that time.
   * The log keeps it for `longestTokenLifetime` and twelve minutes. Afterwards an opaque token is
   * introspected again, so revoke it at the authorization server too.
   * Default 3,600; from 1 to 2,592,000.
   */
  longestTokenLifetime: seconds({ min: 1, max: 2_592_000, default: 3_600 }),
  /**
   * Limits `cache.maxAge` while the process does not receive revocations: cached introspection
   * answers are used for at most this many seconds. With `log` it is at least 2, and JWTs are accepted
   * if the log was read within this time. Refused without `log` and `channel`. Default 5; from 0 to
   * 3,600.
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
   * again. After that it gets 503. Refused without `log`, and with `jwtsWithUnknownRevocation:
   * 'accept'`, with which no request waits. Default 2; from 0 to 30.
   */
  maxWait: seconds({ min: 0, max: 30, default: 2 }),
});

/** How processes share revocations, and how long they remember them. */
export interface RevocationOptions extends OptionsOf<typeof revocationOptions> {}

export interface RevocationRules {
  readonly channel: ChannelRules | undefined;
  readonly log: LogRules | undefined;
  /** Seconds for which a token, or a cached answer about it, may be used. */
  readonly longestUse: number;
  readonly maxAgeWhileUnsynced: number;
  /** Whether a JWT is accepted of which this process can't find out whether it was revoked. */
  readonly acceptsUnknownRevocation: boolean;
  readonly maxWait: number;
}

/**
 * Reads the group `revocations`. Throws `ConfigurationError`.
 *
 * @param hasSharedCache whether the processes share answers
 */
export function resolveRevocations(
  given: OptionReader<typeof revocationOptions>,
  { maxAge, staleIfError }: Pick<SettingsOf<typeof cacheOptions>, 'maxAge' | 'staleIfError'>,
  hasSharedCache: boolean,
): RevocationRules {
  const { log, channel, longestTokenLifetime, maxAgeWhileUnsynced, jwtsWithUnknownRevocation, maxWait } =
    given.settings();
  if (log !== undefined && channel !== undefined) {
    throw createConflict('revocations.channel', 'revocations.log');
  }
  const secrets = (log ?? channel) === undefined ? [] : given.getRequired('secret');
  for (const name of ['secret', 'maxAgeWhileUnsynced'] as const) {
    if (!given.isUnwritten(name) && log === undefined && channel === undefined) {
      throw createMissingRequirement(`revocations.${name}`, 'revocations.log or revocations.channel');
    }
  }
  for (const name of ['jwtsWithUnknownRevocation', 'maxWait'] as const) {
    if (!given.isUnwritten(name) && log === undefined) {
      throw createMissingRequirement(`revocations.${name}`, 'revocations.log');
    }
  }
  if (jwtsWithUnknownRevocation === 'accept' && !given.isUnwritten('maxWait')) {
    const other = "revocations.jwtsWithUnknownRevocation: 'accept', with which no request waits";
    throw createConflict('revocations.maxWait', other);
  }
  if (log !== undefined) {
    checkOption('revocations.maxAgeWhileUnsynced', seconds({ min: 2, max: 3_600 }), maxAgeWhileUnsynced);
  }
  if (log !== undefined && hasSharedCache && maxAge > longestTokenLifetime) {
    // A process that starts would use a shared answer whose revocation is no longer in the log.
    throw createMismatch(
      'cache.maxAge',
      `at most revocations.longestTokenLifetime, ${longestTokenLifetime}, ` +
        'next to sharedCache and revocations.log',
      String(maxAge),
    );
  }
  return Object.freeze({
    channel: channel && Object.freeze({ channel, secrets, maxAgeWhileUnsynced }),
    // Independent of the cache options: all processes must agree on how long the log keeps an entry.
    log: log && Object.freeze({ log, secrets, longestTokenLifetime, maxAgeWhileUnsynced }),
    // A cached answer from before a revocation would be used again once the revocation is forgotten.
    longestUse: Math.max(longestTokenLifetime, maxAge + staleIfError),
    maxAgeWhileUnsynced,
    acceptsUnknownRevocation: jwtsWithUnknownRevocation === 'accept',
    maxWait,
  });
}
