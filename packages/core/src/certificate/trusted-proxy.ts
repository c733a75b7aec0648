import { createHash, timingSafeEqual } from 'node:crypto';
import { ConfigurationError, TellableError } from '../errors.js';
import type { NodeRequest } from '../request/node-request.js';
import { type OptionReader, type OptionRule, thumbprints } from '../shared/option-rules.js';
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

/** A header that only the proxy can know. */
export interface SharedSecret {
  /** The header's name: letters, digits and hyphens. Required. */
  readonly header: string;
  /**
   * 16 characters at least of printable ASCII without blanks; a list while one value replaces the
   * other. Required.
   */
  readonly value: string | readonly string[];
}

/** Who may say which certificate a client has. All that is given must hold. */
export interface TrustOptions {
  /**
   * Whose header is believed. There is no default, and a range of every address is refused.
   * Required.
   */
  readonly trust: TrustedPeers;
  /**
   * The proxy sets this header in the same block as the certificate's; a request without it is not
   * believed. Default: none.
   */
  readonly secret?: SharedSecret;
  /**
   * Where the hop from proxy to API is mutual TLS: the `x5t#S256` of the proxy's own certificates.
   * Default: any hop.
   */
  readonly proxyCertificate?: readonly string[];
}

/**
 * Runs before any header of a certificate is read. Returns the check that failed, or `undefined`
 * for a trusted proxy.
 */
export type FindTrustFailure = (req: NodeRequest) => 'address' | 'secret' | 'certificate' | undefined;

/**
 * Throws `ConfigurationError` for options that are wrong; a range of every address, `/0`, is one.
 */
export function createTrustCheck(given: OptionReader): FindTrustFailure {
  const isTrustedPeer = peerTest(given);
  const hasSecret = secretTest(given);
  const proxyCertificates: readonly (string | undefined)[] | undefined = given.optional(
    'proxyCertificate',
    thumbprints,
  );
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

const trustRule: OptionRule<TrustedPeers> = {
  accepted:
    "a CIDR, an address, 'loopback', 'linklocal', 'uniquelocal', 'unix', a list of these, or a function of the peer's address",
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    const isList = list.length > 0 && list.every((item) => typeof item === 'string' && item !== '');
    return isList || typeof given === 'function' ? (given as TrustedPeers) : undefined;
  },
};

function peerTest(given: OptionReader): Test {
  const trust = given.required('trust', trustRule);
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
    const verdict = decided.get(connection) ?? isTrusted(connection);
    decided.set(connection, verdict);
    return verdict;
  };
}

function compiled(ranges: string[]): (address: string) => boolean {
  const fault = faultOf(ranges);
  if (fault !== undefined) {
    throw new ConfigurationError('proxyHeader().trust', `${fault}; accepted is ${trustRule.accepted}`);
  }
  return rangeTest(ranges);
}

const secretValues: OptionRule<readonly string[]> = {
  accepted: 'a text of at least 16 printable ASCII characters, or a list of them',
  secret: true,
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    const isGood = (value: unknown) => typeof value === 'string' && /^[\x21-\x7e]{16,}$/.test(value);
    return list.length > 0 && list.every(isGood) ? list.map(String) : undefined;
  },
};

function secretTest(given: OptionReader): Test {
  if (given.isMissing('secret')) {
    return () => true;
  }
  const secret = given.group('secret', ['header', 'value']);
  const header = secret.required('header', proxyHeaderName);
  const expected = secret.required('value', secretValues).map(digest);
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
