import { createHash, timingSafeEqual } from 'node:crypto';
import { TellableError } from '../errors.js';
import type { NodeRequest } from '../request/node-request.js';
import { createMismatch } from '../shared/option-errors.js';
import {
  nestedRule,
  type OptionsOf,
  optional,
  optionGroup,
  required,
  type SettingsOf,
} from '../shared/option-group.js';
import { type OptionRule, thumbprints } from '../shared/option-rules.js';
import { isPromised } from '../shared/promises.js';
import { type Connection, connectionOf, isUnixSocket } from './connection.js';
import { headerValues } from './header-values.js';
import { proxyHeaderName } from './proxy-header-name.js';
import { tlsSocket } from './tls-socket.js';
import { faultOf, rangeTest } from './trusted-range.js';

/**
 * Whose header is believed, by the address of the direct peer: CIDRs and addresses, the names
 * `loopback`, `linklocal` and `uniquelocal`, `unix` for a unix socket; or a function of one's own.
 */
export type TrustedPeers =
  | string
  | readonly string[]
  | ((remoteAddress: string | undefined, req: NodeRequest) => boolean);

const trustRule: OptionRule<TrustedPeers> = {
  accepted:
    "a CIDR, an address, 'loopback', 'linklocal', 'uniquelocal', 'unix', a list of these, or a " +
    "function of the peer's address",
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    const isList = list.length > 0 && list.every((item) => typeof item === 'string' && item !== '');
    return isList || typeof given === 'function' ? (given as TrustedPeers) : undefined;
  },
};

const secretValues: OptionRule<readonly string[], string | readonly string[]> = {
  accepted: 'a text of at least 16 printable ASCII characters, or a list of them',
  secret: true,
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    const isGood = (value: unknown) => typeof value === 'string' && /^[\x21-\x7e]{16,}$/.test(value);
    return list.length > 0 && list.every(isGood) ? list.map(String) : undefined;
  },
};

export const sharedSecretOptions = optionGroup({
  /** The header's name: letters, digits and hyphens. Required. */
  header: required(proxyHeaderName),
  /**
   * At least 16 characters of printable ASCII without blanks. To replace the value, give a list of
   * both. Required.
   */
  value: required(secretValues),
});

/** A header that only the proxy can know. */
export interface SharedSecret extends OptionsOf<typeof sharedSecretOptions> {}

export const trustOptions = optionGroup({
  /**
   * The peers whose header is trusted, by their address. There is no default, and a range of all
   * addresses is refused. Required.
   */
  trust: required(trustRule),
  /**
   * A header that the proxy sets in the same block as the certificate's header. The certificate of
   * a request without it is ignored. Default: none.
   */
  secret: optional(nestedRule<SettingsOf<typeof sharedSecretOptions>, SharedSecret>(sharedSecretOptions)),
  /**
   * The `x5t#S256` of the proxy's own certificates, if the proxy connects to your API with mutual
   * TLS. Default: any hop.
   */
  proxyCertificate: optional(thumbprints, { fallback: 'any hop' }),
});

/** The peers that may send the certificate of a client. A peer must meet each member. */
export interface TrustOptions extends OptionsOf<typeof trustOptions> {}

/** The options, checked and completed. */
export type TrustSettings = SettingsOf<typeof trustOptions>;

/**
 * Runs before any header of a certificate is read. Returns the check that failed, or `undefined`
 * for a trusted proxy.
 */
export type FindTrustFailure = (req: NodeRequest) => 'address' | 'secret' | 'certificate' | undefined;

/**
 * Throws `ConfigurationError` for options that are wrong; a range of every address, `/0`, is one.
 */
export function createTrustCheck({ trust, secret, proxyCertificate }: TrustSettings): FindTrustFailure {
  const isTrustedPeer = peerTest(trust);
  const hasSecret = secretTest(secret);
  const proxyCertificates: readonly (string | undefined)[] | undefined = proxyCertificate;
  const hop = proxyCertificates === undefined ? undefined : tlsSocket();
  return (req) => {
    if (!isTrustedPeer(req)) {
      return 'address';
    }
    if (!hasSecret(req)) {
      return 'secret';
    }
    const isTrustedHop =
      proxyCertificates === undefined || proxyCertificates.includes(hop?.(req)?.thumbprint);
    return isTrustedHop ? undefined : 'certificate';
  };
}

type Test = (req: NodeRequest) => boolean;

function peerTest(trust: TrustedPeers): Test {
  if (typeof trust === 'function') {
    // Only true is yes: no other value is, and a promise is a fault of the function.
    return (req) => {
      const verdict: unknown = trust(connectionOf(req)?.remoteAddress, req);
      if (isPromised(verdict)) {
        throw new TellableError('proxyHeader().trust returned a promise; it must return true or false');
      }
      return verdict === true;
    };
  }
  const names = typeof trust === 'string' ? [trust] : [...trust];
  const trustsUnix = names.includes('unix');
  const isTrustedAddress = compiled(names.filter((name) => name !== 'unix'));
  const isTrusted = (connection: Connection): boolean =>
    connection.remoteAddress === undefined
      ? trustsUnix && isUnixSocket(connection)
      : isTrustedAddress(connection.remoteAddress);
  // A connection's peer never changes, and a proxy's connections live long.
  const decided = new WeakMap<Connection, boolean>();
  return (req) => {
    const connection = connectionOf(req);
    if (connection === undefined) {
      return false;
    }
    const known = decided.get(connection);
    if (known !== undefined) {
      return known;
    }
    const verdict = isTrusted(connection);
    decided.set(connection, verdict);
    return verdict;
  };
}

function compiled(ranges: string[]): (address: string) => boolean {
  const fault = faultOf(ranges);
  if (fault !== undefined) {
    throw createMismatch('proxyHeader().trust', trustRule.accepted, fault);
  }
  return rangeTest(ranges);
}

function secretTest(secret: TrustSettings['secret']): Test {
  if (secret === undefined) {
    return () => true;
  }
  const { header } = secret;
  const expected = secret.value.map(digest);
  return (req) => {
    const [value, another] = headerValues(req.rawHeaders, header);
    if (value === undefined || another !== undefined) {
      return false;
    }
    // Digests are of one length, so that the comparison takes the same time for every value.
    const presented = digest(value);
    return expected.some((digestOfOurs) => timingSafeEqual(digestOfOurs, presented));
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
