import { createHash, timingSafeEqual } from 'node:crypto';
import { type Connection, connectionOf, isUnixSocket } from '../certificate/connection.js';
import { x509 } from '../certificate/lazy-x509.js';
import { tlsSocket } from '../certificate/tls-socket.js';
import { type Reason, RequestRefused, TellableError } from '../errors.js';
import { createProblemReporter } from '../observe/events.js';
import { lineValues } from '../request/header-lines.js';
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
import { isPlainObject, type OptionRule, sha256Text } from '../shared/option-rules.js';
import { callAll, ignoreRejection, isPromise } from '../shared/promises.js';
import { describeProxyCertificate, type NamedProxy, ProxyRecognition } from './named-proxy.js';
import { proxyHeaderName } from './proxy-header-name.js';
import { createRangeTest, explainUnusableRanges } from './trusted-range.js';

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

/** The certificates of a proxy: thumbprints, a proxy that is known by its name, or a list of both. */
export type ProxyCertificates = NamedProxy | readonly (string | NamedProxy)[];

const proxyCertificates: OptionRule<ProxyCertificates> = {
  accepted:
    'an object of ca and one of uri, dns and subject, or a list of such objects and of x5t#S256 ' +
    'thumbprints, 43 characters of base64url each, the last one of AEIMQUYcgkosw048',
  read: (given) => {
    const list: unknown[] = Array.isArray(given) ? given : [];
    const isList =
      list.length > 0 && list.every((item) => isPlainObject(item) || sha256Text.test(String(item)));
    return isList || isPlainObject(given) ? (given as ProxyCertificates) : undefined;
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
   * The proxy's own certificates, if the proxy connects to your API with mutual TLS: a list of their
   * `x5t#S256`; or `{ ca, uri }`, `{ ca, dns }` or `{ ca, subject }` for a proxy whose certificates are
   * renewed often; or a list of both. A certificate that is listed by its thumbprint counts as it is. One
   * by name must be for clients (`clientAuth`) and valid now, and its path to an authority of `ca` is
   * verified here. It is refused if the verdict of Node's TLS says that it is revoked or leaves that open
   * (`UNSPECIFIED`), and, where the server has `crl`, if TLS did not verify it. Default: any hop.
   */
  proxyCertificate: optional(proxyCertificates, { defaultInWords: 'any hop' }),
});

/** The peers that may send the certificate of a client. A peer must meet each member. */
export interface TrustOptions extends OptionsOf<typeof trustOptions> {}

/** The options, checked and completed. */
export type TrustSettings = SettingsOf<typeof trustOptions>;

/** Which condition of `TrustOptions` a peer does not meet. */
export type TrustFaultCode = 'other_address' | 'no_secret' | 'wrong_secret' | 'other_certificate';

/** Why a peer is not the trusted proxy. The text stands behind the words "the request". */
export type TrustFault = Reason<TrustFaultCode>;

/** Decides whether a request comes from a trusted proxy, before any header of a certificate is read. */
export interface TrustCheck {
  /**
   * Returns what is wrong with the peer; `undefined` for a trusted proxy. Throws `RequestRefused` while
   * that can't be decided.
   */
  readonly findFault: (req: NodeRequest) => TrustFault | undefined;
  /**
   * Returns what to wait for before `findFault`; `undefined` if there is nothing. Rejects with
   * `RequestRefused`.
   */
  readonly prepare: (now: number) => Promise<unknown> | undefined;
}

const addressFault: TrustFault = {
  code: 'other_address',
  why: 'is not from an address that trust names',
};

const missingSecretFault: TrustFault = {
  code: 'no_secret',
  why: 'lacks the shared secret; is it set in the same block of the proxy as the certificate header?',
};

const wrongSecretFault: TrustFault = {
  code: 'wrong_secret',
  why: 'has another shared secret than the option secret; do the proxy and this API have the same value?',
};

const repeatedSecretFault: TrustFault = {
  code: 'wrong_secret',
  why: 'has the header of the shared secret more than once; does the proxy replace what a client sends?',
};

const thumbprintFault: TrustFault = {
  code: 'other_certificate',
  why: 'came over a connection without one of the proxyCertificate thumbprints',
};

const noCertificateFault: TrustFault = {
  code: 'other_certificate',
  why:
    'came over a connection without a certificate of the proxy: the proxy sends none, or the server ' +
    'does not ask for one (requestCert: true)',
};

/**
 * Throws `ConfigurationError` for options that are wrong; a range of every address, `/0`, is one.
 */
export function createTrustCheck({ trust, secret, proxyCertificate }: TrustSettings): TrustCheck {
  const isTrustedPeer = peerTest(trust);
  const findSecretFault = createSecretCheck(secret);
  const proxyCertificateCheck =
    proxyCertificate === undefined ? undefined : createProxyCertificateCheck(proxyCertificate);
  return {
    findFault: (req) => {
      if (!isTrustedPeer(req)) {
        return addressFault;
      }
      return findSecretFault(req) ?? proxyCertificateCheck?.findFault(req);
    },
    prepare: (now) => proxyCertificateCheck?.prepare(now),
  };
}

/** Throws `ConfigurationError` for a named proxy that is not as it must be. */
function createProxyCertificateCheck(given: ProxyCertificates): TrustCheck {
  const items: readonly unknown[] = Array.isArray(given) ? given : [given];
  const path = 'proxyHeader().proxyCertificate';
  const thumbprints: ReadonlySet<string> = new Set(items.filter((item) => !isPlainObject(item)).map(String));
  const report = createProblemReporter();
  const proxies = items.flatMap((item, at) =>
    isPlainObject(item)
      ? [new ProxyRecognition(Array.isArray(given) ? `${path}[${at}]` : path, item, report)]
      : [],
  );
  const certificateOf = tlsSocket();
  if (proxies.length > 0) {
    x509.preload();
  }

  const prepare = (now: number): Promise<unknown> | undefined => {
    if (proxies.length === 0) {
      return undefined;
    }
    const loading = x509.loadUnlessLoaded();
    const preparing = proxies.map((proxy) => proxy.prepare(now)).filter((one) => one !== undefined);
    return loading === undefined && preparing.length === 0
      ? undefined
      : callAll([loading, ...preparing].map((one) => () => one));
  };

  const findFault = (req: NodeRequest): TrustFault | undefined => {
    const certificate = certificateOf(req);
    if (certificate !== undefined && thumbprints.has(certificate.thumbprint)) {
      return undefined;
    }
    if (proxies.length === 0) {
      return thumbprintFault;
    }
    if (certificate === undefined) {
      return noCertificateFault;
    }
    const now = Date.now();
    const preparing = prepare(now);
    if (preparing !== undefined) {
      // A source that wraps this one has not waited for it.
      ignoreRejection(preparing);
      throw new RequestRefused('internal_error', { detail: notPrepared });
    }
    const faults: string[] = thumbprints.size > 0 ? ['its thumbprint is none of those listed'] : [];
    for (const proxy of proxies) {
      const fault = proxy.explainMismatch(certificate, now);
      if (fault === undefined) {
        return undefined;
      }
      faults.push(fault);
    }
    return {
      code: 'other_certificate',
      why:
        'came over a connection with a certificate that proxyCertificate does not accept ' +
        `(${describeProxyCertificate(certificate)}): ${faults.join('; ')}`,
    };
  };
  return { findFault, prepare };
}

const notPrepared =
  'the authorities of proxyHeader().proxyCertificate are not read yet: a source that wraps proxyHeader() ' +
  'must have its member prepare';

type Test = (req: NodeRequest) => boolean;

function peerTest(trust: TrustedPeers): Test {
  if (typeof trust === 'function') {
    // Only true is yes: no other value is, and a promise is a fault of the function.
    return (req) => {
      const returned: unknown = trust(connectionOf(req)?.remoteAddress, req);
      if (isPromise(returned)) {
        throw new TellableError('proxyHeader().trust returned a promise; it must return true or false');
      }
      return returned === true;
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
    const isTrustedPeer = isTrusted(connection);
    decided.set(connection, isTrustedPeer);
    return isTrustedPeer;
  };
}

function compiled(ranges: string[]): (address: string) => boolean {
  const fault = explainUnusableRanges(ranges);
  if (fault !== undefined) {
    throw createMismatch('proxyHeader().trust', trustRule.accepted, fault);
  }
  return createRangeTest(ranges);
}

function createSecretCheck(secret: TrustSettings['secret']): TrustCheck['findFault'] {
  if (secret === undefined) {
    return () => undefined;
  }
  const { header } = secret;
  const expected = secret.value.map(digest);
  return (req) => {
    const [value, another] = lineValues(req.rawHeaders, header);
    if (another !== undefined) {
      return repeatedSecretFault;
    }
    if (value === undefined || value === '') {
      return missingSecretFault;
    }
    // Digests are of one length, so that the comparison takes the same time for every value.
    const presented = digest(value);
    const isRight = expected.some((digestOfOurs) => timingSafeEqual(digestOfOurs, presented));
    return isRight ? undefined : wrongSecretFault;
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
