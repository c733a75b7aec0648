import type { ChannelRules } from '../revocation/channel-sync.js';
import type { RevocationChannel } from '../revocation/revocation-channel.js';
import type { LogRules, RevocationLog } from '../revocation/revocation-log.js';
import { createConflict, createMissingRequirement } from '../shared/option-errors.js';
import {
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  seconds,
  withDefault,
} from '../shared/option-group.js';
import { checkOption, type OptionRule, oneOf, secretList, withMethods } from '../shared/option-rules.js';

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
   * process. To replace the secret, give a list: the first one seals, each one opens. Required with
   * `log` and `channel`.
   */
  secret: optional(secretList, { requiredInWords: ' with `log` and `channel`' }),
  /**
   * The longest lifetime of your access tokens, in seconds. A process remembers a revocation for this
   * time and twice the `clockTolerance`: for as long as a JWT could be accepted. If `cache.maxAge` and
   * `cache.staleIfError` together are longer, they count. Afterwards an opaque token is introspected
   * again, so revoke it at the authorization server too.
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

export interface RevocationRules {
  readonly channel: ChannelRules | undefined;
  readonly log: LogRules | undefined;
  readonly maxTokenLifetime: number;
  readonly maxAgeWhileUnsynced: number;
  /** Whether a JWT is accepted of which this process can't find out whether it was revoked. */
  readonly acceptsUnknownRevocation: boolean;
  readonly maxWait: number;
}

/**
 * Reads the group `revocations`. Throws `ConfigurationError`.
 *
 * @param cachedFor the seconds for which a cached answer may be used. A revocation is remembered for as
 * long at least: the answer from before it would be used again afterwards
 */
export function resolveRevocations(
  given: OptionReader<typeof revocationOptions>,
  cachedFor: number,
): RevocationRules {
  const { log, channel, maxAgeWhileUnsynced, jwtsWithUnknownRevocation, maxWait, ...settings } =
    given.settings();
  const maxTokenLifetime = Math.max(settings.maxTokenLifetime, cachedFor);
  if (log !== undefined && channel !== undefined) {
    throw createConflict('revocations.channel', 'revocations.log');
  }
  const secrets = (log ?? channel) === undefined ? [] : given.getRequired('secret');
  for (const name of ['jwtsWithUnknownRevocation', 'maxWait'] as const) {
    if (!given.isUnwritten(name) && log === undefined) {
      throw createMissingRequirement(`revocations.${name}`, 'revocations.log');
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
