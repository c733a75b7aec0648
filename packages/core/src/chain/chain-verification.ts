import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { explainUnverified } from '../certificate/bad-verdict.js';
import { ClientCertificate, thumbprintOf } from '../certificate/client-certificate.js';
import { hashAloneDetail } from '../certificate/parsed-certificate.js';
import { GroupedLru, type GroupNames } from '../shared/grouped-lru.js';
import { callAll } from '../shared/promises.js';
import type { AuthoritySource } from './authorities.js';
import type { ChainReason } from './chain-reason.js';
import { CrlSigners } from './crl-signers.js';
import { buildPath, groupBySubject, type PathParts, readSent } from './path-building.js';
import { type PathCertificate, readPathCertificate } from './path-certificate.js';

/** How many accepted paths are kept, how many refusals, and how many outcomes of `outcomeWithout()`. */
const MAX_OUTCOMES = 10_000;

/** Certificates above those of clients that are parsed once for many paths, and their bytes together. */
const MAX_SHARED = 1_000;
const MAX_SHARED_SIZE = 8_388_608;

/** A certificate whose chain leads to an authority. */
export interface ChainToAuthority {
  /** The certificate itself, whose chain counts as verified, with all that came with it. */
  readonly certificate: ClientCertificate;
  /** From it to the trust anchor. */
  readonly path: readonly PathCertificate[];
}

/** What a client certificate turned out to be. */
export type ChainOutcome = ChainToAuthority | ChainReason;

interface Entry {
  readonly outcome: ChainOutcome;
  readonly generation: number;
  /** Until when and from when it holds, in milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
}

/**
 * From each certificate object that `addSentCertificates()` made to the one that the source gave. A request
 * keeps the made object, and while its stream is open that object is verified again and again. An accepted
 * path is kept for the object of the source, so that each further check finds it and makes no further object.
 */
const sourceObjects = new WeakMap<ClientCertificate, ClientCertificate>();

/** Verifies the chains of client certificates: each once for a set of authorities. */
export class ChainVerification {
  readonly #authorities: AuthoritySource;
  readonly #intermediates: AuthoritySource | undefined;
  /** Accepted paths by the object that the source gave, refusals by the object that `verify()` got. */
  readonly #byObject = new WeakMap<ClientCertificate, Entry>();
  /** What `withSentCertificates()` returned, by the path and the certificate that the source gave. */
  readonly #withSent = new WeakMap<ChainToAuthority['path'], WeakMap<ClientCertificate, ChainToAuthority>>();
  /**
   * By the thumbprint: a path leads to an authority whatever else a client sends. A resumed TLS session has
   * lost the intermediates and needs the kept path. The paths are grouped, so that many clients of one
   * authority, or below one trust anchor, do not evict the paths of other clients.
   */
  readonly #accepted: GroupedLru<Entry>;
  /** By the thumbprint and what came with the certificate: another chain may lead to an authority. */
  readonly #refused: LRUCache<string, Entry>;
  /**
   * What `outcomeWithout()` found, by the thumbprint and the avoided certificates. The key of a refusal also
   * has what came with the certificate: another chain may lead to an authority.
   */
  readonly #others: LRUCache<string, Entry>;
  readonly #keys = new WeakMap<ClientCertificate, string>();
  /** The certificates of accepted paths, by thumbprint: many clients send the same ones. */
  readonly #shared = new LRUCache<string, PathCertificate>({
    max: MAX_SHARED,
    maxSize: MAX_SHARED_SIZE,
    sizeCalculation: ({ der }) => der.length,
  });
  /** Other certificates of authorities, which may sign their revocation lists. */
  readonly crlSigners: CrlSigners;

  /** @param maxOutcomes how many outcomes of each kind are kept */
  constructor(
    authorities: AuthoritySource,
    intermediates: AuthoritySource | undefined,
    maxOutcomes = MAX_OUTCOMES,
  ) {
    this.#authorities = authorities;
    this.#intermediates = intermediates;
    this.#accepted = new GroupedLru(maxOutcomes, groupOf);
    this.#refused = new LRUCache({ max: maxOutcomes });
    this.#others = new LRUCache({ max: maxOutcomes });
    this.crlSigners = new CrlSigners(() => ({
      authorities: authorities.current(),
      intermediates: intermediates?.current(),
      generation: this.#generation,
    }));
  }

  /** Returns what to wait for before `verify()`, or `undefined`. Rejects with `RequestRefused`. */
  prepare(now: number): Promise<unknown> | undefined {
    const authorities = this.#authorities.prepare(now);
    const intermediates = this.#intermediates?.prepare(now);
    return authorities === undefined || intermediates === undefined
      ? (authorities ?? intermediates)
      : callAll([() => authorities, () => intermediates]);
  }

  /**
   * Verifies the chain of a certificate, unless its outcome is known.
   *
   * @param now milliseconds since the epoch
   */
  verify(certificate: ClientCertificate, now: number): ChainOutcome {
    const sourceObject = sourceObjectOf(certificate);
    const known = this.#byObject.get(sourceObject);
    if (known !== undefined && !('why' in known.outcome) && this.#isCurrent(known, now)) {
      return known.outcome;
    }
    const entry = this.#entryOf(certificate, this.#byObject.get(certificate), now);
    if ('why' in entry.outcome) {
      this.#byObject.set(certificate, entry);
      return entry.outcome;
    }
    const outcome = this.withSentCertificates(certificate, entry.outcome);
    this.#byObject.set(sourceObject, { ...entry, outcome });
    return outcome;
  }

  /**
   * Looks for a path without some certificates, after `verify()` gave one with them: among those
   * that are configured, that came with the certificate and that are on the path that is kept. Call
   * `keep()` or `withSentCertificates()` before you use its certificate.
   *
   * @param avoided thumbprints
   * @param now milliseconds since the epoch
   */
  outcomeWithout(certificate: ClientCertificate, avoided: ReadonlySet<string>, now: number): ChainOutcome {
    const { der, thumbprint } = certificate;
    if (der === undefined) {
      return hashAlone;
    }
    const accepted = this.#accepted.get(thumbprint);
    if (accepted !== undefined && this.#isCurrent(accepted, now) && !hasOneOf(accepted, avoided)) {
      return accepted.outcome;
    }
    const without = [...avoided].toSorted().join(' ');
    const acceptedKey = `${thumbprint} without ${without}`;
    const refusedKey = `${this.#keyOf(certificate)} without ${without} ${thumbprintsOf(accepted).join(' ')}`;
    for (const key of [acceptedKey, refusedKey]) {
      const known = this.#others.get(key);
      if (known !== undefined && this.#isCurrent(known, now)) {
        return known.outcome;
      }
    }
    const entry = this.#buildChain(der, [...certificate.intermediates, ...issuersOf(accepted)], now, avoided);
    this.#others.set('why' in entry.outcome ? refusedKey : acceptedKey, entry);
    return entry.outcome;
  }

  /**
   * Keeps another path for a certificate, which `outcomeWithout()` gave just now, and of which no
   * certificate is revoked. Returns what `withSentCertificates()` does.
   */
  keep(certificate: ClientCertificate, outcome: ChainToAuthority): ChainToAuthority {
    const entry = { outcome, generation: this.#generation, ...validityOf(outcome.path) };
    this.#accepted.set(certificate.thumbprint, entry);
    const withSent = this.withSentCertificates(certificate, outcome);
    this.#byObject.set(sourceObjectOf(certificate), { ...entry, outcome: withSent });
    return withSent;
  }

  /**
   * Returns the chain for one object: its certificate has the intermediates of the path, and behind them
   * the others that came with `certificate`. Another path may need these: that of a route with other
   * authorities, or that of this policy once a certificate of the path is revoked.
   */
  withSentCertificates(certificate: ClientCertificate, chain: ChainToAuthority): ChainToAuthority {
    const ofPath = this.#withSent.get(chain.path) ?? new WeakMap<ClientCertificate, ChainToAuthority>();
    this.#withSent.set(chain.path, ofPath);
    const sourceObject = sourceObjectOf(certificate);
    const withSent = ofPath.get(sourceObject) ?? addSentCertificates(chain, certificate);
    ofPath.set(sourceObject, withSent);
    return withSent;
  }

  #keyOf(certificate: ClientCertificate): string {
    const known = this.#keys.get(certificate);
    if (known !== undefined) {
      return known;
    }
    const key = keyOf(certificate);
    this.#keys.set(certificate, key);
    return key;
  }

  #entryOf(certificate: ClientCertificate, known: Entry | undefined, now: number): Entry {
    const entry = this.#pathEntryOf(certificate, known, now);
    // The source doubts whether the certificate is revoked. A path can't clear that: this process knows
    // other revocation lists than the source, or none.
    if (!certificate.mayBeRevoked || 'why' in entry.outcome) {
      return entry;
    }
    const why = certificate.verifyError ?? explainUnverified(certificate);
    return { ...entry, outcome: { code: 'not_cleared_by_source', why } };
  }

  #pathEntryOf(certificate: ClientCertificate, known: Entry | undefined, now: number): Entry {
    const { der, thumbprint } = certificate;
    if (der === undefined) {
      return { outcome: hashAlone, generation: this.#generation, ...always };
    }
    const accepted = this.#accepted.get(thumbprint);
    if (accepted !== undefined && this.#isCurrent(accepted, now)) {
      return accepted;
    }
    if (known !== undefined && this.#isCurrent(known, now)) {
      return known;
    }
    const key = this.#keyOf(certificate);
    const refused = this.#refused.get(key);
    if (refused !== undefined && this.#isCurrent(refused, now)) {
      return refused;
    }
    const entry = this.#buildChain(der, [...certificate.intermediates, ...issuersOf(accepted)], now);
    if ('why' in entry.outcome) {
      this.#refused.set(key, entry);
    } else {
      this.#accepted.set(thumbprint, entry);
    }
    return entry;
  }

  #share(certificate: PathCertificate): PathCertificate {
    const known = this.#shared.get(certificate.thumbprint);
    if (known === undefined) {
      this.#shared.set(certificate.thumbprint, certificate);
    }
    return known ?? certificate;
  }

  get #generation(): number {
    return this.#authorities.generation + (this.#intermediates?.generation ?? 0);
  }

  #isCurrent({ generation, from, to }: Entry, now: number): boolean {
    return generation === this.#generation && from <= now && now <= to;
  }

  #buildChain(
    der: Uint8Array,
    intermediates: readonly Uint8Array[],
    now: number,
    avoided: ReadonlySet<string> = new Set(),
  ): Entry {
    const generation = this.#generation;
    const readOnce = (one: Uint8Array) => this.#shared.get(thumbprintOf(one)) ?? readPathCertificate(one);
    const read = readSent(der, intermediates, readOnce);
    if ('why' in read) {
      return { outcome: read, generation, ...always };
    }
    const { sent, spent } = read;
    const leaf = readPathCertificate(der);
    if (typeof leaf === 'string') {
      return { outcome: { code: 'unreadable', why: leaf }, generation, ...always };
    }
    const configured = this.#intermediates?.current();
    const parts: PathParts = {
      anchors: this.#authorities.current(),
      intermediates: configured === undefined ? [groupBySubject(sent)] : [configured, groupBySubject(sent)],
      avoided,
      spent,
    };
    const found = buildPath(leaf, parts, now);
    if ('why' in found) {
      const pools = [parts.anchors, ...parts.intermediates];
      const looked = [leaf, ...pools.flatMap((pool) => [...pool.values()].flat())];
      return { outcome: found, generation, ...spanOfRefusal(looked, now) };
    }
    const path = found.path.map((one, at) => (at === 0 ? one : this.#share(one)));
    // Not what the client sent with it: that may be much, and nothing of the path.
    const facts = { verified: true, intermediates: path.slice(1, -1).map((one) => one.der) };
    return {
      outcome: { certificate: new ClientCertificate(der, facts), path },
      generation,
      ...validityOf(path),
    };
  }
}

function sourceObjectOf(certificate: ClientCertificate): ClientCertificate {
  return sourceObjects.get(certificate) ?? certificate;
}

function addSentCertificates(chain: ChainToAuthority, sent: ClientCertificate): ChainToAuthority {
  const { certificate, path } = chain;
  const { der } = certificate;
  const sourceObject = sourceObjectOf(sent);
  const ofPath = new Set(path.map(({ thumbprint }) => thumbprint));
  // What the source gave counts first: only so many are kept.
  const others = () => {
    const all = [...sourceObject.intermediates, ...sent.intermediates].map(
      (one) => [thumbprintOf(one), one] as const,
    );
    return [...new Map(all)].filter(([thumbprint]) => !ofPath.has(thumbprint)).map(([, one]) => one);
  };
  if (der === undefined || others().length === 0) {
    return chain;
  }
  const intermediates = () => [...certificate.intermediates, ...others()];
  const made = new ClientCertificate(der, { verified: true, intermediates });
  sourceObjects.set(made, sourceObject);
  return { certificate: made, path };
}

/** From when and until when all certificates of a path are valid. */
function validityOf(path: readonly PathCertificate[]): Pick<Entry, 'from' | 'to'> {
  return {
    from: Math.max(...path.map(({ notBefore }) => notBefore)),
    to: Math.min(...path.map(({ notAfter }) => notAfter)),
  };
}

function hasOneOf(entry: Entry, thumbprints: ReadonlySet<string>): boolean {
  return thumbprintsOf(entry).some((thumbprint) => thumbprints.has(thumbprint));
}

/** Of the certificates of a path that was accepted. */
function thumbprintsOf(accepted: Entry | undefined): readonly string[] {
  const outcome = accepted?.outcome;
  return outcome === undefined || 'why' in outcome ? [] : outcome.path.map(({ thumbprint }) => thumbprint);
}

/**
 * The certificates of a path that was accepted. The search for another path tries them too, as a resumed
 * TLS session no longer has what the client sent.
 */
function issuersOf(accepted: Entry | undefined): readonly Uint8Array[] {
  const outcome = accepted?.outcome;
  return outcome === undefined || 'why' in outcome ? [] : outcome.path.slice(1).map(({ der }) => der);
}

/**
 * The trust anchor of a path, and the authority right below it, or the anchor again if there is none. An
 * anchor may make any number of authorities.
 */
function groupOf({ outcome }: Entry): GroupNames {
  const path = 'why' in outcome ? [] : outcome.path;
  return { outer: describe(path.at(-1)), inner: describe(path.at(path.length > 2 ? -2 : -1)) };
}

/** The name and the key of an authority. */
function describe(authority: PathCertificate | undefined): string {
  return authority === undefined
    ? ''
    : `${Buffer.from(authority.publicKey).toString('base64')} ${authority.subjectName}`;
}

const hashAlone: ChainReason = { code: 'hash_alone', why: hashAloneDetail };

/** What no time changes. */
const always = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY } as const;

/**
 * A refusal holds until one of the certificates becomes valid, also by a clock that is set back. A search
 * before that would cost as much work, and fail again.
 */
function spanOfRefusal(certificates: readonly PathCertificate[], now: number): Pick<Entry, 'from' | 'to'> {
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

function keyOf({ thumbprint, intermediates }: ClientCertificate): string {
  const hash = createHash('sha256');
  for (const der of intermediates) {
    hash.update(der);
  }
  return `${thumbprint} ${hash.digest('base64url')}`;
}
