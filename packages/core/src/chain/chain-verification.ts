import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { ClientCertificate } from '../certificate/client-certificate.js';
import { hashAlone } from '../certificate/parsed.js';
import type { AuthoritySource } from './authorities.js';
import { buildPath, bySubject, type PathOutcome, type PathParts } from './path-building.js';
import { type PathCertificate, pathCertificate } from './path-certificate.js';
import { explainInvalidPath } from './path-validation.js';

/** Certificates whose outcome is kept. */
const MAX_OUTCOMES = 10_000;

/** What a client certificate turned out to be. */
export type ChainOutcome =
  | {
      /** The certificate itself, whose chain counts as verified. */
      readonly certificate: ClientCertificate;
      /** From it to the trust anchor. */
      readonly path: readonly PathCertificate[];
    }
  | { readonly why: string };

interface Entry {
  readonly outcome: ChainOutcome;
  readonly generation: number;
  /** Until when and from when it holds, in milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
}

interface KeptPath {
  readonly path: readonly PathCertificate[];
  readonly generation: number;
}

/** Verifies the chain of a client certificate, once for each certificate and set of authorities. */
export class ChainVerification {
  readonly #authorities: AuthoritySource;
  readonly #intermediates: AuthoritySource | undefined;
  readonly #byObject = new WeakMap<ClientCertificate, Entry>();
  readonly #byContent: LRUCache<string, Entry>;
  /** Paths that were valid, by the thumbprint of the certificate. */
  readonly #paths: LRUCache<string, KeptPath>;

  /** @param maxOutcomes certificates whose outcome is kept */
  constructor(
    authorities: AuthoritySource,
    intermediates: AuthoritySource | undefined,
    maxOutcomes = MAX_OUTCOMES,
  ) {
    this.#authorities = authorities;
    this.#intermediates = intermediates;
    this.#byContent = new LRUCache({ max: maxOutcomes });
    this.#paths = new LRUCache({ max: maxOutcomes });
  }

  /** Returns what to wait for before `outcomeOf`, or `undefined`. Rejects with `RequestRefused`. */
  prepare(now: number): Promise<unknown> | undefined {
    const authorities = this.#authorities.prepare(now);
    const intermediates = this.#intermediates?.prepare(now);
    return authorities === undefined || intermediates === undefined
      ? (authorities ?? intermediates)
      : both(authorities, intermediates);
  }

  /** @param now milliseconds since the epoch */
  outcomeOf(certificate: ClientCertificate, now: number): ChainOutcome {
    const known = this.#byObject.get(certificate);
    if (known !== undefined && this.#isCurrent(known, certificate, now)) {
      return known.outcome;
    }
    const key = keyOf(certificate);
    const found = this.#byContent.get(key);
    const isKnown = found !== undefined && this.#isCurrent(found, certificate, now);
    const entry = isKnown ? found : this.#verify(certificate, now);
    this.#byContent.set(key, entry);
    this.#byObject.set(certificate, entry);
    return entry.outcome;
  }

  get #generation(): number {
    return this.#authorities.generation + (this.#intermediates?.generation ?? 0);
  }

  /** A refusal does not hold once another connection has shown a path for the same certificate. */
  #isCurrent({ outcome, generation, from, to }: Entry, certificate: ClientCertificate, now: number): boolean {
    const isInTime = generation === this.#generation && from <= now && now <= to;
    return isInTime && (!('why' in outcome) || this.#keptPathOf(certificate, now) === undefined);
  }

  #verify(certificate: ClientCertificate, now: number): Entry {
    const generation = this.#generation;
    const [found, looked] = this.#find(certificate, now);
    if ('why' in found) {
      return { outcome: found, generation, ...sameValidity(looked, now) };
    }
    return {
      outcome: { certificate: asVerified(certificate), path: found.path },
      generation,
      from: Math.max(...found.path.map(({ notBefore }) => notBefore)),
      to: Math.min(...found.path.map(({ notAfter }) => notAfter)),
    };
  }

  /** Returns a path or why there is none, and the certificates that it was looked for among. */
  #find(certificate: ClientCertificate, now: number): [PathOutcome, readonly PathCertificate[]] {
    const { der, verified, verifyError = '' } = certificate;
    if (der === undefined) {
      return [{ why: hashAlone }, []];
    }
    // This check would not find out: it knows other lists, or none.
    if (verified === false && /revoked|crl/i.test(verifyError)) {
      return [{ why: verifyError }, []];
    }
    const leaf = pathCertificate(der);
    if (typeof leaf === 'string') {
      return [{ why: leaf }, []];
    }
    const sent = certificate.intermediates.map(pathCertificate).filter((one) => typeof one !== 'string');
    const configured = this.#intermediates?.current();
    const parts: PathParts = {
      anchors: this.#authorities.current(),
      intermediates: configured === undefined ? [bySubject(sent)] : [configured, bySubject(sent)],
    };
    const pools = [parts.anchors, ...parts.intermediates];
    const looked = [leaf, ...pools.flatMap((pool) => [...pool.values()].flat())];
    const found = buildPath(leaf, parts, now);
    if ('why' in found) {
      return [this.#keptPathOf(leaf, now) ?? found, looked];
    }
    this.#paths.set(leaf.thumbprint, { path: found.path, generation: this.#generation });
    return [found, looked];
  }

  /**
   * A resumed TLS session keeps the certificate, and loses those that came with it. A path that led from
   * this very certificate to an authority still does, if it is valid now.
   */
  #keptPathOf({ thumbprint }: { readonly thumbprint: string }, now: number): PathOutcome | undefined {
    const kept = this.#paths.get(thumbprint);
    return kept?.generation === this.#generation && explainInvalidPath(kept.path, now) === undefined
      ? { path: kept.path }
      : undefined;
  }
}

/**
 * While none of the certificates becomes valid, a certificate that was refused still is: to look again
 * would cost the same work.
 */
function sameValidity(certificates: readonly PathCertificate[], now: number): Pick<Entry, 'from' | 'to'> {
  let from = Number.NEGATIVE_INFINITY;
  let to = Number.POSITIVE_INFINITY;
  for (const { notBefore, notAfter } of certificates) {
    if (now < notBefore) {
      to = Math.min(to, notBefore - 1);
    }
    // The last second belongs to the validity.
    if (now >= notAfter + 1_000) {
      from = Math.max(from, notAfter + 1_000);
    }
  }
  return { from, to };
}

/** The intermediates count too: another chain may lead to an authority where the first did not. */
function keyOf(certificate: ClientCertificate): string {
  const { thumbprint, intermediates, verified, verifyError = '' } = certificate;
  const hash = createHash('sha256');
  for (const der of intermediates) {
    hash.update(der);
  }
  return `${thumbprint} ${hash.digest('base64url')} ${verified} ${verifyError}`;
}

function asVerified(certificate: ClientCertificate): ClientCertificate {
  const { der, verified, intermediates } = certificate;
  return der === undefined || verified === true
    ? certificate
    : new ClientCertificate(der, { verified: true, intermediates });
}

async function both(one: Promise<unknown>, other: Promise<unknown>): Promise<void> {
  await Promise.all([one, other]);
}
