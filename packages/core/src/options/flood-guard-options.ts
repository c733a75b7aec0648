import type { FloodRules } from '../authorization-server/flood-guard.js';
import type { CertificateSource } from '../certificate/client-certificate.js';
import { connectionOf } from '../certificate/connection.js';
import type { NodeRequest } from '../request/node-request.js';
import {
  type OptionReader,
  type OptionsOf,
  optional,
  optionGroup,
  seconds,
  wholeNumber,
} from '../shared/option-group.js';
import { functionLike, type OptionRule } from '../shared/option-rules.js';

const addressReader: OptionRule<NonNullable<FloodRules['address']> | false> = {
  accepted: 'a function, or false',
  read: (given) =>
    typeof given === 'function' || given === false ? (given as FloodRules['address']) : undefined,
};

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
 * tokens of one client are introspected or verified at once: 50, and at most half of `http.maxConcurrent`,
 * also those of `requireActive()`.
 */
export interface FloodGuardOptions extends OptionsOf<typeof floodGuardOptions> {}

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
