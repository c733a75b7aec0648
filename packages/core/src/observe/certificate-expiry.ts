import { channel } from 'node:diagnostics_channel';
import { RecentMap } from '../shared/recent-map.js';

/** Days before the end of a certificate at which an event is published, ascending. */
export const expiryThresholds = [1, 7, 30] as const;

type ExpiryThreshold = (typeof expiryThresholds)[number];

/** A certificate that a client has used, as `clientCertificates()` of a resource server returns it. */
export interface ClientCertificateUse {
  /** The issuer of the tokens that the client uses. */
  readonly issuer: string;
  /** `client_id` of the tokens; undefined for tokens that name no client. */
  readonly clientId: string | undefined;
  /** `x5t#S256` of the certificate. */
  readonly thumbprint: string;
  /**
   * When the certificate expires. Undefined if that is unknown: the proxy forwards only the hash, or it is no
   * X.509 certificate.
   */
  readonly notAfter: Date | undefined;
  /**
   * Whole days until the certificate expires: 0 in the last 24 hours, negative once it has expired.
   * Undefined if `notAfter` is.
   */
  readonly daysLeft: number | undefined;
  /** When this resource server accepted the first request of the client with the certificate. */
  readonly firstSeen: Date;
  /** When this resource server accepted the newest request of the client with the certificate. */
  readonly lastSeen: Date;
  /**
   * Whether the client uses another certificate instead: it has not used this one since it began to
   * use the other one, or since this one expired. No event tells of the end of such a certificate.
   */
  readonly isReplaced: boolean;
}

/**
 * Published on `mtls-bound:certificate-expiry` when the certificate of a client expires within 30, 7
 * or 1 days. For each client, certificate and threshold it is published once in a process. If
 * several thresholds have passed, the smallest alone is published. A certificate whose whole validity
 * is less than twice a threshold has no event for it.
 */
export interface CertificateExpiryEvent
  extends Pick<ClientCertificateUse, 'issuer' | 'clientId' | 'thumbprint' | 'lastSeen'> {
  /** When the certificate expires. */
  readonly notAfter: Date;
  /** Whole days until then: 0 in the last 24 hours, negative if it has expired. */
  readonly daysLeft: number;
  /** The threshold that has passed, in days. */
  readonly threshold: ExpiryThreshold;
}

const expiries = channel('mtls-bound:certificate-expiry');

/**
 * The smallest threshold that was published, by issuer, client and certificate. Of the last 10,000 or
 * more.
 */
const published = new RecentMap<string, ExpiryThreshold>(10_000);

/**
 * Publishes that a certificate is about to expire, if no resource server of this process has done so
 * for this threshold or a smaller one. Returns false if the channel has no subscriber, so that the
 * event is published later.
 */
export function publishExpiry(event: CertificateExpiryEvent): boolean {
  if (!expiries.hasSubscribers) {
    return false;
  }
  const { issuer, clientId, thumbprint, threshold } = event;
  const key = JSON.stringify([issuer, clientId, thumbprint]);
  if (threshold < (published.get(key) ?? Number.POSITIVE_INFINITY)) {
    published.set(key, threshold);
    expiries.publish(event);
  }
  return true;
}

/** Days until a certificate expires, and how many clients use one that does. */
export interface ExpiryTotals {
  readonly issuer: string;
  /** The smallest number of whole days of a certificate that has not expired; undefined if there is none. */
  readonly daysLeft: number | undefined;
  /** Clients by the time until their certificate expires. Those within 1 day are within 7 days, too. */
  readonly clients: Readonly<Record<(typeof expiryStates)[number], number>>;
}

/** The values of the label `expiry` of metrics. */
export const expiryStates = ['30d', '7d', '1d', 'expired', 'unknown'] as const;

/** The end of a certificate that a client uses, for metrics. */
export interface CertificateEnd {
  readonly issuer: string;
  /** Whether `key` is a `client_id`. */
  readonly isNamed: boolean;
  /** `client_id`, or a thumbprint for tokens that name no client. */
  readonly key: string;
  /** Infinity if it is unknown. */
  readonly daysLeft: number;
}

const listed = new Set<() => CertificateEnd[]>();

/** Counts what `read` returns in `expiryTotals()`. Returns a function that ends it. */
export function registerCertificateEnds(read: () => CertificateEnd[]): () => void {
  listed.add(read);
  return () => listed.delete(read);
}

/**
 * Sums up the certificates of all resource servers of this process by issuer. A client counts once,
 * by the one of its certificates that expires first. Replaced certificates do not count.
 */
export function expiryTotals(): ExpiryTotals[] {
  const issuers = new Map<string, Record<'named' | 'nameless', Map<string, number>>>();
  for (const read of listed) {
    for (const { issuer, isNamed, key, daysLeft } of read()) {
      const both = issuers.get(issuer) ?? { named: new Map(), nameless: new Map() };
      issuers.set(issuer, both);
      const clients = both[isNamed ? 'named' : 'nameless'];
      clients.set(key, Math.min(daysLeft, clients.get(key) ?? Number.POSITIVE_INFINITY));
    }
  }
  return [...issuers].map(([issuer, { named, nameless }]) =>
    totalsOf(issuer, [...named.values(), ...nameless.values()]),
  );
}

function totalsOf(issuer: string, ends: readonly number[]): ExpiryTotals {
  const known = ends.filter(Number.isFinite);
  const valid = known.filter((daysLeft) => daysLeft >= 0);
  const within = (days: number): number => valid.filter((daysLeft) => daysLeft < days).length;
  return {
    issuer,
    daysLeft: valid.length === 0 ? undefined : valid.reduce((least, days) => Math.min(least, days)),
    clients: {
      '30d': within(30),
      '7d': within(7),
      '1d': within(1),
      expired: known.length - valid.length,
      unknown: ends.length - known.length,
    },
  };
}
