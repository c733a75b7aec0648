import type { ProofStore } from '../dpop/proof-recorder.js';
import { acceptedAlgorithms, algorithmList, type SignatureAlgorithm } from '../jose/signature-algorithms.js';
import { createMismatch, createMissingRequirement } from '../shared/option-errors.js';
import {
  nestedRule,
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  required,
  type SettingsOf,
  seconds,
  withDefault,
} from '../shared/option-group.js';
import { type OptionRule, oneOf, originList, secretList, withMethods } from '../shared/option-rules.js';

const store: OptionRule<ProofStore> = withMethods('redisProofs(client)', 'add');

const origins = originList('an https origin as https://api.example.com', ['https:']);

const pathPrefix: OptionRule<string> = {
  accepted: 'a path as /v1: it begins with a slash and does not end with one',
  read: (given) =>
    typeof given === 'string' &&
    /^(?:\/[\w\-.~!$&'()*+,;=:@]+)+$/.test(given) &&
    !/\/\.\.?(?:\/|$)/.test(given)
      ? given
      : undefined,
};

export const dpopNonceOptions = optionGroup({
  /**
   * Makes the nonces: 32 characters at least, the same in each process. A list while one replaces
   * the other: the first makes nonces, those of all are accepted. Required.
   */
  secret: required(secretList),
  /**
   * Seconds for which a nonce is accepted. A client gets a new one after a third of that. A process
   * remembers used proofs for as long. Default 300; from 30 to 600.
   */
  maxAge: seconds({ min: 30, max: 600, default: 300 }),
});

/** How nonces for DPoP proofs are made (RFC 9449 §9). */
export interface DpopNonceOptions extends OptionsOf<typeof dpopNonceOptions> {}

export const dpopOptions = optionGroup({
  /**
   * The origins under which clients reach this API, as `https://api.example.com`: `htu` of a proof
   * must be of one of them. No header of a request counts for it. Default: the origin of
   * `resourceMetadata.resource`; required without `resourceMetadata`.
   */
  origin: optional(origins, {
    defaultInWords: 'the origin of `resourceMetadata.resource`; required without `resourceMetadata`',
  }),
  /**
   * What a proxy cuts off the path before the request gets here: `/v1` where clients ask for
   * `/v1/accounts` and the application sees `/accounts`. Default: nothing.
   */
  pathPrefix: optional(pathPrefix, { defaultInWords: 'nothing' }),
  /**
   * Signature algorithms of proofs. Default: those of FAPI 2.0 §5.4.1, all but RS256, or those of
   * them that the `profile` permits.
   */
  algorithms: optional(algorithmList, {
    defaultInWords: 'those of FAPI 2.0 §5.4.1, all but RS256, or those of them that the `profile` permits',
  }),
  /**
   * Seconds after its `iat` for which a proof is accepted, and `clockTolerance` more. Refused with
   * `nonce`, which limits the time instead. Default 60; from 1 to 300.
   */
  maxAge: seconds({ min: 1, max: 300, default: 60 }),
  /**
   * Demands in each proof a nonce that this API gave out (RFC 9449 §9). For clients whose clock is
   * wrong, and against proofs that were made in advance. Default: none is demanded.
   */
  nonce: optional(nestedRule<SettingsOf<typeof dpopNonceOptions>, DpopNonceOptions>(dpopNonceOptions), {
    defaultInWords: 'none is demanded',
  }),
  /**
   * `redisProofs(client)`, or what does the same over anything else: records the used proofs of a
   * fleet. Default: none; each `mtlsBound()` accepts a proof once.
   */
  store: optional(store, { defaultInWords: 'none; each `mtlsBound()` accepts a proof once' }),
  /** Seconds that `store` may take to answer. Refused without `store`. Default 0.5; from 0.005 to 5. */
  timeout: seconds({ min: 0.005, max: 5, default: 0.5 }),
  /**
   * What becomes of a request while `store` fails: `refuse` it with 503, or `accept` a proof once in
   * each process. Refused without `store`. Default `refuse`.
   */
  onStoreFailure: withDefault(oneOf('refuse', 'accept'), 'refuse'),
});

/** How access tokens are accepted that are bound to a key of the client (DPoP, RFC 9449). */
export interface DpopOptions extends OptionsOf<typeof dpopOptions> {}

/** The options of DPoP, checked and completed. */
export interface DpopSettings {
  /** What stands before the path that the application sees, once for each public origin. */
  readonly bases: readonly string[];
  readonly algorithms: readonly SignatureAlgorithm[];
  readonly maxAge: number;
  readonly nonce: SettingsOf<typeof dpopNonceOptions> | undefined;
  readonly store: ProofStore | undefined;
  readonly timeout: number;
  readonly acceptsWithoutStore: boolean;
}

/**
 * Reads the group `dpop`. Throws `ConfigurationError`.
 *
 * @param resource the resource identifier of `resourceMetadata`
 * @param permitted the algorithms that the profile permits
 */
export function resolveDpop(
  given: OptionReader<typeof dpopOptions>,
  resource: string | undefined,
  permitted: readonly string[] | undefined,
): DpopSettings {
  const {
    pathPrefix: prefix = '',
    maxAge,
    nonce,
    store: proofs,
    timeout,
    onStoreFailure,
    ...more
  } = given.settings();
  for (const name of ['timeout', 'onStoreFailure'] as const) {
    if (!given.isUnwritten(name) && proofs === undefined) {
      throw createMissingRequirement(given.pathOf(name), given.pathOf('store'));
    }
  }
  if (nonce !== undefined && !given.isUnwritten('maxAge')) {
    throw createMismatch(given.pathOf('maxAge'), `nothing next to ${given.pathOf('nonce')}`, String(maxAge));
  }
  const { origin = resource === undefined ? given.getRequired('origin') : [new URL(resource).origin] } = more;
  return Object.freeze({
    bases: Object.freeze(origin.map((one) => `${one}${prefix}`)),
    algorithms: acceptedAlgorithms(given.pathOf('algorithms'), more.algorithms, permitted),
    maxAge,
    nonce,
    store: proofs,
    timeout,
    acceptsWithoutStore: onStoreFailure === 'accept',
  });
}
