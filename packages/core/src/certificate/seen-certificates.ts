import type { Authorization } from '../authorization.js';
import {
  type CertificateEnd,
  type ClientCertificateUse,
  expiryThresholds,
  publishExpiry,
  registerCertificateEnds,
} from '../observe/certificate-expiry.js';
import type { ClientCertificate } from './client-certificate.js';
import { validityOf } from './validity.js';

/** Remembers which certificates clients use, and publishes when one is about to expire. */
export interface SeenCertificates {
  /** Notes the certificate of a request that was accepted. Never throws. */
  note(authorization: Authorization): void;
  /** Returns the certificates that were noted, those that expire first at the front. */
  uses(): ClientCertificateUse[];
  /** Publishes no expiry from now on. */
  close(): void;
}

/** Certificates of one client. Beyond it, the one that was seen least recently is removed. */
const MAX_CERTIFICATES = 4;

/** Milliseconds for which a client that is seen again keeps its place in the order of clients. */
const REORDER_INTERVAL = 60_000;

/** Milliseconds between two looks at all certificates. */
const CHECK_INTERVAL = 3_600_000;

const DAY = 86_400_000;

/**
 * A threshold counts for certificates that are valid for this many times the threshold: a client that
 * renews short-lived certificates by itself would cause an event for each of them.
 */
const LEAST_VALIDITY = 2;

/** When a client used a certificate. Times in milliseconds since the epoch. */
interface CertificateTimes {
  /** Infinity if it is unknown. */
  readonly notAfter: number;
  readonly firstSeen: number;
  readonly lastSeen: number;
}

/** One certificate of a client. */
interface Use extends CertificateTimes {
  readonly thumbprint: string;
  /** Days: the largest threshold of which an event is published; 0 if there is none. */
  readonly largestThreshold: number;
  lastSeen: number;
  /** The threshold of the last event that was published; `Infinity` before the first one. */
  reported: number;
}

interface Client {
  /** Its key in `Clients`. */
  readonly key: string;
  readonly issuer: string;
  readonly clientId: string | undefined;
  uses: readonly Use[];
  /** When it became the last in the order of clients. */
  movedAt: number;
}

/** Clients in the order in which they were seen, by `client_id` or by thumbprint. */
type Clients = Map<string, Client>;

/**
 * @param maxListedClients for each issuer, so that the clients of one do not remove those of another. `0`
 * remembers nothing
 */
export function createSeenCertificates(maxListedClients: number): SeenCertificates {
  const named = new Map<string, Clients>();
  // A token that names no client may be any client's: each certificate counts as one client.
  const nameless = new Map<string, Clients>();
  let isClosed = false;

  function note({ issuer, clientId, certificate }: Authorization): void {
    if (certificate === undefined || maxListedClients === 0) {
      return;
    }
    const { thumbprint } = certificate;
    const clients = (clientId === undefined ? nameless : named).get(issuer);
    const client = clients?.get(clientId ?? thumbprint);
    const use = client?.uses.find((known) => known.thumbprint === thumbprint);
    const now = Date.now();
    if (clients === undefined || client === undefined || use === undefined) {
      add(issuer, clientId, certificate, now);
      return;
    }
    use.lastSeen = now;
    // The clock may have been set back since then.
    if (Math.abs(now - client.movedAt) >= REORDER_INTERVAL) {
      move(clients, client, now);
    }
  }

  function add(
    issuer: string,
    clientId: string | undefined,
    certificate: ClientCertificate,
    now: number,
  ): void {
    const byIssuer = clientId === undefined ? nameless : named;
    const clients = byIssuer.get(issuer) ?? new Map<string, Client>();
    byIssuer.set(issuer, clients);
    const key = clientId ?? certificate.thumbprint;
    const client = clients.get(key) ?? { key, issuer, clientId, uses: [], movedAt: now };
    const use = useOf(certificate, now);
    client.uses = [use, ...client.uses.toSorted(byLastSeen)].slice(0, MAX_CERTIFICATES);
    move(clients, client, now);
    const [oldest] = clients.keys();
    if (clients.size > maxListedClients && oldest !== undefined) {
      clients.delete(oldest);
    }
    if (!isClosed) {
      checkExpiry(client, use, now);
    }
  }

  function all(): Client[] {
    return [named, nameless].flatMap((byIssuer) =>
      [...byIssuer.values()].flatMap((clients) => [...clients.values()]),
    );
  }

  function checkAll(): void {
    const now = Date.now();
    for (const client of all()) {
      for (const use of client.uses) {
        checkExpiry(client, use, now);
      }
    }
  }

  function uses(): ClientCertificateUse[] {
    const now = Date.now();
    const rows: ClientCertificateUse[] = [];
    for (const client of all()) {
      for (const use of client.uses) {
        // A certificate that has expired and is replaced is of no interest.
        if (!(use.notAfter < now && isReplaced(use, client.uses))) {
          rows.push(describeUse(client, use, now));
        }
      }
    }
    return rows.sort(byExpiry);
  }

  function ends(): CertificateEnd[] {
    const now = Date.now();
    const found: CertificateEnd[] = [];
    for (const client of all()) {
      const { key, issuer, clientId, uses: certificates } = client;
      for (const use of certificates) {
        if (!isReplaced(use, client.uses)) {
          found.push({
            issuer,
            isNamed: clientId !== undefined,
            key,
            daysLeft: daysUntil(use.notAfter, now),
          });
        }
      }
    }
    return found;
  }

  // Made here and not by a request, whose asynchronous context it would keep.
  const timer = maxListedClients > 0 ? setInterval(checkAll, CHECK_INTERVAL).unref() : undefined;
  const unlist = registerCertificateEnds(ends);

  return {
    note,
    uses,
    close() {
      isClosed = true;
      clearInterval(timer);
      unlist();
    },
  };
}

/** A Map keeps the order of insertion: the client that was seen least recently is the first. */
function move(clients: Clients, client: Client, now: number): void {
  client.movedAt = now;
  clients.delete(client.key);
  clients.set(client.key, client);
}

function useOf(certificate: ClientCertificate, now: number): Use {
  const { thumbprint } = certificate;
  const validity = validityOf(certificate);
  const { from, to } = typeof validity === 'object' ? validity : { from: Number.NaN, to: Number.NaN };
  const notAfter = Number.isNaN(to) ? Number.POSITIVE_INFINITY : to;
  return {
    thumbprint,
    notAfter,
    largestThreshold:
      expiryThresholds.findLast((days) => notAfter - from >= LEAST_VALIDITY * days * DAY) ?? 0,
    firstSeen: now,
    lastSeen: now,
    reported: Number.POSITIVE_INFINITY,
  };
}

/** Publishes the smallest threshold that has passed, unless it was published before. */
function checkExpiry(client: Client, use: Use, now: number): void {
  const { notAfter, reported, largestThreshold } = use;
  const threshold = expiryThresholds.find((days) => notAfter - now <= days * DAY);
  if (
    threshold === undefined ||
    threshold > largestThreshold ||
    threshold >= reported ||
    isReplaced(use, client.uses)
  ) {
    return;
  }
  const { issuer, clientId } = client;
  const { thumbprint, lastSeen } = use;
  const isPublished = publishExpiry({
    issuer,
    clientId,
    thumbprint,
    notAfter: new Date(notAfter),
    daysLeft: daysUntil(notAfter, now),
    threshold,
    lastSeen: new Date(lastSeen),
  });
  if (isPublished) {
    use.reported = threshold;
  }
}

/**
 * Whether a client uses another certificate of `uses` in place of this one. That is so if it began to use the
 * other one after it last used this one. It is also so if, after this one had expired, it used the other one
 * and not this one.
 */
export function isReplaced(
  { lastSeen, notAfter }: CertificateTimes,
  uses: readonly CertificateTimes[],
): boolean {
  return uses.some(
    (other) => other.firstSeen > lastSeen || (lastSeen <= notAfter && notAfter < other.lastSeen),
  );
}

function describeUse(client: Client, use: Use, now: number): ClientCertificateUse {
  const { thumbprint, notAfter } = use;
  const isKnown = Number.isFinite(notAfter);
  return {
    issuer: client.issuer,
    clientId: client.clientId,
    thumbprint,
    notAfter: isKnown ? new Date(notAfter) : undefined,
    daysLeft: isKnown ? daysUntil(notAfter, now) : undefined,
    firstSeen: new Date(use.firstSeen),
    lastSeen: new Date(use.lastSeen),
    isReplaced: isReplaced(use, client.uses),
  };
}

/** Infinity if the end is unknown. */
function daysUntil(end: number, now: number): number {
  return Math.floor((end - now) / DAY);
}

function byLastSeen(a: Use, b: Use): number {
  return b.lastSeen - a.lastSeen;
}

/** An unknown expiry comes last. */
function byExpiry(a: ClientCertificateUse, b: ClientCertificateUse): number {
  return (
    (a.notAfter?.getTime() ?? Number.MAX_VALUE) - (b.notAfter?.getTime() ?? Number.MAX_VALUE) ||
    compareTexts(a.issuer, b.issuer) ||
    compareTexts(a.clientId ?? '', b.clientId ?? '')
  );
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
